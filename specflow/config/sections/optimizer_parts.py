"""An optimizer for each part of a model."""

from typing import Literal

from pydantic import Field

from specflow.config.base import Config
from specflow.config.kinds import named
from specflow.config.sections.optimizer import AroundConfig, OptimizerConfig

__all__ = ["MEMBERS", "PartConfig", "PartsConfig"]


class PartConfig(Config):
    """Some of the parameters, and what trains them."""

    paths: list[str] = Field(min_length=1)
    """Globs of parameter paths."""
    optimizer: OptimizerConfig  # type: ignore[valid-type]
    """What trains them; its `clip_norm` is that of these parameters."""


class PartsConfig(AroundConfig):
    """An optimizer for each part of a model, as wide-and-deep models have them."""

    name: Literal["parts"] = "parts"
    parts: dict[str, PartConfig] = Field(min_length=1)
    """Parts by name, in order: the first that matches trains a parameter."""


MEMBERS = named(PartsConfig)
"""Name -> class; `optimizer.py` lists the names."""
