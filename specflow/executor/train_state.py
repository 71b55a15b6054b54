"""All that a training step changes: flat dicts of arrays, the optimizer's tree."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

__all__ = ["TrainState", "from_tree", "to_tree"]


class TrainState(NamedTuple):
    """The state between two steps; a pytree."""

    step: Any
    """int32[]: steps taken."""
    params: dict[str, Any]
    """Parameters by dotted path."""
    model_state: dict[str, Any]
    """What the model carries beside parameters: statistics, random streams."""
    opt_state: Any
    """What the optimizer carries."""


def to_tree(state: TrainState) -> dict[str, Any]:
    """The state as nested dicts, for a checkpoint: no class of any library in it.

    Random keys, as an optimizer that adds noise keeps one, become the numbers they are.

    >>> to_tree(TrainState(0, {"w": 1}, {}, ({"w": 2}, 3)))
    {'step': 0, 'params': {'w': 1}, 'state': {}, 'opt_state': {'[0]/w': 2, '[1]': 3}}
    """
    opt_state = {name: _numbers(leaf) for name, leaf in _named(state.opt_state)}
    return {
        "step": state.step,
        "params": state.params,
        "state": state.model_state,
        "opt_state": opt_state,
    }


def from_tree(tree: dict[str, Any], like: TrainState) -> TrainState:
    """The state that `to_tree` took apart.

    Args:
        tree: what `to_tree` returned.
        like: a state of the same form, whose leaves do not matter.
    """
    leaves = [
        jax.random.wrap_key_data(tree["opt_state"][name])
        if _is_key(leaf)
        else tree["opt_state"][name]
        for name, leaf in _named(like.opt_state)
    ]
    opt_state = jax.tree.unflatten(jax.tree.structure(like.opt_state), leaves)
    return TrainState(tree["step"], tree["params"], tree["state"], opt_state)


def _is_key(leaf: Any) -> bool:
    dtype = getattr(leaf, "dtype", None)
    return dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)


def _numbers(leaf: Any) -> Any:
    """A random key as an array of numbers; anything else as it is."""
    if not _is_key(leaf):
        return leaf
    if isinstance(leaf, jax.Array):
        return jax.random.key_data(leaf)
    form = jax.eval_shape(jax.random.key_data, leaf)
    return jax.ShapeDtypeStruct(form.shape, form.dtype, sharding=leaf.sharding)


def _named(tree: Any) -> list[tuple[str, Any]]:
    return [
        ("/".join(_part(key) for key in path), leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    ]


def _part(key: Any) -> str:
    if isinstance(key, jax.tree_util.SequenceKey):
        return f"[{key.idx}]"
    return str(getattr(key, "name", getattr(key, "key", key)))
