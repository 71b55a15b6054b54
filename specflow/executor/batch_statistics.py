"""Batch statistics: the parameters they belong to, and their moving averages."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from specflow.contract import AverageState
from specflow.executor.array_types import ModelState, OptState, Tree

__all__ = ["extra_arguments", "parameters_of", "with_statistics"]


def parameters_of(layer: str, params: Iterable[str]) -> frozenset[str]:
    """Returns the paths of the parameters that a layer's statistics belong to.

    These are the layer's own parameters or, if it has none, those of the nearest
    enclosing module that has some.

    >>> sorted(parameters_of("norm", ["norm.bias", "norm.scale", "out.bias"]))
    ['norm.bias', 'norm.scale']
    >>> sorted(parameters_of("block.norm", ["block.conv.kernel", "out.bias"]))
    ['block.conv.kernel']
    """
    inside = f"{layer}." if layer else ""
    own = frozenset(path for path in params if path.startswith(inside))
    if own or not layer:
        return own
    return parameters_of(layer.rpartition(".")[0], params)


def with_statistics(
    opt_state: OptState,
    statistics: Mapping[str, jax.Array],
    owners: Mapping[str, frozenset[str]],
) -> OptState:
    """Adds batch statistics to the moving averages of an initial optimizer state.

    Args:
        opt_state: from the transformation's `init`.
        statistics: batch statistics by path.
        owners: by the same paths, the parameters they belong to. An average keeps the
            statistics that belong to a parameter it averages.
    """

    def filled(node: Tree) -> Tree:
        if not isinstance(node, AverageState):
            return node
        leaves = jax.tree_util.tree_leaves_with_path(node.average)
        averaged = {str(getattr(path[-1], "key", "")) for path, _ in leaves if path}
        return node._replace(
            statistics={
                # A copy, since the step donates the buffers of the state.
                path: jnp.copy(array)
                for path, array in statistics.items()
                if owners[path] & averaged
            }
        )

    return jax.tree.map(filled, opt_state, is_leaf=_is_average)


def extra_arguments(
    update: Callable[..., Any], opt_state: OptState, model_state: ModelState
) -> dict[str, Any]:
    """Returns the extra keyword arguments of a transformation's `update`.

    Args:
        update: of the transformation.
        opt_state: its state.
        model_state: non-parameter variables after the step, by path.
    """
    if not any(node.statistics for node in _averages(opt_state)):
        return {}
    parameters = inspect.signature(update).parameters.values()
    takes_it = any(
        p.name == "model_state" or p.kind is p.VAR_KEYWORD for p in parameters
    )
    return {"model_state": model_state} if takes_it else {}


def _averages(opt_state: OptState) -> Iterator[AverageState]:
    for node in jax.tree.leaves(opt_state, is_leaf=_is_average):
        if isinstance(node, AverageState):
            yield node


def _is_average(node: object) -> bool:
    return isinstance(node, AverageState)
