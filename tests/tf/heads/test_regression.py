"""The heads of numbers and of counts against SciPy and NumPy in float64."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

import specflow as sf

RNG = np.random.default_rng(2)
LOGITS = RNG.normal(size=(25, 2)).astype(np.float32)
NUMBERS = RNG.normal(size=(25, 2)).astype(np.float32)
COUNTS = RNG.poisson(3.0, (25, 2)).astype(np.int32)
WEIGHTS = RNG.random((25, 2)).astype(np.float32)

# float32 on the device, float64 in the expected values.
near = {"rel": 1e-5, "abs": 1e-6}
wide = LOGITS.astype(np.float64)


@pytest.mark.parametrize("columns", [None, 1, 2])
def test_metrics_do_not_depend_on_the_batches(judged, columns):
    """Weights for each example, or for each of its numbers."""
    weights = None if columns is None else WEIGHTS[:, :columns]
    head = sf.tf.heads.RegressionHead(
        label_dimension=2, weight_column=None if columns is None else "w"
    )
    found = judged(head, logits=LOGITS, labels=NUMBERS, features={"w": weights})
    spread = np.broadcast_to(1.0 if weights is None else weights, (25, 2))
    assert found == pytest.approx(
        {
            "average_loss": np.average((wide - NUMBERS) ** 2, weights=spread),
            "label/mean": np.average(NUMBERS, weights=spread),
            "prediction/mean": np.average(wide, weights=spread),
        },
        **near,
    )


def test_predictions_and_signatures_are_those_of_tensorflow(spec_of):
    head = sf.tf.heads.RegressionHead(label_dimension=2)
    spec = spec_of(head, "infer", logits=LOGITS)
    assert {name: array.shape for name, array in spec.predictions.items()} == {
        "predictions": (25, 2)
    }
    assert sorted(spec.export_outputs) == ["predict", "regression", "serving_default"]
    assert spec.export_outputs["serving_default"].value.shape == (25, 2)


def test_predictions_include_logits_with_an_inverse_link_fn(spec_of):
    head = sf.tf.heads.RegressionHead(inverse_link_fn=jnp.tanh)
    made = spec_of(head, "infer", logits=LOGITS[:, 0]).predictions
    assert made["predictions"][:, 0] == pytest.approx(np.tanh(wide[:, 0]), **near)
    assert made["logits"].shape == (25, 1)


def test_poisson_loss_is_the_likelihood_without_its_constant(spec_of):
    """SciPy: -log of the probability mass, less log(count!)."""
    head = sf.tf.heads.PoissonRegressionHead(label_dimension=2, compute_full_loss=False)
    spec = spec_of(head, "eval", logits=LOGITS, labels=COUNTS)
    mass = scipy.stats.poisson.logpmf(COUNTS, np.exp(wide))
    expected = -mass - scipy.special.gammaln(COUNTS + 1.0)
    assert float(spec.loss) == pytest.approx(expected.mean(), **near)


def test_full_poisson_loss_includes_stirlings_approximation(judged):
    """It is within 1 / (12 count) of log(count!), and left out up to a count of 1."""
    found = judged(
        sf.tf.heads.PoissonRegressionHead(label_dimension=2),
        logits=LOGITS,
        labels=COUNTS,
    )
    mass = scipy.stats.poisson.logpmf(COUNTS, np.exp(wide))
    shortfall = 1 / (12 * np.maximum(COUNTS, 1)) * (COUNTS > 1)
    assert found["average_loss"] < -mass.mean()
    assert found["average_loss"] > -mass.mean() - shortfall.mean()
    assert found["prediction/mean"] == pytest.approx(np.exp(wide).mean(), **near)
    assert found["label/mean"] == pytest.approx(COUNTS.mean(), **near)


def test_the_loss_of_a_negative_count_is_nan(spec_of):
    head = sf.tf.heads.PoissonRegressionHead()
    given = {"logits": LOGITS[:, :1], "labels": COUNTS[:, 0] - 9}
    assert np.isnan(spec_of(head, "eval", **given).loss)
