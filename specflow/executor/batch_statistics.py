"""Batch statistics: the parameters they belong to, and their moving averages."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from specflow.contract import AverageState

__all__ = ["extra_arguments", "parameters_of", "with_statistics"]


def parameters_of(layer: str, params: Iterable[str]) -> frozenset[str]:
    """Parameters that the statistics of a layer belong to, by path.

    They are those of the layer itself. One without parameters goes with the nearest
    module around it that has some.

    >>> sorted(parameters_of("norm", ["norm.bias", "norm.scale", "out.bias"]))
    ['norm.bias', 'norm.scale']
    >>> sorted(parameters_of("block.norm", ["block.conv.kernel", "out.bias"]))
    ['block.conv.kernel']
    """
    inside = f"{layer}." if layer else ""
    found = frozenset(path for path in params if path.startswith(inside))
    if found or not layer:
        return found
    return parameters_of(layer.rpartition(".")[0], params)


def with_statistics(
    opt_state: Any,
    statistics: Mapping[str, jax.Array],
    owners: Mapping[str, frozenset[str]],
) -> Any:
    """The optimizer's initial state, with the statistics in its averages.

    Args:
        opt_state: as the transformation begins.
        statistics: batch statistics by path.
        owners: by the same paths, the parameters they belong to. An average keeps those
            that belong to a parameter of its own.
    """

    def filled(node: Any) -> Any:
        if not isinstance(node, AverageState):
            return node
        leaves = jax.tree_util.tree_leaves_with_path(node.average)
        averaged = {str(getattr(path[-1], "key", "")) for path, _ in leaves if path}
        return node._replace(
            statistics={
                # A copy: the step gives away the memory of what it starts from.
                path: jnp.copy(array)
                for path, array in statistics.items()
                if owners[path] & averaged
            }
        )

    return jax.tree.map(filled, opt_state, is_leaf=_is_average)


def extra_arguments(
    update: Callable[..., Any], opt_state: Any, model_state: Mapping[str, Any]
) -> dict[str, Any]:
    """What a transformation is given beside updates, state and parameters.

    Args:
        update: of the transformation.
        opt_state: its state.
        model_state: non-parameter variables after the step, by path.
    """
    if not any(node.statistics for node in _averages(opt_state)):
        return {}
    takes = inspect.signature(update).parameters.values()
    named = any(
        one.name == "model_state" or one.kind is one.VAR_KEYWORD for one in takes
    )
    return {"model_state": model_state} if named else {}


def _averages(opt_state: Any) -> Iterator[AverageState]:
    for node in jax.tree.leaves(opt_state, is_leaf=_is_average):
        if isinstance(node, AverageState):
            yield node


def _is_average(node: Any) -> bool:
    return isinstance(node, AverageState)
