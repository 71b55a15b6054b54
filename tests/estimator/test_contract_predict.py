"""Predictions, as TensorFlow documents them for TPUEstimator.predict."""

import jax.numpy as jnp
import numpy as np
import pytest

import specflow as sf
from specflow.config.sections.mesh import AxesConfig, MeshConfig
from tests.estimator.conftest import X, arrays, line_fn

W = np.array([1.0, -2.0, 0.5], np.float32)


@pytest.fixture
def known(line):
    """An estimator whose weights are W from the start."""

    def make(model_fn=line_fn, **arguments):
        return line(model_fn, init_fn=lambda params: {"w": W}, **arguments)

    return make


def test_predict_checks_arguments_at_the_call_and_yields_lazily(known):
    asked = []

    def batches():
        for start in range(0, 24, 8):
            asked.append(start)
            yield {"x": X[start : start + 8]}

    with pytest.raises(ValueError, match="predict_keys"):
        known().predict(arrays, predict_keys="nothing")
    rows = known().predict(batches)
    assert len(asked) <= 1
    next(rows)
    assert len(asked) <= 2


@pytest.mark.parametrize("size", [1, 7, 24, 100])
def test_predict_yields_every_row_once_in_order_for_any_batch_size(known, size):
    rows = list(known(predict_batch_size=size).predict(arrays))
    assert len(rows) == 24
    # A sum of three float32 products.
    np.testing.assert_allclose([row["value"] for row in rows], X @ W, rtol=1e-5)
    assert sorted(rows[0]) == ["twice", "value"]


def test_an_array_is_yielded_as_an_array(known):
    def model_fn(model, features, mode):
        return sf.TPUEstimatorSpec(mode, jnp.stack([model(features["x"])] * 2, axis=1))

    rows = list(known(model_fn).predict(lambda: {"x": X}))
    assert [row.shape for row in rows] == [(2,)] * 24
    batches = known(model_fn, predict_batch_size=10).predict(
        lambda: {"x": X}, yield_single_examples=False
    )
    assert [batch.shape for batch in batches] == [(10, 2), (10, 2), (4, 2)]


def with_center(model, features, mode, mask=None):
    value = model(features["x"])
    center = {"corner": jnp.arange(3.0), "scalar": jnp.float32(7)}
    return sf.TPUEstimatorSpec(mode, {"value": value, **center})


def with_mask(model, features, mode, mask):
    return with_center(model, features, mode)


def test_predictions_of_unequal_first_dimensions_raise_where_rows_are_yielded(known):
    with pytest.raises(ValueError, match="batch-major") as error:
        known(with_center).predict(lambda: {"x": X})
    assert len(error.value.diagnostics) == 2
    rows = known(with_center).predict(lambda: {"x": X}, predict_keys="value")
    assert len(list(rows)) == 24


@pytest.mark.parametrize("devices", [1, 2])
@pytest.mark.parametrize("model_fn", [with_center, with_mask])
def test_predictions_of_unequal_first_dimensions_can_be_yielded_by_batch(
    known, model_fn, devices
):
    mesh = MeshConfig(axes=AxesConfig(data=devices))
    estimator = known(model_fn, predict_batch_size=10, mesh=mesh)
    batches = list(estimator.predict(lambda: {"x": X}, yield_single_examples=False))
    assert [len(batch["value"]) for batch in batches] == [10, 10, 4]
    for batch in batches:
        assert batch["corner"].tolist() == [0.0, 1.0, 2.0]
        assert batch["scalar"] == 7.0


def test_predict_keys_select_and_unknown_names_beside_known_are_ignored(known):
    for keys in ("twice", ["twice"], ["nothing", "twice"]):
        assert list(next(known().predict(arrays, predict_keys=keys))) == ["twice"]


@pytest.mark.parametrize("keys", [None, [], ()])
def test_empty_predict_keys_select_all_predictions(known, keys):
    row = next(known().predict(arrays, predict_keys=keys))
    assert row.keys() == next(known().predict(arrays)).keys()


@pytest.mark.parametrize("keys", ["nothing", ["nothing", "else"]])
def test_predict_keys_without_a_known_name_raise(known, keys):
    with pytest.raises(ValueError, match="is predicted"):
        known().predict(arrays, predict_keys=keys)


def test_predict_keys_for_a_single_array_raise(known):
    def model_fn(model, features, mode):
        return sf.TPUEstimatorSpec(mode, model(features["x"]))

    with pytest.raises(ValueError, match="one array"):
        known(model_fn).predict(lambda: {"x": X}, predict_keys="value")


def test_labels_are_dropped_and_an_empty_input_yields_nothing(known):
    seen = []

    def model_fn(model, features, labels, mode):
        seen.append(labels)
        return line_fn(model, features, labels, mode)

    assert len(list(known(model_fn).predict(arrays))) == 24
    assert set(seen) == {None}
    assert list(known().predict(lambda: iter(()))) == []
    assert list(known().predict(lambda: ({"x": X[:0]}, X[:0, 0]))) == []


def test_prediction_hooks_run_once_per_batch(known):
    class Counter:
        calls = 0

        def after_step(self, number, predictions):
            self.calls += 1
            assert number == self.calls
            assert len(predictions["value"]) == (4 if number == 3 else 10)

    hook = Counter()
    list(known(predict_batch_size=10).predict(arrays, hooks=[hook]))
    assert hook.calls == 3
