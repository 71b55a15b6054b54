"""A column of images: encoded files as arrays of one size."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from specflow.columns.column_problem import ColumnProblem
from specflow.columns.image_decoding import (
    EncodedImage,
    ImageError,
    Region,
    Resize,
    decoded,
    encoded_image,
)
from specflow.columns.raw_values import MISSING

__all__ = ["ImageColumn"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageColumn:
    """Fitted preprocessing of images: size, channels, and scaling of the pixels.

    A pixel p of 8 bits is (p / 255 - mean) / std, with a mean and a standard deviation
    for each channel.

    >>> column = ImageColumn(size=(1, 2), mean=(0.5,), std=(0.5,))
    >>> column.apply(np.array([[[[0], [255]]]], np.uint8)).ravel()
    array([-1.,  1.], dtype=float32)
    """

    size: tuple[int, int]
    """Height and width."""
    channels: int = 1
    resize: Resize = "crop"
    mean: tuple[float, ...] = (0.0,)
    """Of each channel, in [0, 1]."""
    std: tuple[float, ...] = (1.0,)
    sources: tuple[str, ...] = ()
    """The raw column; empty: it has the name of this one."""
    embedding: ClassVar[None] = None
    package: ClassVar[str] = "pillow"
    """Package that decodes raw values."""
    expected: ClassVar[str] = "an image: the bytes of a PNG or JPEG file, or its path"

    @property
    def width(self) -> int:
        """0: an image is an array of its own, not a part of `x`."""
        return 0

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        return (*self.size, self.channels)

    @property
    def values_per_row(self) -> int:
        """Number of values of an image."""
        return int(np.prod(self.shape))

    def parse(
        self, values: Sequence[Sequence[Any]], missing: Collection[str] = MISSING
    ) -> tuple[npt.NDArray[np.uint8], list[ColumnProblem]]:
        """Pixels of encoded images, uint8 "n h w c", and the rows of bad ones.

        Args:
            values: of the raw column, alone in a sequence: the bytes of a file, its
                path, or `{"b64": ...}`.
            missing: unused: a missing image is an error.
        """
        pixels = np.zeros((len(values[0]), *self.shape), np.uint8)
        problems: list[ColumnProblem] = []
        for row, value in enumerate(values[0]):
            encoded = encoded_image(value)
            try:
                if encoded is None:
                    raise ImageError("is no image")
                pixels[row] = self.decode(encoded)
            except (ImageError, OSError) as error:
                expected = f"{self.expected} (it {_reason(error)})"
                problems.append(ColumnProblem("", (row,), expected))
        return pixels, problems

    def decode(
        self, encoded: EncodedImage, region: Region | None = None
    ) -> npt.NDArray[np.uint8]:
        """Pixels of one image, uint8 "h w c".

        Args:
            encoded: the content of its file, or its path.
            region: the part that is scaled to the size; None: all, by `resize`.

        Raises:
            ImageError: it cannot be decoded.
            OSError: the file cannot be read.
        """
        content = encoded if isinstance(encoded, bytes) else encoded.read_bytes()
        return decoded(content, self.size, self.channels, self.resize, region)

    def apply(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Features of pixels, float32 "n h w c".

        Args:
            pixels: uint8 "n h w c".
        """
        features = pixels.astype(np.float32)
        if any(self.mean):
            features -= np.array(self.mean, np.float32) * np.float32(255)
        features /= np.array(self.std, np.float32) * np.float32(255)
        return features

    def to_json(self) -> dict[str, Any]:
        """The column as plain values."""
        lists = {
            name: list(getattr(self, name))
            for name in ("size", "mean", "std", "sources")
        }
        return {
            "name": "image",
            "channels": self.channels,
            "resize": self.resize,
            **lists,
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """The column of the result of `to_json`."""
        height, width = plain["size"]
        return cls(
            size=(height, width),
            channels=plain["channels"],
            resize=plain["resize"],
            mean=tuple(plain["mean"]),
            std=tuple(plain["std"]),
            sources=tuple(plain["sources"]),
        )

    def __str__(self) -> str:
        height, width = self.size
        scaling = ""
        if set(self.mean) != {0.0} or set(self.std) != {1.0}:
            means, stds = (
                ", ".join(f"{number:.4g}" for number in numbers)
                for numbers in (self.mean, self.std)
            )
            scaling = f", mean {means}, std {stds}"
        return f"{height} x {width} x {self.channels}, {self.resize}{scaling}"


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror or error}"
    return str(error)
