"""Piecewise constant learning rate of TensorFlow, with the old value at a boundary."""

import itertools
import numbers
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import optax

from specflow.diagnostics.errors import ConfigError, Diagnostic

__all__ = ["piecewise_constant"]


def piecewise_constant(
    boundaries: Sequence[int], values: Sequence[float]
) -> optax.Schedule:
    """Schedule with `values[i]` for steps in `(boundaries[i - 1], boundaries[i]]`.

    At the boundary itself the old value holds; `optax.piecewise_constant_schedule` has
    the new value there.

    Args:
        boundaries: strictly increasing steps, counted from 0.
        values: learning rates, one more than boundaries.

    Returns:
        The schedule: step -> learning rate.

    Raises:
        ConfigError: boundaries do not increase, or the number of values is wrong.

    Source: tf.compat.v1.train.piecewise_constant.

    >>> rate = piecewise_constant([2], [1.0, 0.5])
    >>> [float(rate(step)) for step in range(5)]
    [1.0, 1.0, 1.0, 0.5, 0.5]
    """
    boundaries, values = list(boundaries), list(values)
    diagnostics = []
    if len(values) != len(boundaries) + 1:
        diagnostics.append(
            Diagnostic(
                "values",
                f"are {len(values)}, for {len(boundaries)} boundaries",
                expected=f"{len(boundaries) + 1}, one more than boundaries",
                code="rule",
            )
        )
    if not all(_is_step(step) for step in boundaries) or any(
        former >= later for former, later in itertools.pairwise(boundaries)
    ):
        diagnostics.append(
            Diagnostic(
                "boundaries",
                f"are {boundaries!r:.60}",
                expected="steps that ascend",
                code="rule",
            )
        )
    if diagnostics:
        raise ConfigError(*diagnostics)

    def rate(step: Any) -> Any:
        return jnp.asarray(values)[jnp.searchsorted(jnp.asarray(boundaries), step)]

    return rate if boundaries else optax.constant_schedule(values[0])


def _is_step(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)
