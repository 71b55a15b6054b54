"""Equal layers, stacked and scanned: one trace whatever the depth."""

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import jax
from flax import nnx
from jax import lax
from jaxtyping import Array

__all__ = ["Remat", "scanned", "stacked"]

Remat: TypeAlias = Literal["none", "full", "dots", "dots_with_no_batch_dims"]
"""What the backward pass computes again; see `POLICIES`."""

SAVED = "attention"
"""Name (`jax.ad_checkpoint.checkpoint_name`) of what a layer's attention gives: both
policies that save products save it too, because a kernel's product is none to JAX."""


def _attention(primitive: Any, *arguments: Any, **params: Any) -> bool:
    """Whether it is attention: by its name, or cuDNN's forward kernel.

    That one also gives what its backward kernel takes, which nobody else can name.
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
"""Name -> what `jax.checkpoint` keeps of each layer. `none` keeps everything."""


def stacked(
    make: Callable[[nnx.Rngs], nnx.Module], layers: int, *, rngs: nnx.Rngs
) -> Any:
    """A module whose parameters are those of `layers` modules, stacked in front.

    Args:
        make: makes one of them.
        layers: how many.
        rngs: streams of the initial values; each layer draws its own.

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
    """What a stack of layers makes of an activation, one after another.

    Args:
        block: from `stacked`; called with an activation, it returns one of its form.
        x: what the first layer takes.
        remat: what the backward pass computes again, layer by layer.
        unroll: layers that the compiled loop takes at once: more is faster on some
            devices, and takes longer to compile.

    >>> block = stacked(lambda rngs: nnx.Linear(2, 2, rngs=rngs), 5, rngs=nnx.Rngs(0))
    >>> scanned(block, jax.numpy.ones((3, 2))).shape
    (3, 2)
    """
    graphdef, state = nnx.split(block)

    def layer(x: Array, values: Any) -> tuple[Array, None]:
        return nnx.merge(graphdef, values)(x), None

    if remat != "none":
        # A loop's body is compiled alone: what is computed again cannot be merged with
        # what was computed before, so the costly guard against it is not needed.
        layer = jax.checkpoint(layer, policy=POLICIES[remat], prevent_cse=False)
    return lax.scan(layer, x, state, unroll=unroll)[0]
