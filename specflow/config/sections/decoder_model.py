"""The decoder of `model`: a language model of any size."""

from typing import Literal, Self

from pydantic import PositiveFloat, PositiveInt, model_validator

from specflow.config.base import Config, Dtype
from specflow.config.broken_rules import refuse
from specflow.config.kinds import named

__all__ = ["MEMBERS", "DecoderConfig", "Remat"]

Remat = Literal["none", "full", "dots", "dots_with_no_batch_dims"]


class DecoderConfig(Config):
    """A decoder-only transformer of the Llama family, its layers stacked and scanned.

    Rotary positions, grouped-query attention, SwiGLU and RMSNorm; no biases, no
    dropout. Parameters have logical axes, so that every mesh can cut it. It compiles in
    the same time whatever its depth.
    """

    name: Literal["decoder"] = "decoder"
    vocabulary: PositiveInt = 256
    """Number of tokens; 256 for bytes."""
    layers: PositiveInt = 4
    """Number of blocks, each attention and a feed-forward layer."""
    width: PositiveInt = 256
    """Size of the residual stream."""
    heads: PositiveInt = 4
    """Attention heads."""
    kv_heads: PositiveInt | None = None
    """Heads of keys and values, each for equally many query heads; null: as many as
    `heads`, which is plain multi-head attention; 1 is multi-query attention."""
    head_dim: PositiveInt | None = None
    """Width of a head, even; null: the width over the heads."""
    mlp_width: PositiveInt | None = None
    """Hidden width of the feed-forward layer; null: 8/3 of the width, up to the next
    multiple of 128."""
    rope_base: PositiveFloat = 10_000.0
    """Base of the rotary positions: larger for longer sequences."""
    head: Literal["tied", "untied"] = "untied"
    """Whether the logits come from the embedding's weights or from weights apart."""
    attention: Literal["auto", "xla", "cudnn", "splash"] = "auto"
    """Whose kernel attends: `splash` (Pallas) on TPUs, `cudnn` on GPUs, `xla` anywhere;
    `auto` is that of the device, and `xla` where it does not fit."""
    remat: Remat = "none"
    """What the backward pass computes again, layer by layer, to save memory: `none`,
    `full` (all of it), or all but products (`dots`) or but those of activations with
    weights (`dots_with_no_batch_dims`), and attention."""
    unroll: PositiveInt = 1
    """Layers that the compiled loop takes at once: faster on some devices, and longer
    to compile."""
    dtype: Dtype | None = None
    """Type of the activations; parameters, logits, softmax and the statistics of norms
    stay float32. null: loop.compute_dtype."""

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        diagnostics = []
        if self.head_dim is None and self.width % self.heads:
            told = f"a divisor of model.width ({self.width}), or model.head_dim"
            diagnostics.append((("heads",), self.heads, told))
        elif self.sizes()["head_dim"] % 2:
            told = "an even width of a head, as rotary positions need it"
            diagnostics.append((("head_dim",), self.sizes()["head_dim"], told))
        if self.heads % (self.kv_heads or 1):
            told = f"a divisor of model.heads ({self.heads})"
            diagnostics.append((("kv_heads",), self.kv_heads, told))
        refuse("DecoderConfig", diagnostics)
        return self

    def sizes(self) -> dict[str, int]:
        """The sizes that may be null, as they are then."""
        hidden = -(-self.width * 8 // 3)
        return {
            "kv_heads": self.kv_heads or self.heads,
            "head_dim": self.head_dim or self.width // self.heads,
            "mlp_width": self.mlp_width or -(-hidden // 128) * 128,
        }


MEMBERS = named(DecoderConfig)
"""Name -> class."""
