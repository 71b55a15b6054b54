"""Results of evaluate, as TensorFlow documents them for TPUEstimator."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

import specflow as sf
from specflow.diagnostics.errors import ConfigError
from specflow.lifecycle import History
from specflow.metrics import Mean, MeanTensor
from tests.estimator.conftest import X, Y, arrays, line_fn


def measuring(metric_fn, tensors=lambda losses, labels: [losses]):
    """The line, with another metric function; the loss of a row is y^2 while w = 0."""

    def model_fn(model, features, labels, mode):
        spec = line_fn(model, features, labels, mode)
        if mode is not sf.Mode.EVAL:
            return spec
        losses = (model(features["x"]) - labels) ** 2
        return spec._replace(eval_metrics=(metric_fn, tensors(losses, labels)))

    return model_fn


# -- the metric function


def test_eval_tensors_are_passed_by_position_or_by_name(line):
    def of_list(first, second):
        return {"low": Mean.from_batch(second - first)}

    def of_dict(*, big, small):
        return {"low": Mean.from_batch(big - small)}

    by_place = measuring(of_list, lambda losses, labels: [labels, losses])
    by_name = measuring(
        of_dict, lambda losses, labels: {"small": labels, "big": losses}
    )
    expected = np.mean(Y.astype(np.float64) ** 2 - Y)
    for model_fn in (by_place, by_name):
        assert line(model_fn).evaluate(arrays)["low"] == pytest.approx(expected)


def test_metric_pairs_of_python_numbers_raise_an_attribute_error(line):
    with pytest.raises(AttributeError, match=r"eval_metrics\['m'\]: is \(float, float"):
        line(measuring(lambda losses: {"m": (0.5, 0.5)})).evaluate(arrays)


@pytest.mark.parametrize("nothing", [None, {}])
def test_none_and_an_empty_dict_are_no_metrics(line, nothing):
    found = line(measuring(lambda losses: nothing)).evaluate(arrays)
    assert sorted(found) == ["global_step", "loss"]


@pytest.mark.parametrize(
    "wrong", [[Mean()], {"m": [1.0, Mean()]}, {"m": (1, 2, 3)}, {"m": 1.0}, {"m": Mean}]
)
def test_a_metric_function_that_returns_no_dict_raises_a_type_error(line, wrong):
    with pytest.raises(TypeError, match="eval_metrics"):
        line(measuring(lambda losses: wrong)).evaluate(arrays)


@pytest.mark.parametrize("size", [1, 5, 24])
def test_a_metric_value_is_read_once_after_the_last_batch(line, size):
    """Not a mean over batches: these have 5, 5, 5, 5 and 4 rows, or 1 each."""

    class Read(Mean):
        reads = 0

        def compute(self):
            Read.reads += 1
            return super().compute()

    Read.reads = 0
    model_fn = measuring(lambda losses: {"mine": Read.from_batch(losses)})
    found = line(model_fn, eval_batch_size=size).evaluate(arrays)
    assert found["mine"] == pytest.approx(np.mean(Y.astype(np.float64) ** 2), rel=1e-6)
    assert Read.reads == 1


def test_metrics_start_empty_in_each_evaluation_and_are_never_saved(line):
    estimator = line()
    estimator.train(arrays, steps=1)
    assert estimator.evaluate(arrays) == estimator.evaluate(arrays)
    names = {name.split("/")[0] for name in estimator.checkpoints.arrays()}
    assert names <= {"params", "state", "opt_state", "step"}
    estimator.close()


def test_values_are_numbers_and_arrays_and_the_step_is_an_integer(line):
    model_fn = measuring(
        lambda losses: {
            "one": Mean.from_batch(losses),
            "two": MeanTensor.from_batch(np.stack([losses, 2 * losses], axis=1)),
        }
    )
    found = line(model_fn).evaluate(arrays)
    mean = np.mean(Y.astype(np.float64) ** 2)
    assert isinstance(found["global_step"], int)
    assert isinstance(found["one"], float)
    assert found["two"].shape == (2,)
    np.testing.assert_allclose(found["two"], [mean, 2 * mean], rtol=1e-6)


# -- the result


def test_without_metrics_evaluate_returns_loss_and_step(line):
    def model_fn(model, features, labels, mode):
        return line_fn(model, features, labels, mode)._replace(eval_metrics=None)

    found = line(model_fn).evaluate(arrays)
    expected = np.mean(Y.astype(np.float64) ** 2)
    assert found == {"loss": pytest.approx(expected, rel=1e-6), "global_step": 0}


def test_example_weights_do_not_change_the_mean_over_batches(line):
    """A loss weighted within its batch counts by the batch's rows alone."""

    def model_fn(model, features, labels, mode):
        weights = jnp.arange(labels.shape[0])
        losses = (model(features["x"]) - labels) ** 2
        loss = (weights * losses).sum() / weights.sum()
        return line_fn(model, features, labels, mode)._replace(loss=loss)

    squares, weights = Y.astype(np.float64) ** 2, np.arange(16)
    batches = [
        (weights[: len(part)] * part).sum() / weights[: len(part)].sum()
        for part in (squares[:16], squares[16:])
    ]
    for how, counts in (("examples", [16, 8]), ("batches", [1, 1])):
        estimator = line(
            model_fn, eval_batch_size=16, config=sf.RunConfig(eval_loss=how)
        )
        expected = np.average(batches, weights=counts)
        assert estimator.evaluate(arrays)["loss"] == pytest.approx(expected, rel=1e-6)


