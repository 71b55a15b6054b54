"""A decoder-only transformer of any size, made for sharding."""

from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from specflow.model.embedding_lookup import look_up
from specflow.model.logical_axes import constrain, named_normal, names_of
from specflow.model.zoo.attention import Attention, attend
from specflow.model.zoo.rotary import rotate
from specflow.model.zoo.stack import Remat, scanned, stacked

__all__ = ["Decoder", "DecoderBlock"]

Stream = Float[Array, "b t d"]

_EPSILON = 1e-5
_SMALL = 0.02
"""Standard deviation of embedding and head: initial logits are near zero."""


def rms_norm(width: int, dtype: DTypeLike, rngs: nnx.Rngs) -> nnx.RMSNorm:
    """Returns an RMS norm with float32 statistics for any dtype."""
    named = names_of("embed")
    return nnx.RMSNorm(
        width, epsilon=_EPSILON, dtype=dtype, scale_metadata=named, rngs=rngs
    )


class DecoderBlock(nnx.Module):
    """Causal attention and a gated feed-forward layer, pre-norm, with residuals.

    Args:
        width: size of the residual stream.
        heads: number of query heads.
        kv_heads: number of key and value heads; it divides `heads`.
        head_dim: width of a head, even.
        mlp_width: hidden width of the feed-forward layer.
        rope_base: base of the rotary positions.
        attention: attention kernel.
        output_scale: factor of the initial values of each output projection.
        dtype: dtype of the activations.
        rngs: streams of the initial values.

    Source: Touvron et al., LLaMA, 2023, section 2.2; Shazeer, GLU Variants Improve
    Transformer, 2020, equation 6; Ainslie et al., GQA, 2023, section 2.2.
    """

    def __init__(
        self,
        *,
        width: int,
        heads: int,
        kv_heads: int,
        head_dim: int,
        mlp_width: int,
        rope_base: float,
        attention: Attention,
        output_scale: float,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        self.rope_base, self.dtype = rope_base, dtype
        self.attention: Attention = attention
        # Set by Flax's train() and eval(): only training computes gradients.
        self.deterministic = False

        def weight(*shape: int, names: str, fan_in: int, scale: float = 1.0):
            """Initial weights that preserve unit variance."""
            return named_normal(
                rngs, shape, tuple(names.split()), std=scale * fan_in**-0.5
            )

        self.attention_norm = rms_norm(width, dtype, rngs)
        query, keys = "embed heads head_dim", "embed kv_heads head_dim"
        self.query = weight(width, heads, head_dim, names=query, fan_in=width)
        self.key = weight(width, kv_heads, head_dim, names=keys, fan_in=width)
        self.value = weight(width, kv_heads, head_dim, names=keys, fan_in=width)
        self.out = weight(
            heads,
            head_dim,
            width,
            names="heads head_dim embed",
            fan_in=heads * head_dim,
            scale=output_scale,
        )
        self.mlp_norm = rms_norm(width, dtype, rngs)
        self.gate = weight(width, mlp_width, names="embed mlp", fan_in=width)
        self.up = weight(width, mlp_width, names="embed mlp", fan_in=width)
        self.down = weight(
            mlp_width, width, names="mlp embed", fan_in=mlp_width, scale=output_scale
        )

    def __call__(self, x: Stream) -> Stream:
        """Returns the residual stream after this block."""
        x = constrain(x + self._attend(self.attention_norm(x)), *_STREAM)
        return constrain(x + self._feed(self.mlp_norm(x)), *_STREAM)

    def _attend(self, x: Stream) -> Stream:
        query = self._product("btd,dhk->bthk", x, self.query)
        key = self._product("btd,dhk->bthk", x, self.key)
        value = self._product("btd,dhk->bthk", x, self.value)
        names = ("batch", "length", "kv_heads", None)
        mixed = attend(
            constrain(
                rotate(query, base=self.rope_base), "batch", "length", "heads", None
            ),
            constrain(rotate(key, base=self.rope_base), *names),
            constrain(value, *names),
            kind=self.attention,
            training=not self.deterministic,
        )
        mixed = constrain(mixed, "batch", "length", "heads", None)
        return self._product("bthk,hkd->btd", mixed, self.out)

    def _feed(self, x: Stream) -> Stream:
        gate = nnx.silu(self._product("btd,dm->btm", x, self.gate))
        hidden = gate * self._product("btd,dm->btm", x, self.up)
        hidden = constrain(hidden, "batch", "length", "mlp")
        return self._product("btm,md->btd", hidden, self.down)

    def _product(self, equation: str, x: Array, weight: nnx.Param) -> Array:
        return jnp.einsum(equation, x, weight[...].astype(self.dtype))


_STREAM = ("batch", "length", None)


class Decoder(nnx.Module):
    """A decoder-only transformer that returns next-token logits at every position.

    Its layers are stacked and scanned, so trace and compile time do not depend on the
    depth. Sequences may have any length. Initial weights are normal with variance 1 /
    fan-in; output projections of the blocks are scaled by 1 / sqrt(2 `layers`) (Radford
    et al., Language Models are Unsupervised Multitask Learners, 2019, section 2.3);
    embedding and head have a standard deviation of 0.02.

    Args:
        vocabulary: number of tokens.
        layers: number of blocks.
        width: size of the residual stream.
        heads: number of query heads.
        kv_heads: number of key and value heads; it divides `heads`.
        head_dim: width of a head, even.
        mlp_width: hidden width of the feed-forward layers.
        rope_base: base of the rotary positions.
        head: `tied`: logits use the embedding's weights; `untied`: separate weights.
        attention: attention kernel.
        remat: rematerialization policy.
        unroll: layers per iteration of the compiled loop.
        dtype: dtype of the activations; parameters, logits, softmax and the statistics
            of norms are float32.
        rngs: streams of the initial values.

    >>> model = Decoder(
    ...     vocabulary=16, layers=2, width=8, heads=2, kv_heads=1, head_dim=4,
    ...     mlp_width=12, rngs=nnx.Rngs(0),
    ... )
    >>> model(jnp.array([[1, 2, 3]])).shape
    (1, 3, 16)
    >>> model.blocks.key.shape, model.blocks.key.get_metadata()["out_sharding"]
    ((2, 8, 1, 4), ('layers', 'embed', 'kv_heads', 'head_dim'))
    """

    def __init__(
        self,
        *,
        vocabulary: int,
        layers: int,
        width: int,
        heads: int,
        kv_heads: int,
        head_dim: int,
        mlp_width: int,
        rope_base: float = 10_000.0,
        head: Literal["tied", "untied"] = "untied",
        attention: Attention = "auto",
        remat: Remat = "none",
        unroll: int = 1,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        self.unroll, self.dtype = unroll, dtype
        self.remat: Remat = remat
        self.embed = named_normal(
            rngs, (vocabulary, width), ("vocab", "embed"), std=_SMALL
        )
        self.blocks = stacked(
            lambda rngs: DecoderBlock(
                width=width,
                heads=heads,
                kv_heads=kv_heads,
                head_dim=head_dim,
                mlp_width=mlp_width,
                rope_base=rope_base,
                attention=attention,
                output_scale=(2 * layers) ** -0.5,
                dtype=dtype,
                rngs=rngs,
            ),
            layers,
            rngs=rngs,
        )
        self.norm = rms_norm(width, dtype, rngs)
        self.head = (
            named_normal(rngs, (width, vocabulary), ("embed", "vocab"), std=_SMALL)
            if head == "untied"
            else None
        )

    def __call__(self, tokens: Int[Array, "b t"]) -> Float[Array, "b t c"]:
        """Returns the logits of the token after each position."""
        x = look_up(self.embed[...], tokens, self.dtype)
        x = constrain(x, *_STREAM)
        x = scanned(self.blocks, x, remat=self.remat, unroll=self.unroll)
        x = self.norm(x)
        head = self.embed[...].T if self.head is None else self.head[...]
        logits = _logits(x, head.astype(self.dtype))
        return constrain(logits, "batch", "length", "vocab")


@jax.custom_vjp
def _logits(x: Stream, head: Float[Array, "d c"]) -> Float[Array, "b t c"]:
    """Computes logits in float32, and their gradients in the dtype of the activations.

    These products are a quarter of a small model's, and take GPUs twice as long if one
    side is float32.
    """
    return jnp.einsum("btd,dc->btc", x, head, preferred_element_type=jnp.float32)


def _logits_forward(x: Stream, head: Array) -> tuple[Array, tuple[Array, Array]]:
    return _logits(x, head), (x, head)


def _logits_backward(kept: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    x, head = kept
    gradient = gradient.astype(x.dtype)
    of_x = jnp.einsum("btc,dc->btd", gradient, head)
    return of_x, jnp.einsum("btd,btc->dc", x, gradient)


_logits.defvjp(_logits_forward, _logits_backward)
