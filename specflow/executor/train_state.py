"""The training state, and its form in a checkpoint."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from specflow.executor.array_types import OptState, Tree

__all__ = ["TrainState", "from_tree", "to_tree"]


class TrainState(NamedTuple):
    """The state between two training steps; a pytree."""

    step: Any
    """int32[]: steps taken."""
    params: dict[str, Any]
    """Parameters by dotted path."""
    model_state: dict[str, Any]
    """Non-parameter variables by dotted path: batch statistics, random streams."""
    opt_state: OptState
    """State of the optimizer."""


def to_tree(state: TrainState) -> dict[str, Any]:
    """Converts a state to nested dicts for a checkpoint, free of library classes.

    Random keys, as an optimizer that adds noise keeps one, become uint32 arrays.

    >>> to_tree(TrainState(0, {"w": 1}, {}, ({"w": 2}, 3)))
    {'step': 0, 'params': {'w': 1}, 'state': {}, 'opt_state': {'[0]/w': 2, '[1]': 3}}
    """
    opt_state = {name: _key_data(leaf) for name, leaf in _named(state.opt_state)}
    return {
        "step": state.step,
        "params": state.params,
        "state": state.model_state,
        "opt_state": opt_state,
    }


def from_tree(tree: dict[str, Any], like: TrainState) -> TrainState:
    """Rebuilds the state from the result of `to_tree`.

    Args:
        tree: from `to_tree`.
        like: a state of the same structure, abstract or not.
    """
    leaves = [
        jax.random.wrap_key_data(tree["opt_state"][name])
        if _is_key(leaf)
        else tree["opt_state"][name]
        for name, leaf in _named(like.opt_state)
    ]
    opt_state = jax.tree.unflatten(jax.tree.structure(like.opt_state), leaves)
    return TrainState(tree["step"], tree["params"], tree["state"], opt_state)


def _is_key(leaf: object) -> bool:
    dtype = getattr(leaf, "dtype", None)
    return dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)


def _key_data(leaf: Tree) -> Tree:
    """Converts a random key to its uint32 array; returns any other leaf unchanged."""
    if not _is_key(leaf):
        return leaf
    if isinstance(leaf, jax.Array):
        return jax.random.key_data(leaf)
    data = jax.eval_shape(jax.random.key_data, leaf)
    return jax.ShapeDtypeStruct(data.shape, data.dtype, sharding=leaf.sharding)


def _named(tree: Tree) -> list[tuple[str, Any]]:
    return [
        ("/".join(_part(key) for key in path), leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    ]


def _part(key: Any) -> str:
    if isinstance(key, jax.tree_util.SequenceKey):
        return f"[{key.idx}]"
    return str(getattr(key, "name", getattr(key, "key", key)))
