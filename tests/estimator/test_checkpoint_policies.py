"""Policies of checkpoints in training: what is saved, kept and selected by name."""

import numpy as np
import pytest

import specflow as sf
from specflow.config.sections.output import BestConfig
from specflow.diagnostics.errors import CheckpointError, ConfigError
from tests.estimator.conftest import arrays

LOOP = sf.TPUConfig(iterations_per_loop=1)


def test_multiples_of_a_step_are_saved_and_kept_over_restarts(line):
    """No multiple of 10 is due by the other trigger, which counts from each start."""
    config = sf.RunConfig(
        save_checkpoints_steps=7,
        save_at_start=False,
        keep_checkpoint_max=1,
        keep_checkpoint_every_n_steps=10,
        tpu_config=LOOP,
    )
    for _ in range(3):
        estimator = line(config=config)
        estimator.train(arrays, steps=11)
        estimator.close()
    assert estimator.checkpoints.steps() == [10, 20, 30, 33]


def test_steps_and_a_time_save_at_whichever_comes_first(line):
    config = sf.RunConfig(
        save_checkpoints_steps=4,
        save_checkpoints_secs=1e-9,
        save_at_start=False,
        keep_checkpoint_max=0,
        tpu_config=LOOP,
    )
    fast = line(config=config)
    fast.train(arrays, steps=3)
    assert fast.checkpoints.steps() == [1, 2, 3]
    fast.close()
    slow = line(
        config=config.replace(save_checkpoints_steps=4, save_checkpoints_secs=9e9)
    )
    slow.train(arrays, steps=6)
    assert slow.checkpoints.steps() == [1, 2, 3, 7, 9]
    slow.close()


def test_a_tag_keeps_a_checkpoint_and_selects_it(line, tmp_path):
    config = sf.RunConfig(save_checkpoints_steps=1, keep_checkpoint_max=1)
    estimator = line(config=config)
    estimator.train(arrays, steps=1)
    path = estimator.tag_checkpoint("latest", "first")
    assert path == estimator.model_dir / "checkpoints/1"
    expected = estimator.evaluate(arrays)
    estimator.train(arrays, steps=3)
    assert estimator.checkpoints.steps() == [1, 4]
    assert estimator.evaluate(arrays, checkpoint_step="first") == expected
    assert estimator.evaluate(arrays, checkpoint_step="latest") != expected
    warm = line(
        model_dir=tmp_path / "warm",
        warm_start_from=sf.WarmStartSettings(estimator.model_dir, step="first"),
    )
    assert warm.evaluate(arrays)["mse"] == expected["mse"]
    with pytest.raises(
        CheckpointError, match=r"no checkpoint of step 9; there are 1, 4"
    ):
        estimator.tag_checkpoint(9, "none")
    estimator.untag_checkpoint("first")
    estimator.train(arrays, steps=1)
    assert estimator.checkpoints.steps() == [5]
    estimator.close()
    warm.close()


def test_a_warm_start_from_the_best_step_goes_by_the_metric_of_that_run(line, tmp_path):
    """The loss of this line falls at every step: its highest is the first one."""
    config = sf.RunConfig(
        save_checkpoints_steps=1,
        save_at_start=False,
        keep_best=BestConfig(metric="mse", order="highest"),
        tpu_config=LOOP,
    )
    source = line(config=config)
    source.train_and_evaluate(
        sf.TrainSpec(arrays, 4), sf.EvalSpec(arrays, every_steps=1)
    )
    first = source.evaluate(arrays, checkpoint_step=1)["mse"]
    values = {}
    for step in ("best", "latest", 2):
        warm = line(
            model_dir=tmp_path / "warm",
            warm_start_from=sf.WarmStartSettings(source.model_dir, step=step),
        )
        values[step] = warm.evaluate(arrays)["mse"]
        warm.close()
    np.testing.assert_equal(values["best"], first)
    np.testing.assert_equal(values["latest"], source.evaluate(arrays)["mse"])
    assert values["best"] > values[2] > values["latest"]
    source.close()


def test_a_step_beside_the_path_of_a_checkpoint_is_refused(line, tmp_path):
    source = line(config=sf.RunConfig(save_checkpoints_steps=1))
    source.train(arrays, steps=1)
    path = source.model_dir / "checkpoints/1"
    source.close()
    warm = line(
        model_dir=tmp_path / "warm",
        warm_start_from=sf.WarmStartSettings(path, step="best"),
    )
    with pytest.raises(ConfigError) as caught:
        warm.evaluate(arrays)
    assert str(caught.value) == (
        "WarmStartSettings.step: got 'best', and WarmStartSettings.path is a "
        "checkpoint. Expected a step of a run directory. Leave out one of them."
    )
    warm.close()
