"""Prediction: every row once, in order."""

import numpy as np
import pytest

import specflow as sf
from specflow.diagnostics.errors import ConfigError


@pytest.mark.parametrize("size", [1, 5, 8, 24, 100])
def test_predict_yields_every_row_once_in_order_for_any_batch_size(line, rows, size):
    estimator = line(predict_batch_size=size)
    estimator.train(rows, steps=2)
    w = np.asarray(estimator._states.state.params["w"], np.float64)
    found = np.array([row["value"] for row in estimator.predict(rows)])
    # A sum of three float32 products.
    np.testing.assert_allclose(found, rows()[0]["x"] @ w, rtol=1e-5, atol=1e-6)
    estimator.close()


def test_predict_keys_select_and_order_predictions(line, rows):
    estimator = line()
    for keys, names in [
        (None, ["twice", "value"]),
        ("twice", ["twice"]),
        (["value"], ["value"]),
        (["value", "other"], ["value"]),  # Known ones are enough, as in the reference.
    ]:
        row = next(estimator.predict(rows, predict_keys=keys))
        assert sorted(row) == names
    estimator.close()


def test_unknown_predict_keys_raise_at_the_call(line, rows):
    with pytest.raises(ConfigError) as error:
        line().predict(rows, predict_keys=["valeu", "other"])
    assert str(error.value) == (
        "predict_keys: none of valeu, other is predicted. Expected some of twice, "
        "value. Did you mean value?"
    )


def test_predict_keys_of_a_single_array_raise(line, rows):
    def model_fn(model, features, mode, labels=None):
        return sf.TPUEstimatorSpec(mode, model(features["x"]))

    estimator = line(model_fn)
    with pytest.raises(ConfigError) as error:
        estimator.predict(rows, predict_keys="value")
    assert str(error.value) == (
        "predict_keys: got value, but predictions is one array. Expected None."
    )
    assert [row.shape for row in estimator.predict(rows)] == [()] * 24


def test_without_single_examples_a_batch_is_an_item_and_padding_is_gone(line, rows):
    estimator = line(predict_batch_size=10)
    batches = list(estimator.predict(rows, yield_single_examples=False))
    assert [batch["value"].shape for batch in batches] == [(10,), (10,), (4,)]
    singles = [row["value"] for row in estimator.predict(rows)]
    np.testing.assert_array_equal(
        np.concatenate([batch["value"] for batch in batches]), singles
    )
    estimator.close()


def test_labels_are_not_looked_at(line, rows):
    seen = []

    def model_fn(model, features, labels, mode):
        seen.append(labels)
        return sf.TPUEstimatorSpec(mode, {"value": model(features["x"])})

    estimator = line(model_fn)
    assert len(list(estimator.predict(rows))) == 24
    assert seen == [None]
    estimator.close()


def test_predictions_that_are_not_batch_major_raise(line, rows):
    def model_fn(model, features, mode):
        value = model(features["x"])
        return sf.TPUEstimatorSpec(
            mode, {"value": value, "mean": value.mean(), "two": value[:2]}
        )

    with pytest.raises(sf.SpecError) as error:
        line(model_fn).predict(rows)
    expected = "Expected a batch-major array: its first axis is the batch."
    assert str(error.value).splitlines() == [
        f"predictions['mean']: is float32[], and the batch is 8 rows. {expected}",
        f"predictions['two']: is float32[2], and the batch is 8 rows. {expected}",
    ]


def test_an_earlier_checkpoint_can_predict(line, rows):
    estimator = line(config=sf.RunConfig(save_checkpoints_steps=1))
    estimator.train(rows, steps=3)
    one, three = (
        next(estimator.predict(rows, checkpoint_step=step))["value"] for step in (1, 3)
    )
    assert one != three
    assert next(estimator.predict(rows))["value"] == three
    assert estimator.evaluate(rows, checkpoint_step=1)["global_step"] == 1
    with pytest.raises(sf.SpecflowError) as error:
        estimator.predict(rows, checkpoint_step=7)
    assert str(error.value) == (
        f"{estimator.model_dir}/checkpoints: no checkpoint of step 7; there are "
        "0, 1, 2, 3."
    )
    estimator.close()
