"""How the losses of a batch become the one number that training follows."""

import enum

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from specflow.contract import MeanLoss

__all__ = ["LossReduction", "reduced"]


class LossReduction(enum.StrEnum):
    """What the sum of the weighted losses is divided by.

    Rows of padding count nowhere. TensorFlow's names and formulas.
    """

    SUM_OVER_BATCH_SIZE = "sum_over_batch_size"
    """The number of losses, whatever their weights: the default. The loss of an
    evaluation then does not depend on how its rows are cut into batches."""
    SUM = "sum"
    """Nothing: the loss grows with the batch, and with it the step of an optimizer."""
    MEAN = "mean"
    """The sum of the weights: the weighted mean of the batch."""
    SUM_BY_NONZERO_WEIGHTS = "sum_by_nonzero_weights"
    """The number of losses whose weight is not 0."""


def reduced(
    losses: Float[Array, "b ..."],
    weights: Float[Array, "b ..."] | None,
    real: Bool[Array, "b ..."] | None,
    reduction: LossReduction,
) -> MeanLoss:
    """The loss of a batch.

    Args:
        losses: one for each example, or for each of its values.
        weights: of each loss, with axes of size 1 where it is shared; None is 1.
        real: which losses count at all, shaped like the weights; None: every one.
        reduction: what the weighted sum is divided by.

    Returns:
        Of value 0 if there is nothing to divide by.

    >>> losses, weights = jnp.array([1.0, 2.0, 9.0]), jnp.array([3.0, 0.0, 1.0])
    >>> real = jnp.array([True, True, False])
    >>> [float(reduced(losses, weights, real, way).value) for way in LossReduction]
    [1.5, 3.0, 1.0, 3.0]
    """
    weight = jnp.ones_like(losses) if weights is None else weights.astype(losses.dtype)
    weight = jnp.broadcast_to(weight, losses.shape)
    counted = jnp.broadcast_to(True if real is None else real, losses.shape)
    weight = jnp.where(counted, weight, 0.0)
    # Chosen, not multiplied: 0 x NaN of a padded row would be NaN.
    losses = jnp.where(counted & (weight != 0), losses, 0.0)
    total = (losses * weight).sum()
    match reduction:
        case LossReduction.SUM:
            return MeanLoss(total)
        case LossReduction.MEAN:
            share = weight.sum()
        case LossReduction.SUM_BY_NONZERO_WEIGHTS:
            share = (weight != 0).sum().astype(losses.dtype)
        case _:
            share = counted.sum().astype(losses.dtype)
    return MeanLoss(total, share)
