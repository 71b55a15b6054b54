"""`MeanLoss`: a mean of parts is that of the whole. Expected: NumPy's, float64."""

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
def test_its_value_is_the_weighted_mean_and_0_where_nothing_counts(rows):
    values, weights = np.transpose(rows)
    expected = np.average(values, weights=weights) if weights.any() else 0.0
    assert loss_of(rows).value == pytest.approx(expected)


@given(VALUES, VALUES)
def test_parts_over_the_counts_of_the_whole_add_up_to_it(first, second):
    halves = [3 * loss_of(rows) + 0.25 for rows in (first, second)]
    counts = [sum(pair) for pair in zip(*(half.counts for half in halves), strict=True)]
    whole = 3 * loss_of([*first, *second]) + 0.25
    assert sum(half.over(counts, 0.5) for half in halves) == pytest.approx(whole.value)


def test_sums_differences_and_shares():
    one, two = MeanLoss(np.float64(6.0), 3), MeanLoss(np.float64(8.0), 2)
    # By hand: 2 + 4, 2 - 4, 2 / 2, 2 - 1, a sum of 6.
    assert (one + two).value == 6.0
    assert (one - two).value == -2.0
    assert (one / 2).value == 1.0
    assert (one + -1.0).value == (np.float64(-1.0) + one).value == 1.0
    assert MeanLoss(np.float64(6.0)).value == 6.0
    assert repr(one) == "MeanLoss(totals=(np.float64(6.0),), counts=(3,))"


@pytest.mark.parametrize("kind", [TPUEstimatorSpec, EstimatorSpec])
def test_a_spec_holds_its_value_as_loss_and_itself_beside(kind):
    loss = MeanLoss(np.float32([6.0]), 3)
    spec = kind("train", loss=loss, train_op=optax.sgd(0.1))
    assert spec.loss.shape == ()
    assert float(spec.loss) == 2.0
    assert spec.mean_loss is loss
    assert spec._replace(predictions={}).mean_loss is loss
    assert spec._replace(loss=np.float32(1.0)).mean_loss is None


def test_it_stays_a_mean_loss_through_jax_and_the_plain_spec():
    spec = TPUEstimatorSpec("eval", loss=MeanLoss(np.float32(6.0), np.float32(3.0)))
    double = jax.jit(lambda spec: jax.tree.map(lambda x: 2 * x, spec))(spec)
    assert isinstance(double.mean_loss, MeanLoss)
    assert double.mean_loss.parts == ((12.0,), (6.0,), ())
    assert spec.as_estimator_spec().mean_loss is spec.mean_loss


def test_a_total_that_is_no_number_is_told_as_any_loss_is():
    with pytest.raises(SpecError, match=r"TPUEstimatorSpec\.loss: is float32\[2\]"):
        TPUEstimatorSpec("eval", loss=MeanLoss(np.ones(2, np.float32), 2))
