"""Loss functions: a float32 value for each example or token.

The sections of `spec.loss` are generated from these signatures (`make generate`).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from specflow.runtime.typing import is_floating

__all__ = [
    "absolute_error",
    "huber",
    "poisson",
    "sigmoid_cross_entropy",
    "softmax_cross_entropy",
    "squared_error",
]


def softmax_cross_entropy(
    logits: Float[Array, "... c"],
    labels: Num[Array, "..."],
    *,
    label_smoothing: float = 0.0,
) -> Float[Array, "..."]:
    """Softmax cross-entropy of logits with integer labels, or with probabilities.

    Probabilities, "... c" of floats, are soft labels, as those of mixtures of rows.

    Source of label smoothing: Szegedy et al., Rethinking the Inception Architecture,
    2016, section 7.
    """
    logits = logits.astype(jnp.float32)
    log_sum = jax.nn.logsumexp(logits, axis=-1)
    if is_floating(labels.dtype):
        soft = labels.astype(jnp.float32)
        if label_smoothing:
            mass = soft.sum(axis=-1, keepdims=True)
            even = label_smoothing * mass / logits.shape[-1]
            soft = (1 - label_smoothing) * soft + even
        return (soft * (log_sum[..., None] - logits)).sum(axis=-1)
    # A label outside the classes gives NaN, which the loop reports.
    chosen = jnp.take_along_axis(
        logits, labels[..., None], axis=-1, mode="fill", fill_value=jnp.nan
    )[..., 0]
    if label_smoothing:
        mean = logits.mean(axis=-1)
        chosen = (1 - label_smoothing) * chosen + label_smoothing * mean
    return log_sum - chosen


def sigmoid_cross_entropy(
    logits: Float[Array, "..."], labels: Float[Array, "..."]
) -> Float[Array, "..."]:
    """Sigmoid cross-entropy of logits with labels 0 or 1, for each class of several.

    Stable for large logits.
    """
    return jax.nn.softplus(logits) - labels * logits


def poisson(
    logits: Float[Array, "..."], labels: Float[Array, "..."], *, full: bool = False
) -> Float[Array, "..."]:
    """Poisson negative log-likelihood of counts with expected values exp(logits).

    By default without its constant log(label!). A negative label gives NaN, which the
    loop reports.

    Args:
        logits: logarithm of the expected count.
        labels: counts.
        full: add Stirling's approximation of the constant, for labels above 1: below,
            its error is larger than the constant.
    """
    losses = jnp.where(labels >= 0, jnp.exp(logits) - labels * logits, jnp.nan)
    if not full:
        return losses
    count = jnp.maximum(labels, 1.0)
    stirling = count * jnp.log(count) - count + 0.5 * jnp.log(2 * jnp.pi * count)
    return losses + jnp.where(labels > 1, stirling, 0.0)


def squared_error(
    predictions: Float[Array, "..."], labels: Float[Array, "..."]
) -> Float[Array, "..."]:
    """Squared error."""
    return jnp.abs(predictions - labels) ** 2


def absolute_error(
    predictions: Float[Array, "..."], labels: Float[Array, "..."]
) -> Float[Array, "..."]:
    """Absolute error."""
    return jnp.abs(predictions - labels)


def huber(
    predictions: Float[Array, "..."], labels: Float[Array, "..."], *, delta: float = 1.0
) -> Float[Array, "..."]:
    """Huber loss: quadratic up to `delta`, linear beyond. Source: Huber, 1964.

    Args:
        predictions: predicted values.
        labels: true values.
        delta: absolute error at which the loss changes from quadratic to linear.
    """
    error = jnp.abs(predictions - labels)
    linear = delta * (error - 0.5 * delta)
    return jnp.where(error <= delta, 0.5 * error**2, linear)
