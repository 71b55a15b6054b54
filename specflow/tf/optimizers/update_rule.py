"""The frame of a rule: what it keeps for each variable, and how it is stepped."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from specflow.optimizer.rates import Rate, RatedTransformation, with_learning_rate

__all__ = ["RuleState", "complement", "per_variable"]


class RuleState(NamedTuple):
    """What a rule carries from step to step; a pytree."""

    steps: jax.Array
    """int32[]: how many were taken."""
    powers: dict[str, jax.Array]
    """Name -> float32[]: `base ** (steps + 1)`."""
    slots: dict[str, Any]
    """Name -> a tree like the parameters."""


def per_variable(
    learning_rate: Rate,
    step: Callable[..., tuple[Any, ...]],
    *,
    slots: Mapping[str, float] | None = None,
    powers: Mapping[str, float] | None = None,
) -> RatedTransformation:
    """The transformation that applies a rule to each variable by itself.

    Args:
        learning_rate: a number, or a function of the step.
        step: the rule: (gradient, variable, *slots, rate=, **powers) to
            (update, *slots), where the update is what is added to the variable.
        slots: name -> first value of an array like the variable.
        powers: name -> base of a number that is multiplied by its base after each step.
            The product is kept, as the reference keeps it: `base ** steps` would round
            otherwise.

    >>> def halved(gradient, variable, seen, *, rate):
    ...     return -rate * gradient / 2, seen + 1
    >>> rule = per_variable(0.5, halved, slots={"seen": 0.0})
    >>> params = {"w": jnp.array(1.0)}
    >>> updates, state = rule.update({"w": jnp.array(4.0)}, rule.init(params), params)
    >>> float(updates["w"]), float(state.slots["seen"]["w"]), int(state.steps)
    (-1.0, 1.0, 1)
    """
    first, bases = dict(slots or {}), dict(powers or {})

    def init(params: Any) -> RuleState:
        return RuleState(
            jnp.zeros((), jnp.int32),
            {name: jnp.asarray(base, jnp.float32) for name, base in bases.items()},
            {name: _filled(params, value) for name, value in first.items()},
        )

    def update(
        gradients: Any, state: RuleState, params: Any = None
    ) -> tuple[Any, RuleState]:
        if params is None:
            raise ValueError("the parameters are needed: update(grads, state, params)")
        rate = learning_rate(state.steps) if callable(learning_rate) else learning_rate

        def moved(gradient: jax.Array, *arrays: jax.Array) -> tuple[Any, ...]:
            numbers = {
                name: jnp.asarray(number, gradient.dtype)
                for name, number in {"rate": rate, **state.powers}.items()
            }
            return step(gradient, *arrays, **numbers)

        # By name: a dict that went through a program comes back in sorted order.
        before = [state.slots[name] for name in first]
        results = jax.tree.map(moved, gradients, params, *before)
        updates, *after = jax.tree.transpose(
            jax.tree.structure(gradients),
            jax.tree.structure((0,) * (1 + len(first))),
            results,
        )
        return updates, RuleState(
            state.steps + 1,
            {name: power * bases[name] for name, power in state.powers.items()},
            dict(zip(first, after, strict=True)),
        )

    rule = optax.GradientTransformation(init, update)  # type: ignore[arg-type]
    return with_learning_rate(rule, learning_rate)


def _filled(params: Any, value: float) -> Any:
    return jax.tree.map(lambda variable: jnp.full_like(variable, value), params)


def complement(share: float, like: jax.Array) -> jax.Array:
    """`1 - share`, subtracted in the precision of the variable.

    In float32, `1 - 0.999` is 0.00099998713, not the 0.001 that Python would hand over;
    an average that must agree to rounding has to use the same number.

    >>> float(complement(0.999, jnp.zeros(()))) == 0.001
    False
    """
    return 1 - jnp.asarray(share, like.dtype)
