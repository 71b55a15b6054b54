"""Augmentation of training images."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from specflow.config.base import Config

__all__ = ["AugmentConfig", "ColorConfig", "CropConfig"]

NonNegative = Annotated[float, Field(ge=0.0)]


class CropConfig(Config):
    """A random part of the image with black pixels around it, in the image's size."""

    padding: PositiveInt
    """Number of black pixels on each side."""


class ColorConfig(Config):
    """Random factors, each uniform in [max(0, 1 - x), 1 + x]."""

    brightness: NonNegative = 0.0
    """x of the pixels."""
    contrast: NonNegative = 0.0
    """x of the differences to the mean gray."""
    saturation: NonNegative = 0.0
    """x of the differences to the gray image."""


class AugmentConfig(Config):
    """Random changes of training images, in this order; evaluation has none.

    They are drawn from the seed, the epoch and the row, so that neither the batch size
    nor the number of processes nor a resume changes them.
    """

    crop: CropConfig | None = None
    """A random part of the image; null: the image."""
    flip: Literal["horizontal", "vertical", "both"] | None = None
    """Mirror half of the images; `both` draws each direction by itself. null: none."""
    color: ColorConfig | None = None
    """Random brightness, contrast and saturation; null: none."""

    @property
    def changes(self) -> bool:
        """True if anything is declared."""
        return any(getattr(self, name) is not None for name in type(self).model_fields)
