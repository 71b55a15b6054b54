"""Reduction of the losses of a batch to the scalar that training minimizes."""

import enum

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from specflow.contract import MeanLoss

__all__ = ["LossReduction", "reduced"]


class LossReduction(enum.StrEnum):
    """Denominator of the sum of weighted losses, by TensorFlow's names and formulas.

    Padded rows never count.
    """

    SUM_OVER_BATCH_SIZE = "sum_over_batch_size"
    """The number of losses, whatever their weights: the default. The loss of an
    evaluation then does not depend on the batch size."""
    SUM = "sum"
    """1: the loss, and with it the gradient, grows with the batch size."""
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
    """Reduces the losses of a batch.

    Args:
        losses: one per example, or per value of an example.
        weights: weight of each loss, broadcast over axes of size 1; None: 1.
        real: mask of the losses that count, shaped as the weights; None: all of them.
        reduction: the denominator.

    Returns:
        The loss, with its denominator; its value is 0 if that is 0.

    >>> losses, weights = jnp.array([1.0, 2.0, 9.0]), jnp.array([3.0, 0.0, 1.0])
    >>> real = jnp.array([True, True, False])
    >>> [float(reduced(losses, weights, real, each).value) for each in LossReduction]
    [1.5, 3.0, 1.0, 3.0]
    """
    weight = jnp.ones_like(losses) if weights is None else weights.astype(losses.dtype)
    weight = jnp.broadcast_to(weight, losses.shape)
    counted = jnp.broadcast_to(True if real is None else real, losses.shape)
    weight = jnp.where(counted, weight, 0.0)
    # Selected, not multiplied: 0 x NaN of a padded row would be NaN.
    losses = jnp.where(counted & (weight != 0), losses, 0.0)
    total = (losses * weight).sum()
    match reduction:
        case LossReduction.SUM:
            return MeanLoss(total)
        case LossReduction.MEAN:
            denominator = weight.sum()
        case LossReduction.SUM_BY_NONZERO_WEIGHTS:
            denominator = (weight != 0).sum().astype(losses.dtype)
        case _:
            denominator = counted.sum().astype(losses.dtype)
    return MeanLoss(total, denominator)
