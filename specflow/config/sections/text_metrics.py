"""The metrics of `spec.eval_metrics` for language models."""

from typing import Literal

from pydantic import Field

from specflow.config.key_path import KeyPath
from specflow.config.kinds import named
from specflow.config.sections.metrics import RatioConfig

__all__ = [
    "MEMBERS",
    "BitsPerByteConfig",
    "PerplexityConfig",
]


class PerplexityConfig(RatioConfig):
    """exp of the mean loss per token."""

    name: Literal["perplexity"] = "perplexity"
    losses: KeyPath
    """Cross-entropy of each token, in nats."""


class BitsPerByteConfig(RatioConfig):
    """Mean loss per byte, in bits."""

    name: Literal["bits_per_byte"] = "bits_per_byte"
    losses: KeyPath
    """Cross-entropy of each token, in nats."""
    bytes_per_token: float = Field(default=1.0, gt=0.0)
    """Mean number of bytes a token stands for."""


MEMBERS = named(
    PerplexityConfig,
    BitsPerByteConfig,
)
"""Name -> class."""
