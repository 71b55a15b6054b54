"""Exporters, early stopping and warm start, as TensorFlow documents them."""

import math

import numpy as np
import pytest

import specflow as sf
from specflow.lifecycle import (
    History,
    stop_if,
    stop_if_higher,
    stop_if_lower,
    stop_if_no_decrease,
)
from specflow.loop import StopTraining
from tests.estimator.conftest import X, Y, arrays


def every(steps, **fields):
    return sf.RunConfig(save_checkpoints_steps=steps, keep_checkpoint_max=0, **fields)


class Noting(sf.LatestExporter):
    """Notes where and when it was asked to export, and gives what it is told to."""

    def __init__(self, name, gives):
        super().__init__(name)
        self.gives, self.asked = gives, []

    def export(self, estimator, directory, metrics, *, is_final):
        self.asked.append((directory, metrics["global_step"], is_final))
        return self.gives


# -- train_and_evaluate


def test_train_and_evaluate_checks_the_types_of_its_specs(line):
    with pytest.raises(TypeError) as error:
        line().train_and_evaluate({"max_steps": 3}, None)
    assert str(error.value).splitlines() == [
        "train_spec: got dict. Expected a specflow.TrainSpec.",
        "eval_spec: got NoneType. Expected a specflow.EvalSpec.",
    ]


def test_at_the_end_of_the_data_exporters_without_an_export_run_again(line):
    """TensorFlow skipped the final export where the data ended before max_steps."""
    made, waits = Noting("made", "there"), Noting("waits", None)
    batches = [({"x": X[:8]}, Y[:8])] * 4
    line(config=every(2)).train_and_evaluate(
        sf.TrainSpec(lambda: batches),
        sf.EvalSpec(arrays, throttle_secs=0, exporters=[made, waits]),
    )
    assert [asked[1:] for asked in made.asked] == [(2, False), (4, False)]
    assert [asked[1:] for asked in waits.asked] == [(2, False), (4, False), (4, True)]


@pytest.mark.parametrize(("name", "folder"), [(None, "eval"), ("held", "eval_held")])
def test_evaluations_during_training_write_summaries(line, name, folder):
    estimator = line(config=every(2))
    estimator.train_and_evaluate(
        sf.TrainSpec(arrays, max_steps=2),
        sf.EvalSpec(arrays, name=name, throttle_secs=0),
    )
    assert list((estimator.model_dir / folder).glob("events.*"))


@pytest.mark.parametrize("wrong", ["3", 2.5, True])
def test_exports_to_keep_of_another_type_raises(wrong):
    with pytest.raises(ValueError, match=r"exports_to_keep: got .*positive integer"):
        sf.LatestExporter("latest", exports_to_keep=wrong)


def test_a_compare_fn_that_is_no_function_raises():
    with pytest.raises(ValueError, match="compare_fn: got 3"):
        sf.BestExporter("best", compare_fn=3)


@pytest.mark.parametrize("name", ["", 3, None])
def test_the_name_of_an_exporter_must_be_a_nonempty_string(name):
    class Mine(sf.Exporter):
        def __init__(self):
            self.name = name

    with pytest.raises(ValueError, match="as its name"):
        sf.EvalSpec(arrays, exporters=[Mine()])


@pytest.mark.parametrize(
    "fields",
    [
        {"steps": -1},
        {"steps": math.nan},
        {"throttle_secs": "soon"},
        {"start_delay_secs": None},
        {"every_secs": 0},
    ],
)
def test_numbers_of_the_specs_must_be_positive(fields):
    with pytest.raises(ValueError, match="Expected"):
        sf.EvalSpec(arrays, **fields)


def test_max_steps_may_be_a_float(line):
    metrics, _ = line().train_and_evaluate(
        sf.TrainSpec(arrays, max_steps=2.5), sf.EvalSpec(arrays, steps=2.0)
    )
    assert metrics["global_step"] == 3


def test_the_last_checkpoint_is_evaluated_once(line):
    """Step 6 is due by the interval, and is the last one too."""
    estimator = line(config=every(3))
    estimator.train_and_evaluate(
        sf.TrainSpec(arrays, max_steps=6), sf.EvalSpec(arrays, throttle_secs=0)
    )
    lines = History(estimator.model_dir).path.read_text().splitlines()
    assert len(lines) == 2
    assert list(History(estimator.model_dir).values("loss")) == [3, 6]


