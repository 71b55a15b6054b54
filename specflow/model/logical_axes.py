"""Logical axes: names of an array's dimensions, from which a mesh derives shardings.

Parameters carry the names as Flax's own metadata (`out_sharding`). Activations are
named by `constrain`. Flax's context of rules (`flax.core.spmd.logical_axis_rules`) maps
names to axes of JAX's ambient mesh; the code that traces a model for a mesh sets both.
The names are the usual ones:

    batch, length                      of activations
    heads, kv_heads, head_dim, mlp     of both
    vocab, embed, layers               of parameters; `vocab` also of logits
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
    """Returns a normally distributed float32 parameter with named dimensions.

    Args:
        rngs: streams of the initial values.
        shape: of the parameter.
        names: one for each dimension; None for one that is never sharded.
        std: standard deviation of the initial values.

    >>> weight = named_normal(nnx.Rngs(0), (4, 8), ("embed", "mlp"), std=0.02)
    >>> weight.shape, weight.get_metadata()["out_sharding"]
    ((4, 8), ('embed', 'mlp'))
    """
    values = std * jax.random.normal(rngs.params(), shape)
    return nnx.Param(values, **names_of(*names))


def names_of(*names: str | None) -> dict[str, Any]:
    """Returns the metadata of a parameter whose dimensions have these names.

    >>> names_of("embed")
    {'out_sharding': ('embed',), 'eager_sharding': False}
    """
    # Not eager: modules are built without a mesh.
    return {"out_sharding": names, "eager_sharding": False}


def constrain(x: Array, *names: str | None) -> Array:
    """Constrains the sharding of an activation by the names of its dimensions.

    Without an ambient mesh or rules it returns `x`.

    Args:
        x: an activation, in a trace.
        names: one for each dimension; None for one that is not sharded.
    """
    found = layout(x.shape, names)
    if found is None or all(axes is PartitionSpec.UNCONSTRAINED for axes in found):
        return x
    return jax.lax.with_sharding_constraint(x, found)


def layout(shape: tuple[int, ...], names: Names) -> PartitionSpec | None:
    """Returns the mesh axes of each dimension on the ambient mesh; None if none is
    sharded.

    Rules are tried in order, as in Flax: a name gets the unused axes of its first rule.
    A dimension without a rule, or not divisible by its axes, such as the remainder of a
    batch, is left to the compiler.

    Args:
        shape: of the array.
        names: one for each dimension.
    """
    mesh, rules = jax.sharding.get_abstract_mesh(), spmd.get_logical_axis_rules()
    if mesh.empty or mesh.size == 1 or not rules:
        return None
    if not all(isinstance(size, int) for size in shape):
        return None  # Symbolic: an export, which has no mesh.
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
