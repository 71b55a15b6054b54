"""cuDNN's attention on a mesh of GPUs: the kernel, for each device's own heads."""

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
    """Causal attention by a kernel that never holds the logits of a whole sequence.

    JAX can tell the partitioner how to cut it. But then it fails to compile wherever
    the sequence is cut, or queries and keys are not cut alike, and the program's text
    holds an address of the process that lowered it.

    Args:
        query: d a multiple of 8, of 16 bits.
        key: k divides h.
        value: as `key`.
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
