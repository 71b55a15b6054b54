"""`MeanLoss`: exact over micro-batches. Expected values: NumPy, float64."""

import jax
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from specflow.contract import EstimatorSpec, MeanLoss, TPUEstimatorSpec
from specflow.diagnostics.errors import SpecError

VALUES = st.lists(
    st.tuples(st.floats(-9, 9), st.sampled_from([0.0, 0.5, 1.0, 3.0])),
    min_size=1,
    max_size=9,
)


def loss_of(rows):
    values, weights = np.transpose(rows)
    return MeanLoss((values * weights).sum(), weights.sum())


@given(VALUES)
def test_the_value_is_the_weighted_mean_or_0_if_all_weights_are_0(rows):
    values, weights = np.transpose(rows)
    expected = np.average(values, weights=weights) if weights.any() else 0.0
    assert loss_of(rows).value == pytest.approx(expected)


@given(VALUES, VALUES)
def test_micro_batches_over_the_full_counts_sum_to_the_full_loss(first, second):
    halves = [3 * loss_of(rows) + 0.25 for rows in (first, second)]
    counts = [sum(pair) for pair in zip(*(half.counts for half in halves), strict=True)]
    full = 3 * loss_of([*first, *second]) + 0.25
    assert sum(half.over(counts, 0.5) for half in halves) == pytest.approx(full.value)


def test_sums_differences_and_fractions():
    first, second = MeanLoss(np.float64(6.0), 3), MeanLoss(np.float64(8.0), 2)
    # By hand: 2 + 4, 2 - 4, 2 / 2, 2 - 1, a sum of 6.
    assert (first + second).value == 6.0
    assert (first - second).value == -2.0
    assert (first / 2).value == 1.0
    assert (first + -1.0).value == (np.float64(-1.0) + first).value == 1.0
    assert MeanLoss(np.float64(6.0)).value == 6.0
    assert repr(first) == "MeanLoss(totals=(np.float64(6.0),), counts=(3,))"


@pytest.mark.parametrize("kind", [TPUEstimatorSpec, EstimatorSpec])
def test_a_spec_has_the_value_as_loss_and_the_mean_loss_beside_it(kind):
    loss = MeanLoss(np.float32([6.0]), 3)
    spec = kind("train", loss=loss, train_op=optax.sgd(0.1))
    assert spec.loss.shape == ()
    assert float(spec.loss) == 2.0
    assert spec.mean_loss is loss
    assert spec._replace(predictions={}).mean_loss is loss
    assert spec._replace(loss=np.float32(1.0)).mean_loss is None


def test_a_mean_loss_survives_jit_and_as_estimator_spec():
    spec = TPUEstimatorSpec("eval", loss=MeanLoss(np.float32(6.0), np.float32(3.0)))
    double = jax.jit(lambda spec: jax.tree.map(lambda x: 2 * x, spec))(spec)
    assert isinstance(double.mean_loss, MeanLoss)
    assert double.mean_loss.parts == ((12.0,), (6.0,), ())
    assert spec.as_estimator_spec().mean_loss is spec.mean_loss


def test_a_total_that_is_no_scalar_is_reported_like_any_loss():
    with pytest.raises(SpecError, match=r"TPUEstimatorSpec\.loss: is float32\[2\]"):
        TPUEstimatorSpec("eval", loss=MeanLoss(np.ones(2, np.float32), 2))
