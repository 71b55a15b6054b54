"""Learning rates attached to optax transformations, for reports of training."""

from collections.abc import Mapping
from typing import Any

import jax
import optax

__all__ = ["Rate", "RatedTransformation", "rates_of_parts", "with_learning_rate"]

Rate = float | jax.Array | optax.Schedule
"""A learning rate, or a function of the step, counted from 0."""


class RatedTransformation(optax.GradientTransformationExtraArgs):
    """A gradient transformation whose learning rates are known."""

    learning_rates: Mapping[str, Rate]
    """Part -> its learning rate; `""` without parts, `outer/inner` for nested parts."""


def with_learning_rate(
    optimizer: optax.GradientTransformation, rate: Rate | Mapping[str, Rate]
) -> RatedTransformation:
    """Attaches the learning rate to a transformation, so that training reports it.

    An optax transformation keeps its learning rate in a closure, where it cannot be
    read; only the state of `optax.inject_hyperparams` contains it, and needs no such
    call. Apply it last: a transformation that wraps the result hides the rate.

    Args:
        optimizer: the transformation that was built with the rate.
        rate: a number, a schedule (number of updates so far -> rate), or several of
            them by the name of a part, reported as `learning_rate/NAME`.

    Returns:
        The same transformation with `learning_rates`.

    >>> schedule = optax.linear_schedule(0.1, 0.0, 100)
    >>> with_learning_rate(optax.adamw(schedule), schedule).learning_rates[""](50)
    Array(0.05, dtype=float32, weak_type=True)
    """
    rated = RatedTransformation(*optax.with_extra_args_support(optimizer))
    rated.learning_rates = dict(rate) if isinstance(rate, Mapping) else {"": rate}
    return rated


def rates_of_parts(parts: Mapping[str, Any]) -> dict[str, Rate]:
    """Collects the learning rates of transformations, by the name of their part.

    Transformations without `learning_rates` are left out.

    >>> rates_of_parts({"head": with_learning_rate(optax.sgd(0.1), 0.1),
    ...                 "body": optax.sgd(0.2)})
    {'head': 0.1}
    """
    return {
        f"{part}/{inner}" if inner else part: rate
        for part, optimizer in parts.items()
        for inner, rate in getattr(optimizer, "learning_rates", {}).items()
    }
