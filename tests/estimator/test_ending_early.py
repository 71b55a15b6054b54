"""Early stopping and exporters inside `train_and_evaluate`."""

import json

import numpy as np
import optax
import pytest

import specflow as sf
from specflow.config.sections.output import BestConfig
from specflow.diagnostics.errors import ConfigError
from specflow.lifecycle import ByMetric, Crossed, History, Stalled, newest_export

X = np.random.default_rng(0).standard_normal((24, 3)).astype(np.float32)
Y = X @ np.array([1.0, -2.0, 0.5], np.float32)
SAVING = sf.RunConfig(save_checkpoints_steps=100)
HALVED = Crossed("loss", 2.0, "lower")
"""The loss begins near 5 and falls with every step."""


def arrays():
    return {"x": X}, Y


def run(estimator, *, max_steps=60, every_steps=2, **fields):
    """Trains and evaluates: (metrics, exports)."""
    return estimator.train_and_evaluate(
        sf.TrainSpec(arrays, max_steps),
        sf.EvalSpec(arrays, every_steps=every_steps, **fields),
    )


def test_early_stopping_ends_training_at_its_evaluation(line):
    estimator = line(config=SAVING)
    metrics, _ = run(estimator, early_stopping=HALVED)
    values = History(estimator.model_dir).values("loss")
    (beyond,) = (step for step, loss in values.items() if loss < 2.0)
    assert beyond == max(values) == metrics["global_step"] == estimator.latest_step()
    assert estimator.stopped_early == (
        f"loss is {values[beyond]:.4g} at step {beyond}, lower than 2"
    )


def test_the_steps_up_to_there_are_those_of_a_run_that_was_never_watched(line):
    watched = line(config=SAVING)
    latest = sf.LatestExporter("latest", input_fn=arrays, platforms=("cpu",))
    metrics, _ = run(watched, early_stopping=HALVED, exporters=latest)
    step = metrics["global_step"]
    free = line(config=SAVING, model_dir=watched.model_dir / "free")
    free.train(arrays, max_steps=step)
    for name, array in watched.checkpoints.arrays().items():
        np.testing.assert_array_equal(array, free.checkpoints.arrays()[name])


def test_a_call_that_early_stopping_ended_trains_nothing_when_repeated(line):
    """The flag that the reference saved did not stop a later run: it trained on."""
    first = line(config=SAVING)
    metrics, _ = run(first, early_stopping=HALVED)
    first.close()
    again = line(config=SAVING)
    assert run(again, early_stopping=HALVED)[0] == metrics
    assert again.stopped_early == first.stopped_early
    assert again.latest_step() == first.latest_step()


def test_training_resumes_with_another_rule(line):
    estimator = line(config=SAVING)
    run(estimator, early_stopping=HALVED)
    metrics, _ = run(estimator, early_stopping=Stalled("loss", 1_000, "lower"))
    assert (metrics["global_step"], estimator.stopped_early) == (60, None)


def test_a_rule_that_speaks_at_max_steps_has_ended_nothing(line):
    estimator = line(config=SAVING)
    run(estimator, max_steps=2, early_stopping=Crossed("loss", 0.0, "higher"))
    assert estimator.stopped_early is None


def test_evaluations_of_a_process_that_died_beyond_its_checkpoint_are_forgotten(line):
    """It had evaluated step 40 and saved step 20: whether 40 comes again is unknown."""
    estimator = line(config=SAVING)
    estimator.train(arrays, max_steps=20)
    history = History(estimator.model_dir)
    history.add(20, {"loss": 3.0})
    history.add(40, {"loss": 0.5})
    metrics, _ = run(estimator, max_steps=30, early_stopping=HALVED)
    assert metrics["global_step"] == 22
    assert min(history.values("loss")) == 20


def test_a_metric_that_is_measured_only_now_has_no_past(line):
    estimator = line(config=SAVING)
    estimator.train(arrays, max_steps=20)
    History(estimator.model_dir).add(20, {"loss": 3.0})
    metrics, _ = run(estimator, early_stopping=Stalled("mse", 1_000, "lower"))
    assert metrics["global_step"] == 60


