"""cuDNN's attention on a mesh of GPUs: the kernel on each device's heads."""

import jax
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float

from specflow.model.zoo.fused_weights import shares

__all__ = ["cudnn_attention"]


def cudnn_attention(
    query: Float[Array, "b t h d"],
    key: Float[Array, "b t k d"],
    value: Float[Array, "b t k d"],
) -> Float[Array, "b t h d"]:
    """Computes causal attention with a kernel that never materializes all logits.

    JAX's own partitioning rule fails to compile where the sequence is sharded, or
    queries and keys are sharded differently, and puts an address of the lowering
    process into the program's text.

    Args:
        query: d a multiple of 8, of 16 bits.
        key: k divides h.
        value: like `key`.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or mesh.size == 1:
        return _kernel(query, key, value)
    *heads, over_batch, over_heads = shares(query, key, value)
    rows = PartitionSpec(over_batch, None, over_heads, None)
    return jax.shard_map(
        _kernel, in_specs=(rows, rows, rows), out_specs=rows, check_vma=False
    )(*heads)


def _kernel(query: Array, key: Array, value: Array) -> Array:
    return jax.nn.dot_product_attention(
        query, key, value, is_causal=True, implementation="cudnn"
    )
