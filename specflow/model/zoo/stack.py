"""Equal layers, stacked and scanned: one trace for any depth."""

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import jax
from flax import nnx
from jax import lax
from jaxtyping import Array

__all__ = ["Remat", "scanned", "stacked"]

Remat: TypeAlias = Literal["none", "full", "dots", "dots_with_no_batch_dims"]
"""Rematerialization policy; see `POLICIES`."""

SAVED = "attention"
"""Name (`jax.ad_checkpoint.checkpoint_name`) of a layer's attention output. Both
policies that save matrix products also save it: JAX sees no product in a kernel."""


def _attention(primitive: Any, *arguments: Any, **params: Any) -> bool:
    """Returns True for attention: by its name, or cuDNN's forward kernel.

    The kernel also returns residuals of its backward kernel, which have no name.
    """
    cudnn = primitive.name.startswith("dot_product_attention_fwd")
    return cudnn or bool(_NAMED(primitive, *arguments, **params))


_POLICIES = jax.checkpoint_policies
_NAMED = _POLICIES.save_only_these_names(SAVED)
POLICIES: dict[str, Any] = {
    "full": _POLICIES.nothing_saveable,
    "dots": _POLICIES.save_from_both_policies(_POLICIES.dots_saveable, _attention),
    "dots_with_no_batch_dims": _POLICIES.save_from_both_policies(
        _POLICIES.dots_with_no_batch_dims_saveable, _attention
    ),
}
"""Policy -> residuals of each layer that `jax.checkpoint` saves; `none` saves all."""


def stacked(
    make: Callable[[nnx.Rngs], nnx.Module], layers: int, *, rngs: nnx.Rngs
) -> Any:
    """Returns a module with the parameters of `layers` modules on a new leading axis.

    Args:
        make: makes one module.
        layers: number of modules.
        rngs: streams of the initial values, different for each layer.

    >>> block = stacked(lambda rngs: nnx.Linear(2, 3, rngs=rngs), 5, rngs=nnx.Rngs(0))
    >>> block.kernel.shape
    (5, 2, 3)
    """

    def one(key: jax.Array) -> nnx.Module:
        return make(nnx.Rngs(params=key))

    names = {nnx.PARTITION_NAME: "layers"}
    every = nnx.vmap(one, in_axes=0, out_axes=0, transform_metadata=names)
    return every(jax.random.split(rngs.params(), layers))


def scanned(
    block: Any,
    x: Array,
    *,
    remat: Remat = "none",
    unroll: int = 1,
) -> Array:
    """Applies a stack of layers to an activation, one after another.

    Args:
        block: from `stacked`; maps an activation to one of the same shape.
        x: input of the first layer.
        remat: rematerialization policy of each layer.
        unroll: layers per iteration of the compiled loop: more is faster on some
            devices, and takes longer to compile.

    >>> block = stacked(lambda rngs: nnx.Linear(2, 2, rngs=rngs), 5, rngs=nnx.Rngs(0))
    >>> scanned(block, jax.numpy.ones((3, 2))).shape
    (3, 2)
    """
    graphdef, state = nnx.split(block)

    def layer(x: Array, values: Any) -> tuple[Array, None]:
        return nnx.merge(graphdef, values)(x), None

    if remat != "none":
        # A loop's body is compiled alone: recomputation cannot be merged with the
        # forward pass, so the costly barrier against it is not needed.
        layer = jax.checkpoint(layer, policy=POLICIES[remat], prevent_cse=False)
    return lax.scan(layer, x, state, unroll=unroll)[0]
