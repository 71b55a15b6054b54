"""Splash attention on a mesh of TPUs: Pallas's kernel on each device's heads."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental.pallas.ops.tpu import splash_attention as pallas
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array, Float

from specflow.model.zoo.fused_weights import shares
from specflow.model.zoo.stack import SAVED

__all__ = ["splash_attention"]

_BLOCKS = (512, 256, 128)
"""Block sizes in tokens: the largest that divides the length is the fastest."""
_BLOCK_FIELDS = (
    "block_q",
    "block_kv",
    "block_q_dkv",
    "block_kv_dkv",
    "block_kv_dkv_compute",
    "block_q_dq",
    "block_kv_dq",
)


def splash_attention(
    query: Float[Array, "b t h d"],
    key: Float[Array, "b t k d"],
    value: Float[Array, "b t k d"],
) -> Float[Array, "b t h d"]:
    """Computes causal attention with a kernel that never materializes all logits.

    Each device runs it on its own shard of sequences and heads.

    Args:
        query: t a multiple of 128.
        key: k divides h.
        value: like `key`.
    """
    _, t, heads, d = query.shape
    mesh = jax.sharding.get_abstract_mesh()
    query, key, value, over_batch, over_heads = shares(query, key, value)
    # The kernel does not scale.
    query = (query.astype(jnp.float32) * d**-0.5).astype(query.dtype)
    query, key, value = (x.swapaxes(1, 2) for x in (query, key, value))

    parts = math.prod(mesh.shape[axis] for axis in over_heads or ())
    block = next(size for size in _BLOCKS if t % size == 0)
    kernel: Any = pallas.make_splash_mha(
        mask=pallas.MultiHeadMask([pallas.CausalMask((t, t))] * heads),
        block_sizes=pallas.BlockSizes(**dict.fromkeys(_BLOCK_FIELDS, block)),
        head_shards=parts,
        q_seq_shards=1,
        # The name by which remat policies save the kernel's residuals.
        residual_checkpoint_name=SAVED,
    )

    def of_some(kernel: Any, query: Array, key: Array, value: Array) -> Array:
        return jax.vmap(kernel)(query, key, value)

    if mesh.empty or mesh.size == 1:
        return of_some(kernel, query, key, value).swapaxes(1, 2)
    rows = PartitionSpec(over_batch, over_heads, None, None)
    masks = NamedSharding(mesh, PartitionSpec(over_heads, None))
    mixed = jax.shard_map(
        of_some,
        in_specs=(kernel.manual_sharding_spec(masks), rows, rows, rows),
        out_specs=rows,
        check_vma=False,
    )(kernel, query, key, value)
    return mixed.swapaxes(1, 2)
