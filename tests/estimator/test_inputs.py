"""Inputs that an input_fn may return, and their place across calls."""

import functools

import grain
import numpy as np
import optax
import pytest

import specflow as sf
from specflow.config.sections.mesh import AxesConfig, MeshConfig
from specflow.diagnostics.errors import DataError, SpecflowWarning


def batches_of(x, y, size=8):
    for start in range(0, len(x), size):
        yield {"x": x[start : start + size]}, y[start : start + size]


def grain_batches(x, y):
    return (
        grain.MapDataset.range(len(x))
        .map(lambda i: ({"x": x[i]}, y[i]))
        .batch(8)
        .to_iter_dataset(grain.ReadOptions(num_threads=1))
    )


@pytest.fixture
def forms(rows):
    """The same three batches of 8 rows, in every form."""
    features, y = rows()
    x = features["x"]
    return {
        "arrays": rows,
        "a generator": lambda: batches_of(x, y),
        "a generator function itself": functools.partial(batches_of, x, y),
        "a list": lambda: list(batches_of(x, y)),
        "grain": lambda: grain_batches(x, y),
        "a source": lambda: sf.data.as_source(rows()),
    }


FORMS = [
    "arrays",
    "a generator",
    "a generator function itself",
    "a list",
    "grain",
    "a source",
]


@pytest.mark.parametrize("form", FORMS)
def test_every_input_form_trains_evaluates_and_predicts_alike(
    line, forms, form, tmp_path
):
    found = {}
    for number, name in enumerate(("arrays", form)):
        estimator = line(
            model_dir=tmp_path / str(number),
            config=sf.RunConfig(shuffle=False, save_checkpoints_steps=0),
        )
        estimator.train(forms[name], steps=3)
        found[name] = (
            estimator.evaluate(forms[name]),
            [row["value"] for row in estimator.predict(forms[name])],
        )
        estimator.close()
    assert found[form] == found["arrays"]
    assert found[form][0]["global_step"] == 3


def test_an_input_may_be_features_alone(line, rows):
    x = rows()[0]
    estimator = line()
    with_labels = [row["value"] for row in estimator.predict(rows)]
    assert [row["value"] for row in estimator.predict(lambda: x)] == with_labels
    estimator.close()


def test_features_and_labels_may_be_nested(line, rows):
    features, y = rows()

    def input_fn():
        return {"table": {"x": features["x"]}, "id": np.arange(24)}, {"y": {"z": y}}

    def model_fn(model, features, labels, mode):
        value = model(features["table"]["x"])
        loss = ((value - labels["y"]["z"]) ** 2).mean()
        return sf.TPUEstimatorSpec(mode, {}, loss, optax.sgd(0.1))

    estimator = line(model_fn)
    before = estimator.evaluate(input_fn)["loss"]
    assert estimator.train(input_fn, steps=30).evaluate(input_fn)["loss"] < before / 10
    estimator.close()


def test_the_end_of_the_data_ends_training_with_a_checkpoint(line, forms):
    estimator = line()
    with pytest.warns(SpecflowWarning, match="the input ended after 3 of 100 steps"):
        estimator.train(forms["a generator"], max_steps=100)
    assert estimator.latest_step() == 3
    estimator.close()


@pytest.mark.parametrize("form", ["a generator", "grain"])
def test_training_resumes_at_the_place_in_the_input(line, rows, form, tmp_path):
    """24 different rows, so that a batch seen twice or missed would show."""
    features, y = rows()
    makers = {"a generator": batches_of, "grain": grain_batches}

    def input_fn():
        return makers[form](features["x"], y)

    def weights(directory, *stops):
        for stop in stops:
            estimator = line(model_dir=directory)
            estimator.train(input_fn, max_steps=stop)
            estimator.close()
        return estimator._states.state.params["w"]

    whole = weights(tmp_path / "whole", 3)
    np.testing.assert_array_equal(weights(tmp_path / "pieces", 1, 2, 3), whole)


class Numbered:
    """An iterator of batches that knows its place, as Grain's do."""

    def __init__(self, batches):
        self.batches, self.next_index = list(batches), 0

    def __iter__(self):
        return self

    def __next__(self):
        if self.next_index == len(self.batches):
            raise StopIteration
        self.next_index += 1
        return self.batches[self.next_index - 1]

    def get_state(self):
        return {"next_index": self.next_index}

    def set_state(self, state):
        self.next_index = state["next_index"]


@pytest.mark.parametrize("wrapped", [iter, Numbered])
def test_an_input_function_is_called_once_and_no_batch_is_lost(line, rows, wrapped):
    """The form of a batch was taken from a second call, which a shared iterator has
    to pay with its first batch."""
    features, y = rows()
    iterator, calls = wrapped(batches_of(features["x"], y)), []

    def input_fn():
        calls.append(1)
        return iterator

    estimator = line()
    estimator.train(input_fn)
    assert estimator.latest_step() == 3
    assert len(calls) == 1
    estimator.close()


def test_an_input_without_rows_raises(line):
    def nothing():
        return iter(())

    with pytest.raises(DataError) as error:
        line().train(nothing, steps=1)
    assert str(error.value) == (
        "data: the training input has no rows. Expected at least one row."
    )
    with pytest.raises(DataError) as error:
        line().evaluate(nothing)
    assert str(error.value) == (
        "data: the evaluation input has no rows. Expected at least one row."
    )
    assert list(line().predict(nothing)) == []


@pytest.mark.parametrize("devices", [1, 2])
def test_short_batches_of_an_iterable_are_not_padded_in_training(line, rows, devices):
    """24 rows in batches of 7: three of 7 and one of 3, worked out in float64."""
    features, y = rows()
    x, w = features["x"].astype(np.float64), np.zeros(3)
    for part in (slice(0, 7), slice(7, 14), slice(14, 21), slice(21, 24)):
        w -= 0.1 * 2 / len(x[part]) * x[part].T @ (x[part] @ w - y[part])
    estimator = line(mesh=MeshConfig(axes=AxesConfig(data=devices)))
    estimator.train(lambda: batches_of(features["x"], y, size=7))
    assert estimator.latest_step() == 4
    # Sums of up to seven float32 products, four steps.
    np.testing.assert_allclose(estimator._states.state.params["w"], w, rtol=1e-5)
    estimator.close()
