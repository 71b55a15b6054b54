"""Fields that losses share."""

from typing import Annotated

from pydantic import Field, PositiveFloat

from specflow.config.base import Config
from specflow.config.key_path import KeyPath

__all__ = ["LossBaseConfig"]

NonNegative = Annotated[float, Field(ge=0.0)]


class LossBaseConfig(Config):
    """Fields of every loss."""

    labels: KeyPath = "labels"
    """Key path of the labels."""
    weight: PositiveFloat = 1.0
    """Weight of this loss in the sum of losses."""
    example_weights: KeyPath | None = None
    """Key path of sample weights, one per example or token; null: weight 1."""
    class_weights: list[NonNegative] | None = Field(default=None, min_length=1)
    """Weight of the examples of each class, in the order of the classes' indices, times
    their sample weight; null: weight 1."""
