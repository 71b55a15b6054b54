"""Optax transformations from per-variable update rules with slots, as in TensorFlow."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from specflow.optimizer.rates import Rate, RatedTransformation, with_learning_rate

__all__ = ["RuleState", "complement", "per_variable"]


class RuleState(NamedTuple):
    """State of an update rule; a pytree."""

    steps: jax.Array
    """int32[]: number of updates so far."""
    powers: dict[str, jax.Array]
    """Name -> float32[]: `base ** (steps + 1)`."""
    slots: dict[str, Any]
    """Name -> slot variables, a tree like the parameters."""


def per_variable(
    learning_rate: Rate,
    step: Callable[..., tuple[Any, ...]],
    *,
    slots: Mapping[str, float] | None = None,
    powers: Mapping[str, float] | None = None,
) -> RatedTransformation:
    """Builds the transformation that applies an update rule to each variable.

    Args:
        learning_rate: a number, or a schedule: step -> learning rate.
        step: the rule: (gradient, variable, *slots, rate=, **powers) to
            (update, *slots); the update is added to the variable.
        slots: name -> initial value of a slot, an array like the variable.
        powers: name -> base of a scalar that is multiplied by its base after each step.
            The product is kept, as in TensorFlow: `base ** steps` rounds differently.

    Returns:
        The transformation; its state is a `RuleState`.

    Raises:
        ValueError: `update` is called without the parameters.

    >>> def halved(gradient, variable, seen, *, rate):
    ...     return -rate * gradient / 2, seen + 1
    >>> rule = per_variable(0.5, halved, slots={"seen": 0.0})
    >>> params = {"w": jnp.array(1.0)}
    >>> updates, state = rule.update({"w": jnp.array(4.0)}, rule.init(params), params)
    >>> float(updates["w"]), float(state.slots["seen"]["w"]), int(state.steps)
    (-1.0, 1.0, 1)
    """
    initial_values, bases = dict(slots or {}), dict(powers or {})

    def init(params: Any) -> RuleState:
        return RuleState(
            jnp.zeros((), jnp.int32),
            {name: jnp.asarray(base, jnp.float32) for name, base in bases.items()},
            {name: _filled(params, value) for name, value in initial_values.items()},
        )

    def update(
        gradients: Any, state: RuleState, params: Any = None
    ) -> tuple[Any, RuleState]:
        if params is None:
            raise ValueError("the parameters are needed: update(grads, state, params)")
        rate = learning_rate(state.steps) if callable(learning_rate) else learning_rate

        def update_variable(gradient: jax.Array, *arrays: jax.Array) -> tuple[Any, ...]:
            scalars = {
                name: jnp.asarray(scalar, gradient.dtype)
                for name, scalar in {"rate": rate, **state.powers}.items()
            }
            return step(gradient, *arrays, **scalars)

        # By name: a dict is returned from a compiled program in sorted order.
        old_slots = [state.slots[name] for name in initial_values]
        results = jax.tree.map(update_variable, gradients, params, *old_slots)
        updates, *new_slots = jax.tree.transpose(
            jax.tree.structure(gradients),
            jax.tree.structure((0,) * (1 + len(initial_values))),
            results,
        )
        return updates, RuleState(
            state.steps + 1,
            {name: power * bases[name] for name, power in state.powers.items()},
            dict(zip(initial_values, new_slots, strict=True)),
        )

    rule = optax.GradientTransformation(init, update)  # type: ignore[arg-type]
    return with_learning_rate(rule, learning_rate)


def _filled(params: Any, value: float) -> Any:
    return jax.tree.map(lambda variable: jnp.full_like(variable, value), params)


def complement(decay: float, like: jax.Array) -> jax.Array:
    """Returns `1 - decay`, subtracted in the precision of the variable.

    In float32, `1 - 0.999` is 0.00099998713, and not the 0.001 of Python; an average
    that agrees with TensorFlow's to rounding needs the same number.

    >>> float(complement(0.999, jnp.zeros(()))) == 0.001
    False
    """
    return 1 - jnp.asarray(decay, like.dtype)
