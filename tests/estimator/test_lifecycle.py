"""Checkpoints, listeners, exporters, early stopping and warm start of a line.

Its weights are computed by hand.
"""

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import specflow as sf
from specflow.config.sections.mesh import AxesConfig, MeshConfig
from specflow.diagnostics.errors import ConfigError, SpecflowWarning
from specflow.lifecycle import History, Vocabulary
from tests.estimator.conftest import X, Y, arrays, line_fn


class Recorder:
    """Records the calls of a listener."""

    def __init__(self, *, stop_at=None):
        self.told, self.stop_at = [], stop_at

    def begin(self):
        self.told.append("begin")

    def before_save(self, step):
        self.told.append(f"before {step}")

    def after_save(self, step):
        self.told.append(f"after {step}")
        return self.stop_at is not None and step >= self.stop_at

    def end(self, step):
        self.told.append(f"end {step}")


def every(steps, **fields):
    return sf.RunConfig(save_checkpoints_steps=steps, keep_checkpoint_max=0, **fields)


# -- checkpoints and listeners


def test_checkpoints_are_saved_at_the_start_every_n_steps_and_at_the_end(line):
    estimator = line(config=every(5))
    estimator.train(arrays, steps=12)
    assert estimator.checkpoints.steps() == [0, 5, 10, 12]


def test_checkpoint_steps_count_from_the_start_of_the_call(line):
    line(config=every(5)).train(arrays, steps=4).close()
    estimator = line(config=every(5))
    estimator.train(arrays, steps=6)
    assert estimator.checkpoints.steps() == [0, 4, 9, 10]


def test_without_checkpoints_no_state_is_kept(line):
    estimator = line(config=sf.RunConfig(save_checkpoints_steps=None))
    estimator.train(arrays, steps=3)
    assert estimator.checkpoints.steps() == []
    assert estimator.evaluate(arrays)["global_step"] == 0


def test_listeners_without_checkpoints_raise(line):
    estimator = line(config=sf.RunConfig(save_checkpoints_steps=None))
    with pytest.raises(ValueError, match="nothing is saved"):
        estimator.train(arrays, steps=3, saving_listeners=[Recorder()])


def test_listeners_are_called_for_every_save(line):
    listener = Recorder()
    line(config=every(2)).train(arrays, steps=3, saving_listeners=[listener])
    assert listener.told == [
        "begin", "before 0", "after 0", "before 2", "after 2", "before 3", "after 3",
        "end 3",
    ]  # fmt: skip


def test_true_from_after_save_ends_training_but_for_the_first_save(line):
    estimator = line(config=every(2))
    estimator.train(arrays, steps=10, saving_listeners=[Recorder(stop_at=0)])
    assert estimator.latest_step() == 2


def test_a_value_that_is_no_hook_raises_at_once(line):
    for hooks in ([3], Recorder()):
        with pytest.raises(TypeError, match="hooks"):
            line().train(arrays, steps=1, hooks=hooks)


def test_hooks_of_the_caller_precede_those_of_the_spec(line):
    order = []

    class Named:
        def __init__(self, name):
            self.name = name

        def end(self, step):
            order.append(self.name)

    def model_fn(model, features, labels, mode):
        return line_fn(model, features, labels, mode)._replace(
            training_hooks=[Named("spec")], evaluation_hooks=[Named("spec eval")]
        )

    estimator = line(model_fn)
    estimator.train(arrays, steps=1, hooks=[Named("caller")])
    estimator.evaluate(arrays, hooks=[Named("caller eval")])
    assert order == ["caller", "spec", "caller eval", "spec eval"]


# -- train_and_evaluate


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"input_fn": 3}, TypeError),
        ({"max_steps": 0}, ValueError),
        ({"max_steps": -1}, ValueError),
    ],
)
def test_a_train_spec_is_checked(fields, kind):
    with pytest.raises(kind):
        sf.TrainSpec(**{"input_fn": arrays, **fields})


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"input_fn": 3}, TypeError),
        ({"steps": 0}, ValueError),
        ({"throttle_secs": -1}, ValueError),
        ({"start_delay_secs": -1}, ValueError),
        ({"name": 3}, TypeError),
        ({"exporters": [3]}, TypeError),
        ({"exporters": [sf.LatestExporter("a"), sf.BestExporter("a")]}, ValueError),
    ],
)
def test_an_eval_spec_is_checked(fields, kind):
    with pytest.raises(kind):
        sf.EvalSpec(**{"input_fn": arrays, **fields})
    assert sf.EvalSpec(arrays).steps == 100


def evaluated(estimator):
    return list(History(estimator.model_dir).values("loss"))


def test_every_checkpoint_except_the_first_is_evaluated(line):
    estimator = line(config=every(3))
    metrics, exports = estimator.train_and_evaluate(
        sf.TrainSpec(arrays, max_steps=8), sf.EvalSpec(arrays, throttle_secs=0)
    )
    assert evaluated(estimator) == [3, 6, 8]
    assert metrics["global_step"] == 8
    assert exports == []


