"""Fields that losses share."""

from pydantic import PositiveFloat

from specflow.config.base import Config
from specflow.config.key_path import KeyPath

__all__ = ["LossBaseConfig"]


class LossBaseConfig(Config):
    """Fields of every loss."""

    labels: KeyPath = "labels"
    """Key path of the labels."""
    weight: PositiveFloat = 1.0
    """Weight of this loss in the sum of losses."""
    example_weights: KeyPath | None = None
    """Key path of sample weights, one per example or token; null: weight 1."""
