"""Several evaluation sets: reported apart, judged by `set/metric`, stopped, resumed."""

import json
from typing import Any

import numpy as np
import optax
import pytest
from flax import nnx

import specflow as sf
from specflow.config.sections.mesh import AxesConfig
from specflow.config.sections.output import BestConfig
from specflow.data import ArraySource, Data
from specflow.diagnostics.errors import DataError
from specflow.metrics import AUC, Mean

ROWS, BATCH = 24, 4
rng = np.random.default_rng(0)
X = rng.standard_normal((ROWS, 3)).astype(np.float32)
Y = (X.sum(-1) > 0).astype(np.int32)
OTHERS = {"flipped": (X[:12], 1 - Y[:12]), "far": (3 * X[:16], Y[:16])}


def model_fn(model, features, labels, mode):
    scores = model(features["x"])[:, 0]
    if mode is sf.Mode.PREDICT:
        return sf.TPUEstimatorSpec(mode, {"score": scores})
    losses = optax.sigmoid_binary_cross_entropy(scores, labels)
    return sf.TPUEstimatorSpec(
        mode,
        {"score": scores},
        losses.mean(),
        optax.adam(0.1),
        (metric_fn, [labels, scores, losses]),
    )


def metric_fn(labels, scores, losses):
    return {
        "auc": AUC.from_batch(labels, scores),
        "mean": Mean.from_batch(losses),
    }


class Batches:
    """The sets as iterables, counting the batches that are read of all of them."""

    def __init__(self, at=None):
        self.read, self.at = 0, at

    def __call__(self):
        return self.at is not None and self.read >= self.at

    def of(self, x, y):
        def batches():
            for start in range(0, len(x), BATCH):
                self.read += 1
                yield {"x": x[start : start + BATCH]}, y[start : start + BATCH]

        return batches


def estimator_in(directory, **config):
    return sf.Estimator(
        model_fn,
        model=lambda rngs: nnx.Linear(3, 1, rngs=rngs),
        model_dir=directory,
        train_batch_size=BATCH,
        mesh=sf.MeshConfig(axes=AxesConfig()),
        config=sf.RunConfig(save_checkpoints_steps=100, progress=False, **config),
    )


def run(directory, stopper=None, *, at_start=False, early_stopping=None, **config):
    """Trains for 4 steps; returns the metrics and the reports of evaluations."""
    stopper = Batches() if stopper is None else stopper
    reports = []
    with_reports = estimator_in(directory, **config)
    metrics, _ = with_reports.train_and_evaluate(
        sf.TrainSpec(lambda: ({"x": X}, Y), max_steps=4),
        sf.EvalSpec(
            stopper.of(X, Y),
            steps=None,
            every_steps=2,
            sets={name: stopper.of(*rows) for name, rows in OTHERS.items()},
            at_start=at_start,
            early_stopping=early_stopping,
        ),
        report=lambda step, split, values: reports.append((step, split, dict(values))),
        should_stop=stopper,
    )
    with_reports.close()
    return metrics, [row for row in reports if row[1] != "train"], with_reports


def test_each_set_has_the_metrics_of_its_own_evaluation(tmp_path):
    metrics, reports, estimator = run(tmp_path)
    alone = estimator.evaluate(lambda: ({"x": X}, Y), record=False)
    assert {k: v for k, v in metrics.items() if "/" not in k} == alone
    for name, (x, y) in OTHERS.items():
        of_set = estimator.evaluate(lambda x=x, y=y: ({"x": x}, y), record=False)
        del of_set["global_step"]
        assert {k: v for k, v in metrics.items() if k.startswith(name)} == {
            f"{name}/{metric}": value for metric, value in of_set.items()
        }
        # Independent: NumPy, from the predictions.
        scores = np.array([p["score"] for p in estimator.predict(lambda x=x: {"x": x})])
        losses = np.logaddexp(0, np.where(y, -scores, scores.astype(np.float64)))
        assert of_set["mean"] == pytest.approx(losses.mean(), rel=1e-6)
    assert [(step, split) for step, split, _ in reports] == [
        (step, split)
        for step in (2, 4)
        for split in ("eval_flipped", "eval_far", "eval")
    ]
    assert all("/" not in key for _, _, values in reports for key in values)


def test_each_set_has_its_own_history(tmp_path):
    reports = run(tmp_path)[1]
    for split in ("eval", "eval_flipped", "eval_far"):
        lines = (tmp_path / split / "metrics.jsonl").read_text().splitlines()
        rows = [json.loads(line) for line in lines]
        expected = [(step, values) for step, of, values in reports if of == split]
        assert [row["step"] for row in rows] == [step for step, _ in expected]
        assert [row["auc"] for row in rows] == [each["auc"] for _, each in expected]


