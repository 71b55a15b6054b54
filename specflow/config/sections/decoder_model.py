"""The decoder of `model`: a scanned language model."""

from typing import Literal, Self

from pydantic import PositiveFloat, PositiveInt, model_validator

from specflow.config.base import Config, Dtype
from specflow.config.broken_rules import refuse
from specflow.config.kinds import named

__all__ = ["MEMBERS", "DecoderConfig", "Remat"]

Remat = Literal["none", "full", "dots", "dots_with_no_batch_dims"]


class DecoderConfig(Config):
    """Decoder-only transformer of the Llama family, with stacked, scanned layers.

    Rotary positions, grouped-query attention, SwiGLU and RMSNorm; no biases, no
    dropout. Parameters have logical axes, so that any mesh can shard them. Compile time
    does not depend on depth.
    """

    name: Literal["decoder"] = "decoder"
    vocabulary: PositiveInt | None = 256
    """Vocabulary size; 256 for bytes; null: that of the text, or of its tokenizer."""
    layers: PositiveInt = 4
    """Number of blocks: attention and a feed-forward layer each."""
    width: PositiveInt = 256
    """Model dimension: size of the residual stream."""
    heads: PositiveInt = 4
    """Number of attention heads."""
    kv_heads: PositiveInt | None = None
    """Number of key-value heads (grouped-query attention), a divisor of `heads`; null:
    `heads` (multi-head attention); 1: multi-query attention."""
    head_dim: PositiveInt | None = None
    """Dimension of a head, even; null: width / heads."""
    mlp_width: PositiveInt | None = None
    """Hidden dimension of the feed-forward layer; null: 8/3 of the width, rounded up to
    a multiple of 128."""
    rope_base: PositiveFloat = 10_000.0
    """Base frequency of rotary position embeddings: larger for longer sequences."""
    head: Literal["tied", "untied"] = "untied"
    """Tie the output projection to the embedding, or not."""
    attention: Literal["auto", "xla", "cudnn", "splash"] = "auto"
    """Attention kernel: `splash` (Pallas) on TPU, `cudnn` on GPU, `xla` anywhere;
    `auto` selects the device's, and `xla` where its shapes are not supported."""
    remat: Remat = "none"
    """Rematerialization: activations that the backward pass recomputes, layer by layer:
    `none`, `full` (all), all but matrix products (`dots`), or all but products of
    activations with weights (`dots_with_no_batch_dims`); attention is recomputed."""
    unroll: PositiveInt = 1
    """Layers per iteration of the scan: faster on some devices, slower to compile."""
    dtype: Dtype | None = None
    """Data type of the activations; parameters, logits, softmax and normalization
    statistics stay float32. null: loop.compute_dtype."""

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        diagnostics = []
        if self.head_dim is None and self.width % self.heads:
            expected = f"a divisor of model.width ({self.width}), or model.head_dim"
            diagnostics.append((("heads",), self.heads, expected))
        elif self.sizes()["head_dim"] % 2:
            expected = "an even width of a head, as rotary positions need it"
            diagnostics.append((("head_dim",), self.sizes()["head_dim"], expected))
        if self.heads % (self.kv_heads or 1):
            expected = f"a divisor of model.heads ({self.heads})"
            diagnostics.append((("kv_heads",), self.kv_heads, expected))
        refuse("DecoderConfig", diagnostics)
        return self

    def sizes(self) -> dict[str, int]:
        """Field -> size, of the sizes that may be null."""
        hidden = -(-self.width * 8 // 3)
        return {
            "kv_heads": self.kv_heads or self.heads,
            "head_dim": self.head_dim or self.width // self.heads,
            "mlp_width": self.mlp_width or -(-hidden // 128) * 128,
        }


MEMBERS = named(DecoderConfig)
"""Name -> class."""
