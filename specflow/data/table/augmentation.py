"""Random changes of training images: crop, flip, operations, and color."""

import numpy as np
import numpy.typing as npt

from specflow.config.sections.augmentation import AugmentConfig
from specflow.data.row_draws import RowDraws
from specflow.data.table.rand_augment import rand_augmented

__all__ = ["augmented"]

Pixels = npt.NDArray[np.uint8]
_LUMA = np.array([0.299, 0.587, 0.114])
"""Weights of ITU-R 601."""


def augmented(
    pixels: Pixels, config: AugmentConfig, draws: RowDraws, name: str
) -> Pixels:
    """Changes images at random, uint8 "n h w c".

    A scaled crop is not among it: it is read from the file.

    Args:
        pixels: of the rows of the draws.
        config: which changes.
        draws: random numbers of the rows.
        name: of the column, whose draws are its own.
    """
    changed = np.array(pixels)
    if config.crop is not None and config.crop.padding:
        _shift(pixels, changed, config.crop.padding, draws, name)
    if config.flip in ("horizontal", "both"):
        chosen = draws.uniform(f"{name} horizontal") < 0.5
        changed[chosen] = changed[chosen, :, ::-1]
    if config.flip in ("vertical", "both"):
        chosen = draws.uniform(f"{name} vertical") < 0.5
        changed[chosen] = changed[chosen, ::-1]
    if config.rand_augment is not None:
        changed = rand_augmented(changed, config.rand_augment, draws, name)
    return changed if config.color is None else _colored(changed, config, draws, name)


def _shift(
    pixels: Pixels, changed: Pixels, padding: int, draws: RowDraws, name: str
) -> None:
    """Takes a random part of each image with black pixels on each side."""
    _, height, width, _ = pixels.shape
    places = 2 * padding + 1
    tops, lefts = (
        np.floor(draws.uniform(f"{name} {side}") * places).astype(int).tolist()
        for side in ("top", "left")
    )
    around = ((padding, padding), (padding, padding), (0, 0))
    for row, (top, left) in enumerate(zip(tops, lefts, strict=True)):
        padded = np.pad(pixels[row], around)
        changed[row] = padded[top : top + height, left : left + width]


def _colored(
    pixels: Pixels, config: AugmentConfig, draws: RowDraws, name: str
) -> Pixels:
    """Changes brightness, contrast, saturation and hue; each is rounded to 8 bits."""
    assert config.color is not None
    changed = pixels.astype(np.float64)
    for kind in ("brightness", "contrast", "saturation"):
        strength: float = getattr(config.color, kind)
        if not strength:
            continue
        low = max(0.0, 1.0 - strength)
        drawn = draws.uniform(f"{name} {kind}")
        factors = (low + (1.0 + strength - low) * drawn).reshape(-1, 1, 1, 1)
        gray = changed if changed.shape[3] == 1 else (changed @ _LUMA)[..., None]
        origin = {
            "brightness": np.zeros(1),
            "contrast": gray.mean(axis=(1, 2, 3), keepdims=True),
            "saturation": gray,
        }[kind]
        changed = np.clip(np.rint(origin + factors * (changed - origin)), 0, 255)
    if config.color.hue and changed.shape[3] == 3:
        turns = config.color.hue * (2.0 * draws.uniform(f"{name} hue") - 1.0)
        changed = np.rint(_with_hue(changed, turns.reshape(-1, 1, 1)))
    return changed.astype(np.uint8)


def _with_hue(
    colors: npt.NDArray[np.float64], turns: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Shifts the hue of colors "n h w 3"; value and saturation stay.

    Source: Smith, Color Gamut Transform Pairs, 1978.
    """
    red, green, blue = np.moveaxis(colors, 3, 0)
    value, least = colors.max(axis=3), colors.min(axis=3)
    chroma = value - least
    divisor = np.where(chroma > 0, chroma, 1.0)
    sixths = np.where(
        value == red,
        (green - blue) / divisor,
        np.where(
            value == green, 2 + (blue - red) / divisor, 4 + (red - green) / divisor
        ),
    )
    sixths = sixths + 6.0 * turns
    places = (np.array([5.0, 3.0, 1.0]) + sixths[..., None]) % 6.0
    shares = np.clip(np.minimum(places, 4.0 - places), 0.0, 1.0)
    return value[..., None] - chroma[..., None] * shares