@pytest.mark.parametrize("stopped_at", [None, 1, 4, 6])
def test_the_rows_of_parts_are_evaluated_once_and_merged(tmp_path, stopped_at):
    parts = {"first": (X[:9], Y[:9]), "second": (X[9:], Y[9:])}

    def trained(stopper):
        with_parts = estimator_in(tmp_path)
        metrics, _ = with_parts.train_and_evaluate(
            sf.TrainSpec(lambda: ({"x": X}, Y), max_steps=2),
            sf.EvalSpec(
                stopper.of(X, Y),
                steps=None,
                every_steps=2,
                sets={name: stopper.of(*rows) for name, rows in parts.items()},
                parts=list(parts),
            ),
            should_stop=stopper,
        )
        return metrics, with_parts

    metrics, estimator = trained(first := Batches(stopped_at))
    if stopped_at is None:
        assert first.read == 3 + 4  # Batches of 9 and 15 rows, and none of all 24.
    else:
        assert metrics == {"global_step": 2}
        metrics, estimator = trained(Batches())
    alone = estimator.evaluate(lambda: ({"x": X}, Y), record=False)
    # Equal but for float32 sums within a batch: the parts end in batches of their own.
    assert {k: v for k, v in metrics.items() if "/" not in k} == pytest.approx(alone)
    of_first = estimator.evaluate(lambda: ({"x": X[:9]}, Y[:9]), record=False)
    assert metrics["first/auc"] == of_first["auc"]
    inputs = {name: lambda x=x, y=y: ({"x": x}, y) for name, (x, y) in parts.items()}
    whole, each = estimator.evaluate_parts(inputs)
    assert whole == pytest.approx(alone)
    assert each["first"] == of_first


def test_parts_are_names_of_sets():
    with pytest.raises(ValueError, match=r"parts: got 'frist'\. Expected names"):
        sf.EvalSpec(lambda: None, sets={"first": lambda: None}, parts=["frist"])


@pytest.mark.parametrize("at", [1, 4, 7, 9, 10, 13])
def test_an_evaluation_that_is_stopped_in_any_set_continues_there(tmp_path, at):
    """13 batches: 6 of the input, then 3 and 4 of the sets; none is computed twice."""
    unbroken, reports, _ = run(tmp_path / "unbroken")
    first = Batches(at)
    metrics, none, _ = run(tmp_path / "run", first)
    assert (metrics, none) == ({"global_step": 2}, [])
    second = Batches()
    assert run(tmp_path / "run", second)[:2] == (unbroken, reports)
    # Iterables are read from their start; finished sets are not read again.
    finished = sum(count for count in (6, 3, 4)[: (at > 6) + (at > 9)])
    assert second.read == 26 - finished


def test_rules_and_the_best_checkpoint_go_by_a_metric_of_a_set(tmp_path):
    rule = sf.early_stopping.Crossed("flipped/mean", 0.0, "higher")
    best = BestConfig(metric="far/auc", order="highest")
    metrics, _, estimator = run(tmp_path, early_stopping=rule, keep_best=best)
    assert metrics["global_step"] == 2
    assert "flipped/mean" in str(estimator.stopped_early)
    found: Any = estimator.checkpoints.best()
    assert (found.step, found.metric) == (2, "far/auc")
    assert found.value == metrics["far/auc"]
    # The same call ends at once, by the history of the set.
    assert run(tmp_path, early_stopping=rule, keep_best=best)[0] == metrics


def test_a_metric_that_no_set_has_is_named(tmp_path):
    rule = sf.early_stopping.Crossed("flipt/auc", 0.9, "higher")
    with pytest.raises(sf.ConfigError, match=r"Did you mean .*flipped/auc"):
        run(tmp_path, early_stopping=rule)


def test_the_initial_state_is_evaluated_on_request(tmp_path):
    untrained = estimator_in(tmp_path / "untrained")
    expected = untrained.evaluate(lambda: ({"x": X}, Y), record=False)
    _, reports, _ = run(tmp_path / "run", at_start=True)
    at_start = [row for row in reports if row[0] == 0]
    assert [split for _, split, _ in at_start] == ["eval_flipped", "eval_far", "eval"]
    assert at_start[-1][2] == {k: v for k, v in expected.items() if k != "global_step"}
    assert [step for step, split, _ in reports if split == "eval"] == [0, 2, 4]
    # A run that resumes does not begin again.
    assert [row[0] for row in run(tmp_path / "run", at_start=True)[1]] == [4, 4, 4]


@pytest.mark.parametrize("at", [2, 8, 12])
def test_an_evaluation_at_the_start_that_is_stopped_continues(tmp_path, at):
    unbroken, reports, _ = run(tmp_path / "unbroken", at_start=True)
    metrics, none, _ = run(tmp_path / "run", Batches(at), at_start=True)
    assert (metrics, none) == ({"global_step": 0}, [])
    assert run(tmp_path / "run", at_start=True)[:2] == (unbroken, reports)


def test_names_of_sets_are_checked():
    EvalSpec: Any = sf.EvalSpec

    def rows():
        return {"x": X}, Y

    for name in ("", "a/b", 3):
        with pytest.raises((ValueError, TypeError), match="without a slash"):
            EvalSpec(rows, sets={name: rows})
    with pytest.raises(TypeError, match="a function that gives the input"):
        EvalSpec(rows, sets={"far": 1})
    source = ArraySource({"x": X}, Y)
    with pytest.raises(DataError, match="has the name of a split"):
        Data(source, source, sets={"test": source})
    with pytest.raises(DataError, match=r"evaluation set far, features.x: a row is"):
        Data(source, source, sets={"far": ArraySource({"x": X[:, :2]}, Y)})
