"""Labels in the units of a model's outputs, and outputs in those of the labels.

A network starts with outputs near 0, and learns fastest where its targets have mean 0
and variance 1.

Source of the idea: scikit-learn, `TransformedTargetRegressor`.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from specflow.config.sections.predictions_and_exports import RescaleConfig

__all__ = ["rescaled", "scaled"]


def scaled(config: RescaleConfig, labels: Num[Array, "..."]) -> Float[Array, "..."]:
    """Labels in the units of the outputs, float32.

    >>> config = RescaleConfig(offset=100.0, divisor=20.0)
    >>> scaled(config, jnp.array([80.0, 140.0])).tolist()
    [-1.0, 2.0]
    """
    values = labels.astype(jnp.float32)
    if config.transform == "log":
        values = jnp.log(values)
    elif config.transform == "log1p":
        values = jnp.log1p(values)
    if config.offset:
        values = values - config.offset
    return values if config.divisor in (None, 1.0) else values / config.divisor


def rescaled(
    config: RescaleConfig, outputs: Float[Array, "..."]
) -> Float[Array, "..."]:
    """Outputs in the units of the labels: the inverse of `scaled`.

    >>> rescaled(RescaleConfig(transform="log"), jnp.array([0.0])).tolist()
    [1.0]
    """
    values = outputs if config.divisor in (None, 1.0) else outputs * config.divisor
    if config.offset:
        values = values + config.offset
    if config.transform == "log":
        return jnp.exp(values)
    return jnp.expm1(values) if config.transform == "log1p" else values
