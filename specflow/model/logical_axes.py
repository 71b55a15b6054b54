"""Logical axes: what an array's dimensions mean, for a mesh to lay them out.

Parameters carry their names as Flax's own metadata (`out_sharding`). Activations are
named where they arise, by `constrain`. Which mesh axes a name goes along is Flax's
context of rules (`flax.core.spmd.logical_axis_rules`), on JAX's ambient mesh; whoever
traces a model for a mesh sets both. The names are those of the field:

    batch, length                      of activations alone
    heads, kv_heads, head_dim, mlp     of both
    vocab, embed, layers               of parameters; `vocab` of logits too
"""

import math
from typing import Any

import jax
from flax import nnx
from flax.core import spmd
from jax.sharding import PartitionSpec
from jaxtyping import Array

__all__ = ["constrain", "layout", "named_normal", "names_of"]

Names = tuple[str | None, ...]


def named_normal(
    rngs: nnx.Rngs, shape: tuple[int, ...], names: Names, *, std: float
) -> nnx.Param[Array]:
    """A float32 parameter, normal around zero, that knows its dimensions' names.

    Args:
        rngs: streams of the initial values.
        shape: of the parameter.
        names: one for each dimension, None for one that no mesh may cut.
        std: standard deviation of the initial values.

    >>> weight = named_normal(nnx.Rngs(0), (4, 8), ("embed", "mlp"), std=0.02)
    >>> weight.shape, weight.get_metadata()["out_sharding"]
    ((4, 8), ('embed', 'mlp'))
    """
    values = std * jax.random.normal(rngs.params(), shape)
    return nnx.Param(values, **names_of(*names))


def names_of(*names: str | None) -> dict[str, Any]:
    """Metadata of a parameter whose dimensions have these names.

    >>> names_of("embed")
    {'out_sharding': ('embed',), 'eager_sharding': False}
    """
    # Not eager: a module is built, and looked at, without any mesh.
    return {"out_sharding": names, "eager_sharding": False}


def constrain(x: Array, *names: str | None) -> Array:
    """The same activation, laid out over the ambient mesh by its dimensions' names.

    Without a mesh or without rules it is `x` itself.

    Args:
        x: an activation, in a trace.
        names: one for each dimension; None for one that is kept whole.
    """
    found = layout(x.shape, names)
    if found is None or all(axes is PartitionSpec.UNCONSTRAINED for axes in found):
        return x
    return jax.lax.with_sharding_constraint(x, found)


def layout(shape: tuple[int, ...], names: Names) -> PartitionSpec | None:
    """Mesh axes of each dimension on the ambient mesh; None: there is nothing to cut.

    Rules are tried in order, as Flax does: a name takes the axes of its first rule
    that are not taken yet. A dimension that no rule names, or that its axes do not
    divide, such as the remainder of a batch, is left to the compiler.

    Args:
        shape: of the array.
        names: one for each dimension.
    """
    mesh, rules = jax.sharding.get_abstract_mesh(), spmd.get_logical_axis_rules()
    if mesh.empty or mesh.size == 1 or not rules:
        return None
    if not all(isinstance(size, int) for size in shape):
        return None  # Symbolic: an export, which knows no mesh.
    free = PartitionSpec.UNCONSTRAINED
    dims: list[Any] = [None if name is None else free for name in names]
    taken: set[str] = set()
    for name, given in rules:
        if name not in names or dims[place := names.index(name)] is not free:
            continue
        wanted = (given,) if isinstance(given, str) else tuple(given or ())
        axes = tuple(axis for axis in wanted if mesh.shape.get(axis, 1) > 1)
        parts = math.prod(mesh.shape[axis] for axis in axes)
        if shape[place] % parts == 0 and taken.isdisjoint(axes):
            dims[place] = axes or None
            taken.update(axes)
    return PartitionSpec(*dims)
