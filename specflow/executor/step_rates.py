"""Learning rates of a step, read from the optimizer and its state."""

import itertools
from collections import Counter
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import optax

from specflow.executor.array_types import OptState, TrainOpLike, Tree

__all__ = ["learning_rates"]

_RATE = "learning_rate"
_PARTS = "inner_states"
"""Field of `optax.partition`'s state that holds the states of its parts."""
_COUNTS = ("count", "steps")
"""Fields of states that count updates."""


def learning_rates(
    transformation: TrainOpLike, before: OptState, after: OptState, step: jax.Array
) -> dict[str, jax.Array]:
    """Returns the learning rates of a step: `learning_rate`, `learning_rate/PART`.

    Rates that the transformation declares (`specflow.optimizer.with_learning_rate`)
    override those in its state (`optax.inject_hyperparams`). Unknown rates are omitted.

    Args:
        transformation: an optax transformation.
        before: its state before the step. Schedules are evaluated at its update count,
            which is below the step count if steps were skipped.
        after: its state after the step, since the update sets hyperparameters.
        step: int32[], steps so far, for a state without a count.

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


def _hyperparameters(opt_state: OptState) -> Iterator[tuple[str, Tree]]:
    """Yields (part, rate) of each injected rate, unless a part has several."""
    rates = [
        (_part(path), node.hyperparams[_RATE])
        for path, node in jax.tree_util.tree_leaves_with_path(
            opt_state, is_leaf=_has_hyperparameters
        )
        if _has_hyperparameters(node) and _RATE in node.hyperparams
    ]
    times = Counter(part for part, _ in rates)
    yield from ((part, rate) for part, rate in rates if times[part] == 1)


def _has_hyperparameters(node: object) -> bool:
    return isinstance(getattr(node, "hyperparams", None), dict)


def _count(opt_state: OptState, part: str, step: jax.Array) -> jax.Array:
    """Returns the number of updates of a part."""
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


def _part(path: tuple[object, ...]) -> str:
    """Joins the labels of `optax.partition` on a path, outermost first."""
    labels = [
        str(getattr(inner, "key", inner))
        for outer, inner in itertools.pairwise(path)
        if getattr(outer, "name", None) == _PARTS
    ]
    return "/".join(labels)
