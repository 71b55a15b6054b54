"""Augmentation of training images."""

from typing import Annotated, Literal, Self, get_args

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from specflow.config.base import Config
from specflow.config.broken_rules import Broken, refuse

__all__ = [
    "AugmentConfig",
    "ColorConfig",
    "CropConfig",
    "Operation",
    "RandAugmentConfig",
    "ScaledCropConfig",
]

NonNegative = Annotated[float, Field(ge=0.0)]
Share = Annotated[float, Field(gt=0.0, le=1.0)]

Operation = Literal[
    "identity",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
    "rotate",
    "brightness",
    "color",
    "contrast",
    "sharpness",
    "posterize",
    "solarize",
    "auto_contrast",
    "equalize",
]


class ScaledCropConfig(Config):
    """A random rectangle of the image in its file, scaled to `size`.

    Source: Szegedy et al., Going Deeper with Convolutions, 2015; torchvision's
    `RandomResizedCrop`.
    """

    area: list[Share] = Field(default=[0.08, 1.0], min_length=2, max_length=2)
    """Least and largest area of the rectangle, as a share of the image's."""
    aspect: list[PositiveFloat] = Field(
        default=[0.75, 1.3333333333333333], min_length=2, max_length=2
    )
    """Least and largest ratio of its width to its height; its logarithm is uniform."""

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        expected = "the smaller number first"
        ranges = {"area": self.area, "aspect": self.aspect}
        refuse(
            "ScaledCropConfig",
            [
                Broken((name,), value, expected)
                for name, value in ranges.items()
                if value[0] > value[1]
            ],
        )
        return self


class CropConfig(Config):
    """A random part of the image with black pixels around it, in the image's size."""

    padding: PositiveInt
    """Number of black pixels on each side."""


class RandAugmentConfig(Config):
    """Some random operations, one after the other.

    Source: Cubuk et al., RandAugment, 2020; ranges of torchvision's `RandAugment`.
    """

    operations: PositiveInt = 2
    """Number of operations of an image, drawn with replacement."""
    magnitude: Annotated[float, Field(ge=0.0, le=30.0)] = 9.0
    """Strength of the operations, of 30."""
    among: list[Operation] = Field(default=list(get_args(Operation)), min_length=1)
    """Operations that are drawn; by default all."""


class ColorConfig(Config):
    """Random factors, each uniform in [max(0, 1 - x), 1 + x], and a random hue."""

    brightness: NonNegative = 0.0
    """x of the pixels."""
    contrast: NonNegative = 0.0
    """x of the differences to the mean gray."""
    saturation: NonNegative = 0.0
    """x of the differences to the gray image."""
    hue: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0
    """x of a shift of the hue, uniform in [-x, x] turns of the color wheel."""


class AugmentConfig(Config):
    """Random changes of training images, in this order; evaluation has none.

    They are drawn from the seed, the epoch and the row, so that neither the batch size
    nor the number of processes nor a resume changes them.
    """

    scaled_crop: ScaledCropConfig | None = None
    """A random rectangle in place of the whole image; null: the image."""
    crop: CropConfig | None = None
    """A random part of the image; null: the image."""
    flip: Literal["horizontal", "vertical", "both"] | None = None
    """Mirror half of the images; `both` draws each direction by itself. null: none."""
    rand_augment: RandAugmentConfig | None = None
    """Random operations; null: none."""
    color: ColorConfig | None = None
    """Random brightness, contrast, saturation and hue; null: none."""

    @property
    def changes(self) -> bool:
        """True if anything is declared."""
        return any(getattr(self, name) is not None for name in type(self).model_fields)
