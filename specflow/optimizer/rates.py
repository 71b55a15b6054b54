"""The learning rates of a transformation, beside it: training reports them."""

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
    """Part -> its rate; `""` for the whole, `outer/inner` for parts of parts."""


def with_learning_rate(
    optimizer: optax.GradientTransformation, rate: Rate | Mapping[str, Rate]
) -> RatedTransformation:
    """The same transformation, whose learning rate training reports.

    An optax transformation keeps its rate in a closure, where nothing can read it; only
    the state of `optax.inject_hyperparams` shows it, and needs no such call. Stands
    outermost: what is wrapped around it hides the rate.

    Args:
        optimizer: what the rate was given to.
        rate: a number, a function of the updates so far, or several of them by the name
            of a part, which are reported as `learning_rate/NAME`.

    >>> schedule = optax.linear_schedule(0.1, 0.0, 100)
    >>> with_learning_rate(optax.adamw(schedule), schedule).learning_rates[""](50)
    Array(0.05, dtype=float32, weak_type=True)
    """
    rated = RatedTransformation(*optax.with_extra_args_support(optimizer))
    rated.learning_rates = dict(rate) if isinstance(rate, Mapping) else {"": rate}
    return rated


def rates_of_parts(parts: Mapping[str, Any]) -> dict[str, Rate]:
    """The rates of all transformations that know theirs, by the name of their part.

    >>> rates_of_parts({"head": with_learning_rate(optax.sgd(0.1), 0.1),
    ...                 "body": optax.sgd(0.2)})
    {'head': 0.1}
    """
    return {
        f"{part}/{inner}" if inner else part: rate
        for part, optimizer in parts.items()
        for inner, rate in getattr(optimizer, "learning_rates", {}).items()
    }
