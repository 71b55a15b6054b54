"""Learning rates as numbers, in a step: read from the optimizer and its state."""

import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import optax

__all__ = ["learning_rates"]

_RATE = "learning_rate"
_PARTS = "inner_states"
"""Field of `optax.partition`'s state in which those of its parts are."""
_COUNTS = ("count", "steps")
"""Fields in which states count their updates."""


def learning_rates(
    transformation: Any, before: Any, after: Any, step: jax.Array
) -> dict[str, jax.Array]:
    """The rates with which a step was taken: `learning_rate`, `learning_rate/PART`.

    What the transformation says itself (`specflow.optimizer.with_learning_rate`) goes
    before what its state shows (`optax.inject_hyperparams`). A rate that neither knows
    is left out.

    Args:
        transformation: an optax transformation.
        before: its state before the step: schedules are asked with the updates that it
            has counted, which are fewer than the steps where some were skipped.
        after: its state after the step: hyperparameters are set by the update.
        step: int32[], steps so far, for a state that counts nothing.

    >>> optimizer = optax.inject_hyperparams(optax.sgd)(optax.linear_schedule(1, 0, 4))
    >>> before = optimizer.init({})
    >>> _, after = optimizer.update({}, before, {})
    >>> learning_rates(optimizer, before, after, jnp.array(0))
    {'learning_rate': Array(1., dtype=float32)}
    """
    rates = dict(_hyperparameters(after))
    for part, rate in getattr(transformation, "learning_rates", {}).items():
        rates[part] = rate(_count(before, part, step)) if callable(rate) else rate
    return {
        f"{_RATE}/{part}" if part else _RATE: jnp.asarray(rate, jnp.float32)
        for part, rate in rates.items()
        if jnp.ndim(rate) == 0
    }


def _hyperparameters(opt_state: Any) -> Iterator[tuple[str, Any]]:
    """(part, rate) of each injected rate; those of which one part has several are
    left out, as none is the rate.
    """
    found = [
        (_part(path), node.hyperparams[_RATE])
        for path, node in jax.tree_util.tree_leaves_with_path(
            opt_state, is_leaf=_has_hyperparameters
        )
        if _has_hyperparameters(node) and _RATE in node.hyperparams
    ]
    times = Counter(part for part, _ in found)
    yield from ((part, rate) for part, rate in found if times[part] == 1)


def _has_hyperparameters(node: Any) -> bool:
    return isinstance(getattr(node, "hyperparams", None), dict)


def _count(opt_state: Any, part: str, step: jax.Array) -> jax.Array:
    """How many updates a part has seen."""
    counts = []
    for path, node in jax.tree_util.tree_leaves_with_path(
        opt_state, is_leaf=lambda node: isinstance(node, optax.ScaleByScheduleState)
    ):
        if part and not f"{_part(path)}/".startswith(f"{part}/"):
            continue
        if isinstance(node, optax.ScaleByScheduleState):
            return jnp.asarray(node.count)
        if getattr(path[-1] if path else None, "name", None) in _COUNTS:
            counts.append(node)
    return counts[0] if counts else step


def _part(path: tuple[Any, ...]) -> str:
    """The labels of `optax.partition` on a path, outermost first."""
    labels = [
        str(getattr(inner, "key", inner))
        for outer, inner in itertools.pairwise(path)
        if getattr(outer, "name", None) == _PARTS
    ]
    return "/".join(labels)