def test_a_resumed_call_does_not_evaluate_its_first_checkpoint(line):
    specs = sf.EvalSpec(arrays, throttle_secs=0)
    line(config=every(3)).train_and_evaluate(sf.TrainSpec(arrays, max_steps=4), specs)
    estimator = line(config=every(3))
    estimator.train_and_evaluate(sf.TrainSpec(arrays, max_steps=8), specs)
    assert list(History(estimator.model_dir).values("loss")) == [3, 4, 7, 8]


def test_exporters_get_their_directory_and_whether_training_is_over(line):
    exporter = Noting("mine", None)
    estimator = line(config=every(2))
    estimator.train_and_evaluate(
        sf.TrainSpec(arrays, max_steps=5),
        sf.EvalSpec(arrays, throttle_secs=0, exporters=[exporter]),
    )
    folder = estimator.model_dir / "export" / "mine"
    assert exporter.asked == [(folder, 2, False), (folder, 4, False), (folder, 5, True)]


def test_train_and_evaluate_returns_the_last_metrics_and_exports(line, tmp_path):
    exporters = [Noting("a", tmp_path), Noting("b", None)]
    estimator = line(config=every(2))
    metrics, results = estimator.train_and_evaluate(
        sf.TrainSpec(arrays, max_steps=4),
        sf.EvalSpec(arrays, throttle_secs=0, exporters=exporters),
    )
    assert results == [tmp_path, None]
    assert metrics == estimator.evaluate(arrays)


# -- exporters


def test_retention_keeps_the_newest_exports_and_foreign_files(tmp_path):
    """A clean-up removes directories named by ten digits alone, the smallest first."""

    class Fake:
        def __init__(self):
            self.second = 1_000_000_000

        def export(self, directory, **_):
            self.second += 1
            made = tmp_path / str(self.second)
            made.mkdir()
            return made

    others = ["999999999", "10000000000", "temp-1000000000", "best", "1000000000x"]
    for name in others:
        (tmp_path / name).mkdir()
    (tmp_path / "0000000001").write_text("a file")
    (tmp_path / "0000000002").mkdir()
    estimator = Fake()
    exporter = sf.LatestExporter("latest", exports_to_keep=2)
    for _ in range(4):
        exporter.export(estimator, tmp_path, {"loss": 1.0}, is_final=False)
    assert {path.name for path in tmp_path.iterdir()} == {
        *others,
        "0000000001",
        "1000000003",
        "1000000004",
    }


def test_an_equal_loss_is_not_better():
    better = sf.BestExporter().compare
    results = {"loss": 0.5}, {"loss": 0.5}
    assert not better(best_eval_result=results[0], current_eval_result=results[1])


# -- early stopping


@pytest.fixture
def judged(line):
    """An estimator that evaluations were written for: step -> loss."""

    def make(values, name=None, **arguments):
        estimator = line(**arguments)
        for step, loss in values.items():
            History(estimator.model_dir, name).add(step, {"loss": loss})
        return estimator

    return make


def stops(hook):
    try:
        hook.after_step(1)
    except StopTraining:
        return True
    return False


def test_early_stopping_reads_the_evaluation_of_its_name(judged):
    estimator = judged({10: 0.1}, name="held")
    assert not stops(stop_if_lower(estimator, "loss", 0.5))
    assert stops(stop_if_lower(estimator, "loss", 0.5, name="held"))


def test_early_stopping_takes_any_predicate(line):
    assert stops(stop_if(lambda: True))
    assert not stops(stop_if(lambda: False))


@pytest.mark.parametrize(("threshold", "expected"), [(0.4, True), (0.5, False)])
def test_a_threshold_must_be_exceeded_strictly(judged, threshold, expected):
    estimator = judged({10: 0.5, 20: 0.1})
    assert stops(stop_if_higher(estimator, "loss", threshold)) is expected


