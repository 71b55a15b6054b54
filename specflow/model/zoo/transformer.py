"""A small decoder-only transformer."""

from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from specflow.model.embedding_lookup import Embed
from specflow.model.zoo.rotary import rotate

__all__ = ["Block", "Transformer"]


class Block(nnx.Module):
    """Causal attention and a feed-forward layer, pre-norm, with residuals.

    Args:
        width: size of the residual stream.
        heads: number of attention heads; they divide the width.
        mlp_ratio: width of the feed-forward layer over `width`.
        rotary: rotate queries and keys by their position.
        dropout: dropout rate of each residual branch.
        dtype: dtype of the activations.
        rngs: streams of the initial values and of dropout.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        mlp_ratio: int,
        rotary: bool,
        dropout: float,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        self.heads, self.rotary = heads, rotary

        def dense(inputs: int, outputs: int, *, use_bias: bool = True) -> nnx.Linear:
            return nnx.Linear(
                inputs, outputs, use_bias=use_bias, dtype=dtype, rngs=rngs
            )

        self.attention_norm = nnx.LayerNorm(width, dtype=dtype, rngs=rngs)
        self.qkv = dense(width, 3 * width, use_bias=False)
        self.out = dense(width, width, use_bias=False)
        self.mlp_norm = nnx.LayerNorm(width, dtype=dtype, rngs=rngs)
        self.up = dense(width, mlp_ratio * width)
        self.down = dense(mlp_ratio * width, width)
        self.dropout = nnx.Dropout(dropout, rngs=rngs) if dropout else None

    def __call__(self, x: Float[Array, "n d"], *, length: int) -> Float[Array, "n d"]:
        """Returns the residual stream after this block.

        Args:
            x: the stream, with all tokens of all sequences on one axis. Weight
                gradients of 3-D activations are nearly twice as slow on CPU.
            length: tokens per sequence.
        """
        x = x + self._dropped(self._attend(self.attention_norm(x), length))
        hidden = nnx.gelu(self.up(self.mlp_norm(x)))
        return x + self._dropped(self.down(hidden))

    def _attend(self, x: Float[Array, "n d"], length: int) -> Float[Array, "n d"]:
        n, width = x.shape
        qkv = self.qkv(x).reshape(-1, length, 3, self.heads, width // self.heads)
        query, key, value = qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]
        if self.rotary:
            query, key = rotate(query), rotate(key)
        mixed = jax.nn.dot_product_attention(query, key, value, is_causal=True)
        return self.out(mixed.reshape(n, width))

    def _dropped(self, x: Float[Array, "n d"]) -> Float[Array, "n d"]:
        return self.dropout(x) if self.dropout else x


class Transformer(nnx.Module):
    """A decoder-only transformer that returns next-token logits at every position.

    Smaller than `Decoder`, with learned or rotary positions, and dropout. Its tokens
    are on one axis, which is faster on a CPU and does not allow sequence sharding.

    Args:
        vocabulary: number of tokens.
        layers: number of blocks.
        width: size of the residual stream.
        heads: attention heads of a block; they divide the width.
        mlp_ratio: width of the feed-forward layer over `width`.
        max_length: longest sequence, in tokens.
        positions: `learned`: position embeddings are added to those of tokens;
            `rotary`: queries and keys are rotated by their position.
        head: `tied`: logits use the embedding's weights; `untied`: separate weights.
        dropout: dropout rate; at 0 there is no dropout layer, and no random state.
        dtype: dtype of the activations; the parameters are float32.
        rngs: streams of the initial values and of dropout.

    >>> model = Transformer(
    ...     vocabulary=16, layers=1, width=8, heads=2, max_length=4, rngs=nnx.Rngs(0)
    ... )
    >>> model(jnp.array([[1, 2, 3]])).shape
    (1, 3, 16)
    """

    def __init__(
        self,
        *,
        vocabulary: int,
        layers: int,
        width: int,
        heads: int,
        mlp_ratio: int = 4,
        max_length: int,
        positions: Literal["learned", "rotary"] = "rotary",
        head: Literal["tied", "untied"] = "untied",
        dropout: float = 0.0,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        self.max_length = max_length
        # Small, because a tied head multiplies by it again.
        small = nnx.initializers.normal(0.02)
        self.embed = Embed(
            vocabulary, width, dtype=dtype, embedding_init=small, rngs=rngs
        )
        self.position = (
            Embed(max_length, width, dtype=dtype, embedding_init=small, rngs=rngs)
            if positions == "learned"
            else None
        )
        self.dropout = nnx.Dropout(dropout, rngs=rngs) if dropout else None
        self.blocks = nnx.List(
            Block(
                width,
                heads,
                mlp_ratio=mlp_ratio,
                rotary=positions == "rotary",
                dropout=dropout,
                dtype=dtype,
                rngs=rngs,
            )
            for _ in range(layers)
        )
        self.norm = nnx.LayerNorm(width, dtype=dtype, rngs=rngs)
        self.head = (
            nnx.Linear(width, vocabulary, use_bias=False, dtype=dtype, rngs=rngs)
            if head == "untied"
            else None
        )

    def __call__(self, tokens: Int[Array, "b t"]) -> Float[Array, "b t c"]:
        """Returns the logits of the token after each position.

        Raises:
            ValueError: the sequences are longer than `max_length`.
        """
        b, t = tokens.shape
        if t > self.max_length:
            raise ValueError(
                f"sequences of {t} tokens are longer than max_length={self.max_length}"
            )
        x = self.embed(tokens)
        if self.position:
            x = x + self.position(jnp.arange(t))[None]
        x = x.reshape(b * t, -1)
        x = self.dropout(x) if self.dropout else x
        for block in self.blocks:
            x = block(x, length=t)
        x = self.norm(x)
        logits = self.head(x) if self.head else self.embed.attend(x)
        return logits.reshape(b, t, -1)