def test_a_long_throttle_evaluates_the_first_checkpoint_and_the_end(line):
    estimator = line(config=every(2))
    estimator.train_and_evaluate(
        sf.TrainSpec(arrays, max_steps=8), sf.EvalSpec(arrays, throttle_secs=3600)
    )
    assert evaluated(estimator) == [2, 8]


def test_evaluation_every_so_many_steps_whatever_is_saved(line):
    estimator = line(config=every(100))
    estimator.train_and_evaluate(
        sf.TrainSpec(arrays, max_steps=7), sf.EvalSpec(arrays, every_steps=3)
    )
    assert evaluated(estimator) == [3, 6, 7]


def test_evaluating_at_checkpoints_needs_checkpoints(line):
    estimator = line(config=sf.RunConfig(save_checkpoints_steps=None))
    with pytest.raises(ValueError, match="saves no checkpoints"):
        estimator.train_and_evaluate(sf.TrainSpec(arrays, 3), sf.EvalSpec(arrays))


class Exporting(sf.LatestExporter):
    """Notes what it is asked to export, and what predict says at that moment."""

    def __init__(self, name):
        super().__init__(name)
        self.asked = []

    def export(self, estimator, directory, metrics, *, is_final):
        first = next(iter(estimator.predict(arrays)))
        self.asked.append((metrics["global_step"], is_final, float(first["value"])))


def test_exporters_run_after_every_evaluation_with_its_state(line):
    exporter = Exporting("mine")
    estimator = line(config=every(2))
    estimator.train_and_evaluate(
        sf.TrainSpec(arrays, max_steps=4),
        sf.EvalSpec(arrays, throttle_secs=0, exporters=exporter),
    )
    assert [(step, final) for step, final, _ in exporter.asked] == [
        (2, False),
        (4, True),
    ]
    # The last state is the one that was saved.
    assert next(iter(estimator.predict(arrays)))["value"] == exporter.asked[-1][2]
    assert exporter.asked[0][2] != exporter.asked[1][2]


def test_the_end_of_the_data_runs_the_final_exporter(line, tmp_path):
    """The reference exported nothing then: max_steps was not reached."""

    def two_batches():
        for start in (0, 8):
            yield {"x": X[start : start + 8]}, Y[start : start + 8]

    estimator = line(config=every(2))
    with pytest.warns(SpecflowWarning, match="the input ended after 2 of 100 steps"):
        _, exports = estimator.train_and_evaluate(
            sf.TrainSpec(two_batches, max_steps=100),
            sf.EvalSpec(
                arrays,
                throttle_secs=0,
                exporters=[sf.FinalExporter("final", features={"x": X[:2]})],
            ),
        )
    (made,) = exports
    assert made.parent == tmp_path / "model" / "export" / "final"
    assert made.name.isdigit()
    assert len(made.name) == 10


# -- early stopping


def test_early_stopping_ends_training(line):
    estimator = line(config=every(2))
    hook = sf.early_stopping.stop_if_lower(
        estimator, "loss", 0.5, run_every_secs=None, run_every_steps=1
    )
    metrics, _ = estimator.train_and_evaluate(
        sf.TrainSpec(arrays, max_steps=200, hooks=[hook]),
        sf.EvalSpec(arrays, throttle_secs=0),
    )
    values = History(estimator.model_dir).values("loss")
    first = min(step for step, loss in values.items() if loss < 0.5)
    assert first <= metrics["global_step"] <= first + 2
    assert estimator.latest_step() == metrics["global_step"] < 200


# -- warm start


@pytest.fixture
def trained(line, tmp_path):
    """Another run's directory, and its weights."""
    estimator = line(model_dir=tmp_path / "other", config=every(100))
    estimator.train(arrays, steps=20)
    estimator.close()
    return tmp_path / "other", estimator.checkpoints.arrays()["params/w"]


def weights(estimator):
    estimator.train(arrays, steps=1)
    return estimator.checkpoints.arrays(0)["params/w"]


def test_a_warm_start_path_restores_parameters_and_not_the_step(line, trained):
    path, w = trained
    estimator = line(warm_start_from=path)
    assert estimator.evaluate(arrays)["global_step"] == 0
    assert estimator.evaluate(arrays)["loss"] < 0.1
    np.testing.assert_array_equal(weights(estimator), w)
    assert estimator.latest_step() == 1


@pytest.mark.parametrize("form", ["", 3, ["a"]])
def test_warm_start_from_of_another_type_raises(line, form):
    with pytest.raises(ValueError, match="warm_start_from"):
        line(warm_start_from=form)


def test_a_pattern_that_matches_nothing_warns(line, trained):
    settings = sf.WarmStartSettings(trained[0], vars_to_warm_start="head")
    with pytest.warns(UserWarning, match="'head' matches no parameter"):
        assert weights(line(warm_start_from=settings)).tolist() == [0.0, 0.0, 0.0]


