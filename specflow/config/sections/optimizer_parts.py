"""`optimizer: parts`: an optimizer for each part of a model."""

from typing import Literal

from pydantic import Field

from specflow.config.base import Config
from specflow.config.kinds import named
from specflow.config.sections.optimizer import CommonOptimizerConfig, OptimizerConfig

__all__ = ["MEMBERS", "PartConfig", "PartsConfig"]


class PartConfig(Config):
    """A subset of the parameters, and its optimizer."""

    paths: list[str] = Field(min_length=1)
    """Globs of parameter paths."""
    optimizer: OptimizerConfig  # type: ignore[valid-type]
    """Optimizer of these parameters; its `clip_norm` is over them alone."""


class PartsConfig(CommonOptimizerConfig):
    """An optimizer for each part of a model, such as a wide and a deep part."""

    name: Literal["parts"] = "parts"
    parts: dict[str, PartConfig] = Field(min_length=1)
    """Parts by name, in order: the first match trains a parameter."""


MEMBERS = named(PartsConfig)
"""Name -> class; `optimizer.py` lists the names."""
