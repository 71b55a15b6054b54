"""Random rectangles of images: their area, their aspect and their place."""

import dataclasses

import numpy as np
import numpy.typing as npt

from specflow.config.sections.augmentation import ScaledCropConfig
from specflow.data.row_draws import RowDraws

__all__ = ["ScaledCrop", "scaled_crops"]

_TRIES = 10
"""Draws of area and aspect; the last resort is the largest centered rectangle."""


@dataclasses.dataclass(frozen=True, slots=True)
class ScaledCrop:
    """The random rectangle of one image, once the size of the image is known.

    >>> config = ScaledCropConfig(area=[0.25, 0.25], aspect=[1, 1])
    >>> ScaledCrop(config, (0.5,) * 22)(100, 100)
    (25, 25, 50, 50)
    """

    config: ScaledCropConfig
    draws: tuple[float, ...]
    """In [0, 1): those of the area, of the aspect, and of the top and left edges."""

    def __call__(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Top, left, height and width of the rectangle, in pixels.

        Source: torchvision, `RandomResizedCrop.get_params`.

        Args:
            height: of the upright image.
            width: likewise.
        """
        least, largest = self.config.area
        narrow, wide = self.config.aspect
        down, right = self.draws[-2:]
        for part in range(_TRIES):
            area = least + (largest - least) * self.draws[part]
            share = self.draws[_TRIES + part]
            aspect = narrow * (wide / narrow) ** share
            pixels = area * height * width
            rows = round((pixels / aspect) ** 0.5)
            columns = round((pixels * aspect) ** 0.5)
            if 0 < rows <= height and 0 < columns <= width:
                top = int(down * (height - rows + 1))
                return top, int(right * (width - columns + 1)), rows, columns
        rows, columns = height, width
        if width < narrow * height:
            rows = max(1, min(height, round(width / narrow)))
        elif width > wide * height:
            columns = max(1, min(width, round(height * wide)))
        return (height - rows) // 2, (width - columns) // 2, rows, columns


def scaled_crops(
    config: ScaledCropConfig, draws: RowDraws, name: str
) -> list[ScaledCrop]:
    """The random rectangles of some rows.

    Args:
        config: ranges of area and aspect.
        draws: random numbers of the rows.
        name: of the column, whose draws are its own.
    """
    kinds = [f"{kind} {part}" for kind in ("area", "aspect") for part in range(_TRIES)]
    streams = [f"{name} {kind}" for kind in (*kinds, "crop top", "crop left")]
    numbers: npt.NDArray[np.float64] = np.stack(
        [draws.uniform(stream) for stream in streams], axis=1
    )
    return [ScaledCrop(config, tuple(row)) for row in numbers.tolist()]
