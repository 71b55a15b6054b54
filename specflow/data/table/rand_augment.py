"""Random operations of images, by Pillow."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from specflow.config.sections.augmentation import Operation, RandAugmentConfig
from specflow.data.row_draws import RowDraws
from specflow.data.table.decode_threads import in_threads

__all__ = ["changed_by", "rand_augmented"]

Pixels = npt.NDArray[np.uint8]

_LARGEST = 30.0
"""Largest magnitude."""
_SHEAR = 0.3
_TRANSLATE = 150.0 / 331.0
"""Of the width or height."""
_DEGREES = 30.0
_ENHANCE = 0.9
_POSTERIZE = 4.0
"""Bits that are dropped."""


def rand_augmented(
    pixels: Pixels, config: RandAugmentConfig, draws: RowDraws, name: str
) -> Pixels:
    """Changes images by random operations, uint8 "n h w c".

    Args:
        pixels: of the rows of the draws.
        config: number, strength and names of the operations.
        draws: random numbers of the rows.
        name: of the column, whose draws are its own.
    """
    places = [
        np.floor(draws.uniform(f"{name} operation {part}") * len(config.among))
        for part in range(config.operations)
    ]
    signs = [
        np.where(draws.uniform(f"{name} sign {part}") < 0.5, -1.0, 1.0)
        for part in range(config.operations)
    ]

    def image(row: int) -> Pixels:
        changed = pixels[row]
        for place, sign in zip(places, signs, strict=True):
            operation = config.among[int(place[row])]
            strength = config.magnitude / _LARGEST * sign[row]
            changed = changed_by(operation, changed, float(strength))
        return changed

    return np.stack(list(in_threads(image, range(len(pixels)))))


def changed_by(operation: Operation, pixels: Pixels, strength: float) -> Pixels:
    """Applies one operation to an image, uint8 "h w c".

    Args:
        operation: its name.
        pixels: of the image, gray or of three colors.
        strength: in [-1, 1]; the sign matters to those with a direction alone. At 0
            all but `auto_contrast` and `equalize` change nothing.

    Source: torchvision, `RandAugment`, at its default settings; `solarize` inverts from
    256 * (1 - strength) on, so that no strength is no change.

    >>> changed_by("translate_x", np.full((1, 4, 1), 9, np.uint8), 0.6).ravel().tolist()
    [0, 9, 9, 9]
    """
    from PIL import Image

    height, width, channels = pixels.shape
    image = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
    changed = _OPERATIONS[operation](image, strength)
    return np.asarray(changed, np.uint8).reshape(height, width, channels)


def _mapped(image: Any, *matrix: float) -> Any:
    """Each pixel from the nearest of (a x + b y + c, d x + e y + f), or black."""
    from PIL import Image

    return image.transform(
        image.size, Image.Transform.AFFINE, matrix, Image.Resampling.NEAREST
    )


def _shear_x(image: Any, strength: float) -> Any:
    return _mapped(image, 1, -_SHEAR * strength, 0, 0, 1, 0)


def _shear_y(image: Any, strength: float) -> Any:
    return _mapped(image, 1, 0, 0, -_SHEAR * strength, 1, 0)


def _translate_x(image: Any, strength: float) -> Any:
    pixels = int(_TRANSLATE * image.width * strength)
    return _mapped(image, 1, 0, -pixels, 0, 1, 0)


def _translate_y(image: Any, strength: float) -> Any:
    pixels = int(_TRANSLATE * image.height * strength)
    return _mapped(image, 1, 0, 0, 0, 1, -pixels)


def _rotate(image: Any, strength: float) -> Any:
    return image.rotate(_DEGREES * strength)  # Counter-clockwise, nearest pixels.


def _enhanced(kind: str) -> Callable[[Any, float], Any]:
    def enhance(image: Any, strength: float) -> Any:
        from PIL import ImageEnhance

        return getattr(ImageEnhance, kind)(image).enhance(1.0 + _ENHANCE * strength)

    return enhance


def _posterize(image: Any, strength: float) -> Any:
    from PIL import ImageOps

    return ImageOps.posterize(image, 8 - round(_POSTERIZE * abs(strength)))


def _solarize(image: Any, strength: float) -> Any:
    from PIL import ImageOps

    return ImageOps.solarize(image, round(256 * (1 - abs(strength))))


def _auto_contrast(image: Any, strength: float) -> Any:
    from PIL import ImageOps

    return ImageOps.autocontrast(image)


def _equalize(image: Any, strength: float) -> Any:
    from PIL import ImageOps

    return ImageOps.equalize(image)


_OPERATIONS: dict[Operation, Callable[[Any, float], Any]] = {
    "identity": lambda image, strength: image,
    "shear_x": _shear_x,
    "shear_y": _shear_y,
    "translate_x": _translate_x,
    "translate_y": _translate_y,
    "rotate": _rotate,
    "brightness": _enhanced("Brightness"),
    "color": _enhanced("Color"),
    "contrast": _enhanced("Contrast"),
    "sharpness": _enhanced("Sharpness"),
    "posterize": _posterize,
    "solarize": _solarize,
    "auto_contrast": _auto_contrast,
    "equalize": _equalize,
}