def test_metrics_that_judge_and_are_not_there_are_all_named_at_the_first_evaluation(
    line,
):
    """Metrics of a model_fn are known after the first evaluation."""

    def measuring(losses):
        return {
            "mse": sf.metrics.Mean.from_batch(losses),
            "rows": sf.metrics.MeanTensor.from_batch(losses[:, None]),
        }

    def confused(model, features, labels, mode):
        losses = (model(features["x"]) - labels) ** 2
        return sf.TPUEstimatorSpec(
            mode, {}, losses.mean(), optax.sgd(0.1), (measuring, [losses])
        )

    estimator = line(
        confused,
        config=SAVING.replace(keep_best=BestConfig(metric="accuracy")),
    )
    with pytest.raises(ConfigError) as caught:
        run(
            estimator,
            early_stopping=Stalled("msse", 10, "lower"),
            exporters=sf.BestExporter(compare_fn=ByMetric("rows"), input_fn=arrays),
        )
    assert [str(diagnostic) for diagnostic in caught.value.diagnostics] == [
        "early stopping: goes by 'msse', which is not measured. Expected one of loss, "
        "mse. Did you mean mse?",
        "the best checkpoint: goes by 'accuracy', which is not measured. Expected one "
        "of loss, mse.",
        "exporter 'best': goes by 'rows', which is no single number. Expected one of "
        "loss, mse.",
    ]


def test_the_exported_state_is_the_evaluated_one(line):
    """Also where it is not saved: the first checkpoint comes at step 100 only."""
    estimator = line(config=SAVING)
    metrics, exports = run(
        estimator,
        early_stopping=HALVED,
        exporters=[
            sf.FinalExporter("final", input_fn=arrays, platforms=("cpu",)),
            sf.BestExporter("best", input_fn=arrays, platforms=("cpu",)),
        ],
    )
    final, best = (
        newest_export(estimator.model_dir / "export" / name)
        for name in ("final", "best")
    )
    assert final is not None
    assert best is not None
    assert (final.step, best.step) == (metrics["global_step"],) * 2
    assert {final.path, best.path} <= set(exports)
    rows = [row["value"] for row in estimator.predict(arrays)]
    for made in (final, best):
        answer = sf.load_export(made.path)(x=X)["value"]
        # Predict's batches of 8 rows may add up in another order than 24 at once.
        np.testing.assert_allclose(answer, rows, rtol=1e-6)


def test_nothing_is_exported_twice_when_there_was_nothing_to_train(line):
    exporters = [
        sf.LatestExporter("latest", input_fn=arrays, platforms=("cpu",)),
        sf.FinalExporter("final", input_fn=arrays, platforms=("cpu",)),
    ]
    estimator = line(config=SAVING)
    _, exports = run(estimator, max_steps=2, exporters=exporters)
    assert len(exports) == 2
    estimator.close()
    # As if the process had died before the second one.
    for path in exports[1].iterdir():
        path.unlink()
    exports[1].rmdir()
    _, again = run(line(config=SAVING), max_steps=2, exporters=exporters)
    latest, final = again
    assert latest is None
    assert final.parent.name == "final"


def test_best_goes_by_any_metric_and_begins_anew_with_a_new_one(line):
    best = line(config=SAVING).model_dir / "export" / "best"
    best.mkdir(parents=True)
    (best / "best.json").write_text(json.dumps({"loss": 0.0}))
    exporter = sf.BestExporter(
        compare_fn=ByMetric("mse", "highest"), input_fn=arrays, platforms=("cpu",)
    )
    run(line(config=SAVING), max_steps=4, exporters=exporter)
    # The error falls from the first evaluation on, so the first one was the highest.
    assert newest_export(best).step == 2  # type: ignore[union-attr]


def test_best_by_a_metric_that_is_not_measured_names_the_near_one():
    with pytest.raises(ConfigError) as caught:
        ByMetric("acuracy")({"loss": 1.0}, {"loss": 1.0, "accuracy": 0.5})
    assert str(caught.value) == (
        "compare_fn: the current result has no 'acuracy'. Expected one of accuracy, "
        "loss, or a compare_fn for them. Did you mean accuracy?"
    )


def test_evaluation_may_go_by_seconds(line):
    # So short that every device loop takes longer; a loop is one step, as rhythms of
    # seconds are looked at when one ends.
    one_step = SAVING.replace(tpu_config=sf.TPUConfig(iterations_per_loop=1))
    estimator = line(config=one_step)
    run(estimator, max_steps=4, every_steps=None, every_secs=1e-9)
    assert list(History(estimator.model_dir).values("loss")) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"every_secs": 0}, "every_secs: got 0. Expected a positive number, or None."),
        (
            {"every_secs": 5, "every_steps": 5},
            "every_secs: got 5. Expected no every_steps too.",
        ),
        ({"early_stopping": "loss"}, "early_stopping: got 'loss'. Expected a rule."),
    ],
)
def test_an_eval_spec_reports_its_errors(fields, message):
    with pytest.raises(sf.SpecError) as caught:
        sf.EvalSpec(arrays, **fields)
    assert str(caught.value) == message
