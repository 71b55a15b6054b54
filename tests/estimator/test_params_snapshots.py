"""Snapshots of the parameters: cast, without the optimizer's state, as evaluated."""

import json

import ml_dtypes
import numpy as np
import optax
import pytest

import specflow as sf
from specflow.cli.main import main
from specflow.diagnostics.errors import SpecflowWarning
from specflow.optimizer import averaged, track_average
from specflow.output import Checkpointer
from specflow.output.checkpoint.params_snapshots import ParamsSnapshots
from tests.estimator.conftest import X, Y, arrays, line_fn

CONFIG = sf.RunConfig(
    save_checkpoints_steps=2,
    save_at_start=False,
    keep_checkpoint_max=1,
    checkpoint_params="bfloat16",
)


def averaging_fn(model, features, labels, mode):
    spec = line_fn(model, features, labels, mode)
    if mode is sf.Mode.PREDICT:
        return spec
    return spec._replace(train_op=optax.chain(optax.adam(0.1), track_average(0.5)))


def mse(weights):
    """By hand, in double precision."""
    return float(np.mean((X.astype(np.float64) @ weights.astype(np.float64) - Y) ** 2))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "same"])
def test_a_snapshot_has_the_cast_parameters_alone_and_is_evaluated(line, dtype):
    """With an average of the parameters, as the run evaluates."""
    config = CONFIG.replace(checkpoint_params=dtype)
    estimator = line(averaging_fn, config=config, eval_params=averaged)
    estimator.train(arrays, steps=5)
    estimator.close()
    with Checkpointer(estimator.model_dir / "params") as snapshots:
        assert snapshots.latest_step() == 5
        saved = snapshots.arrays(5)
    (name,) = saved
    assert name == "params/w"
    names = {"bfloat16": ml_dtypes.bfloat16, "same": np.float32}
    assert saved[name].dtype == names.get(dtype, dtype)
    # The average by its definition: what the checkpoint stores of it.
    like = line(averaging_fn, config=config, eval_params=averaged)
    exact = np.asarray(like.evaluate(arrays)["mse"])
    state = like._states.to_evaluate()[1]
    np.testing.assert_array_equal(
        saved[name], np.asarray(state.params["w"]).astype(saved[name].dtype)
    )
    found = like.evaluate(arrays, checkpoint_path=like.model_dir / "params/5")
    assert found["global_step"] == 5
    np.testing.assert_allclose(found["mse"], mse(saved[name]), rtol=1e-5)
    if dtype in ("float32", "same"):
        assert found["mse"] == exact
    for step in ("params/5", "params/latest"):
        assert like.evaluate(arrays, checkpoint_step=step)["mse"] == found["mse"]
    like.close()


def test_snapshots_are_removed_with_their_checkpoints(line):
    estimator = line(config=CONFIG)
    for _ in range(2):
        estimator.train(arrays, steps=4)
        estimator.tag_checkpoint("latest", f"at-{estimator.latest_step()}")
    estimator.train(arrays, steps=6)
    estimator.close()
    with Checkpointer(estimator.model_dir / "params") as snapshots:
        assert estimator.checkpoints.steps() == [4, 8, 14]
        assert snapshots.steps() == [4, 8, 14]


def test_a_snapshot_is_exported_and_starts_another_run(line, tmp_path):
    estimator = line(config=CONFIG)
    estimator.train(arrays, steps=2)
    export = estimator.export(
        tmp_path / "export",
        features=arrays()[0],
        checkpoint_step="params/2",
        platforms=["cpu"],
    )
    with Checkpointer(estimator.model_dir / "params") as snapshots:
        weights = snapshots.arrays(2)["params/w"].astype(np.float32)
    np.testing.assert_allclose(
        sf.load_export(export)(**arrays()[0])["value"], X @ weights, rtol=1e-5
    )
    warm = line(
        model_dir=tmp_path / "warm", warm_start_from=estimator.model_dir / "params/2"
    )
    np.testing.assert_allclose(warm.evaluate(arrays)["mse"], mse(weights), rtol=1e-5)
    warm.close()
    estimator.close()


def test_parameters_beyond_the_range_of_the_dtype_are_named_once(tmp_path):
    values = {"w": np.float32([1e5, 1]), "v": np.float32([np.inf, -65504])}
    snapshots = ParamsSnapshots(tmp_path / "checkpoints", "float16")
    snapshots.save(1, {"params": values})
    with pytest.warns(SpecflowWarning) as caught:
        snapshots.wait()
    assert [str(each.message) for each in caught] == [
        "output.checkpoint.params: values of params/w are beyond the range of "
        "float16, and infinite in the snapshots. Expected parameters within ±65504. "
        "bfloat16 has the range of float32 in the same size; in Python, "
        "RunConfig.checkpoint_params."
    ]
    snapshots.save(2, {"params": values})
    snapshots.close()


def test_snapshots_are_listed_and_verified(line, capsys):
    estimator = line(config=CONFIG)
    estimator.train(arrays, steps=2)
    estimator.close()
    run = estimator.model_dir
    assert main(["checkpoints", f"run={run}", "--format", "json"]) == 0
    entries = json.loads(capsys.readouterr().out)["checkpoints"]
    listed = [(each["name"], each["step"], each["verdict"]) for each in entries]
    assert listed == [("2", 2, "complete"), ("params/2", None, "complete")]
    assert entries[1]["kept_by"] == ["its checkpoint"]
    (file,) = (run / "params" / "2").glob("arrays-*")
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    assert main(["checkpoints", f"run={run}", "--verify"]) == 2
    assert f"{run}/params/2: the checkpoint of step 2 is damaged" in (
        capsys.readouterr().err
    )


def test_without_the_setting_there_are_no_snapshots(line):
    estimator = line(config=sf.RunConfig(save_checkpoints_steps=1))
    estimator.train(arrays, steps=1)
    assert not (estimator.model_dir / "params").exists()
    estimator.close()


def test_a_checkpoint_is_complete_only_with_its_snapshot(line):
    """A run that is killed between them does not take the step again."""
    config = CONFIG.replace(keep_checkpoint_max=0)
    estimator = line(config=config)
    snapshots = estimator.model_dir / "params"
    seen = []

    def look():
        seen.append(sorted(int(path.name) for path in snapshots.iterdir()))

    estimator.checkpoints.before_complete.append(look)
    estimator.train(arrays, steps=6)
    estimator.close()
    assert seen == [[2], [2, 4], [2, 4, 6]]
