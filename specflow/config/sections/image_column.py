"""Columns of images: `image` of `data.columns`, and what `data=images` shares."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PositiveFloat, PositiveInt, model_validator
from pydantic_core import PydanticKnownError

from specflow.config.base import Config, Says, UserPath
from specflow.config.broken_rules import Broken, refuse
from specflow.config.kinds import named
from specflow.config.sections.augmentation import AugmentConfig

__all__ = ["MEMBERS", "ImageColumnConfig", "ImageFieldsConfig"]


def _both_sides(value: object) -> object:
    return [value, value] if type(value) is int else value


Size = Annotated[
    Annotated[list[PositiveInt], Field(min_length=2, max_length=2)],
    BeforeValidator(_both_sides),
    Says(
        "height and width, or one number for both",
        "",
        minimum=1,
        alternatives=(
            {
                "type": "array",
                "items": {"type": "integer", "minimum": 1},
                "minItems": 2,
                "maxItems": 2,
            },
        ),
    ),
]


def _no_boolean(value: object) -> object:
    if isinstance(value, bool):  # True equals 1.
        raise PydanticKnownError("literal_error", {"expected": "1 or 3"})
    return value


Channels = Annotated[Literal[1, 3], BeforeValidator(_no_boolean)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class ImageFieldsConfig(Config):
    """What becomes of an image."""

    size: Size | None = None
    """Height and width to which images are scaled, or one number for both; null: that
    of the training images, if all are of one size."""
    channels: Channels | None = None
    """1: gray; 3: red, green and blue; null: 1 if all training images are gray."""
    resize: Literal["crop", "pad", "stretch"] = "crop"
    """Scaling of images of another shape: `crop` covers the size, and the center is
    taken; `pad` fits into it, on black; `stretch` scales each direction by itself."""
    scale: Literal["unit", "standardize"] = "unit"
    """Pixels in [0, 1], or with mean 0 and variance 1 of each channel in the training
    split."""
    mean: list[Fraction] | None = Field(default=None, min_length=1, max_length=3)
    """Mean of each channel of pixels in [0, 1], which is subtracted; null: by
    `scale`."""
    std: list[PositiveFloat] | None = Field(default=None, min_length=1, max_length=3)
    """Standard deviation of each channel, by which it is divided; null: by `scale`."""

    augment: AugmentConfig = Field(default_factory=AugmentConfig)
    """Random changes of the training images, new in every epoch."""

    @model_validator(mode="after")
    def _scales_once(self) -> Self:
        broken: list[Broken] = []
        for field, other in (("mean", "std"), ("std", "mean")):
            value: Any = getattr(self, field)
            if value is None:
                continue
            if self.scale != "unit":
                expected = f"null: .scale={self.scale} computes it"
                broken.append(Broken((field,), value, expected, ".scale"))
            elif getattr(self, other) is None:
                expected = f"numbers, as .{field} is given"
                broken.append(Broken((other,), None, expected, f".{field}"))
            if self.channels is not None and len(value) != self.channels:
                expected = f"{self.channels} numbers, as .channels says"
                broken.append(Broken((field,), value, expected, ".channels"))
        refuse(type(self).__name__, broken)
        return self


class ImageColumnConfig(ImageFieldsConfig):
    """Images: paths or bytes of files, decoded and scaled to one size."""

    name: Literal["image"] = "image"
    root: UserPath | None = None
    """Folder of relative paths; null: that of the table."""
    column: str | None = None
    """Column of the files; null: that of the key."""


MEMBERS = named(ImageColumnConfig)
"""Name -> class."""