def test_the_warm_start_applies_only_without_an_own_checkpoint(line, trained):
    line().train(arrays, steps=1).close()
    again = line(warm_start_from=trained[0])
    assert again.evaluate(arrays)["global_step"] == 1
    assert again.evaluate(arrays)["loss"] > 0.1


def test_a_warm_start_reports_missing_parameters_other_shapes_and_unused_renames(
    line, trained
):
    class Wide(nnx.Module):
        def __init__(self, rngs=None):
            self.w = nnx.Param(jnp.zeros(4))
            self.b = nnx.Param(jnp.zeros(()))

    settings = sf.WarmStartSettings(trained[0], renames={"c": "w"})
    with pytest.raises(ValueError, match="warm started") as error:
        line(model=Wide, warm_start_from=settings).evaluate(arrays)
    assert sorted(str(diagnostic) for diagnostic in error.value.diagnostics) == [
        "WarmStartSettings.renames['c']: is no parameter that is warm started. "
        "Expected one of b, w.",
        "b: is absent in the checkpoint. Expected float32[]. It has w.",
        "w: is float32[3] in the checkpoint. Expected float32[4].",
    ]


def test_a_rename_is_followed(line, trained):
    class Renamed(nnx.Module):
        def __init__(self, rngs=None):
            self.v = nnx.Param(jnp.zeros(3))

        def __call__(self, x):
            return x @ self.v[...]

    settings = sf.WarmStartSettings(trained[0], renames={"v": "w"})
    estimator = line(model=Renamed, warm_start_from=settings)
    assert estimator.evaluate(arrays)["loss"] < 0.1


def test_state_full_restores_the_optimizer(line, tmp_path):
    adam = optax.adam(0.1)

    def model_fn(model, features, labels, mode):
        return line_fn(model, features, labels, mode)._replace(train_op=adam)

    other = line(model_fn, model_dir=tmp_path / "other", config=every(100))
    other.train(arrays, steps=5).close()
    first = {}
    for state in ("params", "full"):
        settings = sf.WarmStartSettings(tmp_path / "other", state=state)
        estimator = line(model_fn, model_dir=tmp_path / state, warm_start_from=settings)
        estimator.train(arrays, steps=1)
        first[state] = int(estimator.checkpoints.arrays(0)["opt_state/[0]/count"])
        estimator.close()
    assert first == {"params": 0, "full": 5}


def test_embedding_rows_are_mapped_by_token(line, tmp_path, trained):
    (tmp_path / "old.txt").write_text("a\nb\nc\n")
    (tmp_path / "new.txt").write_text("c\nd\na\n")
    vocabulary = Vocabulary(tmp_path / "new.txt", tmp_path / "old.txt")
    settings = sf.WarmStartSettings(
        trained[0], vars_to_warm_start=None, vocabularies={"w": vocabulary}
    )
    w = trained[1]
    assert weights(line(warm_start_from=settings)).tolist() == [w[2], 0.0, w[0]]


# -- small arguments


def test_init_fn_acts_on_a_fresh_state_only(line):
    def ones(params):
        return {path: jnp.ones_like(array) for path, array in params.items()}

    estimator = line(init_fn=ones)
    assert weights(estimator).tolist() == [1.0, 1.0, 1.0]
    estimator.close()
    again = line(init_fn=ones)
    before = again.checkpoints.arrays(1)["params/w"]
    again.train(arrays, steps=1)
    assert again.checkpoints.arrays(1)["params/w"].tolist() == before.tolist()


def test_use_tpu_false_is_one_cpu_device(line):
    estimator = line(mesh=None, use_tpu=False)
    assert estimator.partitioner.mesh.size == 1
    with pytest.raises(ConfigError, match="use_tpu=False means one CPU device"):
        line(mesh=MeshConfig(axes=AxesConfig()), use_tpu=False)


def test_use_tpu_true_needs_a_tpu(line):
    with pytest.raises(RuntimeError, match="use_tpu=True"):
        line(mesh=None, use_tpu=True)


@pytest.mark.parametrize("name", ["batch_size", "context"])
def test_params_that_the_estimator_sets_raise(line, name):
    with pytest.raises(ValueError, match="is set by the estimator"):
        line(params={name: 3})


def test_the_loss_may_be_the_mean_over_batches(line):
    """24 rows in batches of 16: the reference's mean weighs 16 and 8 rows alike."""
    by_batch = line(config=sf.RunConfig(eval_loss="batches"), eval_batch_size=16)
    squares = Y.astype(np.float64) ** 2
    expected = (squares[:16].mean() + squares[16:].mean()) / 2
    assert by_batch.evaluate(arrays)["loss"] == pytest.approx(expected, rel=1e-6)


def test_evaluations_are_recorded_by_name_unless_unwanted(line):
    estimator = line()
    estimator.evaluate(arrays)
    estimator.evaluate(arrays, name="train")
    estimator.evaluate(arrays, record=False)
    for name in (None, "train"):
        assert list(History(estimator.model_dir, name).values("mse")) == [0]