def test_evaluations_before_min_steps_are_not_the_best(judged):
    """0.1 at step 10 would be the best; from step 20 on, 0.5 falls to 0.4 and 0.3."""
    estimator = judged({10: 0.1, 20: 0.5, 30: 0.4, 40: 0.3})
    assert stops(stop_if_no_decrease(estimator, "loss", 20))
    assert not stops(stop_if_no_decrease(estimator, "loss", 20, min_steps=20))


def test_a_missing_metric_raises_a_key_error(judged):
    hook = stop_if_lower(judged({10: 0.1}), "lost", 0.5)
    with pytest.raises(KeyError) as error:
        hook.after_step(1)
    assert isinstance(error.value, ValueError)
    assert str(error.value) == (
        "lost: is in no evaluation. Expected one of loss. Did you mean loss?"
    )


def test_run_every_steps_needs_run_every_secs_none(judged):
    estimator = judged({10: 0.1})
    with pytest.raises(ValueError, match="run_every_secs, run_every_steps"):
        stop_if_lower(estimator, "loss", 0.5, run_every_steps=10)
    hook = stop_if_lower(
        estimator, "loss", 0.5, run_every_secs=None, run_every_steps=10
    )
    assert stops(hook)


def test_the_step_that_early_stopping_ends_is_saved(judged):
    config = every(100, tpu_config=sf.TPUConfig(iterations_per_loop=1))
    estimator = judged({1: 0.1}, config=config)
    estimator.train(arrays, steps=9, hooks=[stop_if_lower(estimator, "loss", 0.5)])
    assert estimator.checkpoints.steps() == [0, 1]
    estimator.close()


# -- warm start


@pytest.fixture
def trained(line, tmp_path):
    """A trained estimator in a directory of its own."""
    estimator = line(model_dir=tmp_path / "other", config=every(2))
    estimator.train(arrays, steps=4)
    estimator.close()
    return estimator


def start_of(estimator):
    rows = list(estimator.predict(lambda: {"x": np.eye(3, dtype=np.float32)}))
    return np.array([row["value"] for row in rows])


def test_a_warm_start_path_is_a_model_dir_a_checkpoint_or_an_export(
    line, tmp_path, trained
):
    checkpoints = trained.model_dir / "checkpoints"
    export = trained.export(
        tmp_path / "exports", features={"x": X[:2]}, platforms=("cpu",)
    )
    for path in (trained.model_dir, str(checkpoints), checkpoints / "4", export):
        estimator = line(model_dir=None, warm_start_from=path)
        w = trained.checkpoints.arrays(4)["params/w"]
        np.testing.assert_array_equal(start_of(estimator), w)
    earlier = line(model_dir=None, warm_start_from=checkpoints / "2")
    w = trained.checkpoints.arrays(2)["params/w"]
    np.testing.assert_array_equal(start_of(earlier), w)


@pytest.mark.parametrize(
    ("patterns", "warm"),
    [("w", True), ("^w$", True), (["v", "w"], True), (".", True), (None, False)],
)
@pytest.mark.filterwarnings("ignore:warm start")
def test_warm_start_patterns_match_at_the_start_of_the_path(
    line, trained, patterns, warm
):
    settings = sf.WarmStartSettings(trained.model_dir, vars_to_warm_start=patterns)
    estimator = line(warm_start_from=settings)
    assert bool(start_of(estimator).any()) is warm


def test_an_untrained_model_evaluates_and_predicts_with_the_warm_start(line, trained):
    estimator = line(warm_start_from=trained.model_dir)
    w = trained.checkpoints.arrays(4)["params/w"]
    expected = np.mean((X.astype(np.float64) @ w - Y) ** 2)
    found = estimator.evaluate(arrays)
    assert found["loss"] == pytest.approx(expected, rel=1e-5)
    assert found["global_step"] == 0
    np.testing.assert_array_equal(start_of(estimator), w)


@pytest.mark.parametrize("wrong", [3, "(", [3], ["w", "("]])
def test_an_invalid_pattern_raises(wrong):
    with pytest.raises(ValueError, match=r"warm_start: got .* Expected a regul"):
        sf.WarmStartSettings("runs/try1", vars_to_warm_start=wrong)


def test_a_warm_start_directory_without_checkpoints_raises(line, tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        line(warm_start_from=tmp_path / "nowhere").train(arrays, steps=1)