def test_global_step_is_that_of_the_checkpoint_and_0_without_one(line):
    estimator = line(config=sf.RunConfig(save_checkpoints_steps=2))
    assert estimator.evaluate(arrays)["global_step"] == 0
    estimator.train(arrays, steps=3)
    assert estimator.evaluate(arrays)["global_step"] == 3
    path = estimator.model_dir / "checkpoints" / "2"
    assert estimator.evaluate(arrays, checkpoint_path=path)["global_step"] == 2
    estimator.close()


def test_evaluate_reports_a_nan_loss(line):
    def model_fn(model, features, labels, mode):
        spec = line_fn(model, features, labels, mode)
        return spec._replace(loss=spec.loss * jnp.nan)

    found = line(model_fn).evaluate(arrays)
    assert math.isnan(found["loss"])
    assert math.isfinite(found["mse"])


def test_rows_may_contain_values_that_are_not_finite(line):
    labels = np.where(np.arange(len(Y)) == 3, np.nan, Y)
    found = line().evaluate(lambda: ({"x": X}, labels.astype(np.float32)))
    assert math.isnan(found["loss"])


def test_scalars_and_arrays_are_summaries_of_their_step_by_name(line):
    model_fn = measuring(
        lambda losses: {
            "one": Mean.from_batch(losses),
            "two": MeanTensor.from_batch(np.stack([losses, losses], axis=1)),
        }
    )
    estimator = line(model_fn)
    estimator.train(arrays, steps=2)
    found = estimator.evaluate(arrays)
    estimator.evaluate(arrays, name="again")
    for folder, name in (("eval", None), ("eval_again", "again")):
        assert list((estimator.model_dir / folder).glob("*tfevents*"))
        assert History(estimator.model_dir, name).values("one") == {2: found["one"]}
    estimator.close()


# -- checkpoint and number of steps


def test_without_a_checkpoint_initial_values_are_evaluated(line):
    found = line().evaluate(arrays)
    assert found["global_step"] == 0
    assert found["loss"] == pytest.approx(np.mean(Y.astype(np.float64) ** 2), rel=1e-6)


def test_a_checkpoint_path_that_does_not_exist_raises(line, tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        line().evaluate(arrays, checkpoint_path=tmp_path / "nowhere")


@pytest.mark.parametrize(("steps", "rows"), [(None, 24), (2, 10), (100, 24)])
def test_steps_of_evaluate_are_batches_and_may_exceed_the_data(line, steps, rows):
    found = line(eval_batch_size=5).evaluate(arrays, steps=steps)
    expected = np.mean(Y[:rows].astype(np.float64) ** 2)
    assert found["mse"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("steps", [0, -1, "3", True])
def test_steps_of_evaluate_must_be_positive(line, steps):
    with pytest.raises(ConfigError) as error:
        line().evaluate(arrays, steps=steps)
    assert str(error.value) == f"steps: got {steps!r}. Expected a positive integer."


def test_evaluate_and_predict_do_not_change_the_checkpoints(line):
    def state_of(folder):
        return {
            path: path.stat().st_mtime_ns
            for path in folder.rglob("*")
            if path.is_file()
        }

    estimator = line(config=sf.RunConfig(save_checkpoints_steps=1))
    estimator.train(arrays, steps=2).close()
    again = line()
    folder = again.model_dir / "checkpoints"
    before = state_of(folder)
    again.evaluate(arrays)
    list(again.predict(lambda: {"x": X}))
    again.close()
    assert state_of(folder) == before
