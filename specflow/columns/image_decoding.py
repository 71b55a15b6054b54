"""Decodes images with Pillow: any mode of pixels to 8 bits, upright, of one size."""

import base64
import binascii
import dataclasses
import io
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = [
    "FORMATS",
    "EncodedImage",
    "ImageError",
    "ImageHeader",
    "Region",
    "Resize",
    "decoded",
    "encoded_image",
    "image_header",
]

EncodedImage: TypeAlias = bytes | Path
"""The content of an image file, or its path."""
Resize: TypeAlias = Literal["crop", "pad", "stretch"]
Region: TypeAlias = Callable[[int, int], tuple[int, int, int, int]]
"""Height and width of an upright image -> top, left, height and width of a part."""
Pixels: TypeAlias = npt.NDArray[np.uint8]

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
"""Formats of Pillow that are read. Others are not: some of them run programs."""
_GRAY = {"1", "L", "LA", "I", "I;16", "I;16L", "I;16B", "I;16N", "F"}
"""Modes of Pillow without colors."""
_DRAFT = 2
"""A JPEG image is decoded at a fraction of its size that is this many times larger than
requested, which takes a fraction of the time."""


class ImageError(Exception):
    """An image that cannot be decoded; its text says why."""


@dataclasses.dataclass(frozen=True, slots=True)
class ImageHeader:
    """What an image file says before it is decoded."""

    height: int
    """Of the upright image."""
    width: int
    is_gray: bool


def encoded_image(value: Any) -> EncodedImage | None:
    """Returns a raw value as an encoded image; None for anything else.

    Args:
        value: the bytes of a file, its path, or `{"b64": ...}`, as JSON has bytes.

    >>> encoded_image({"b64": "aGk="}), encoded_image("cat.png"), encoded_image(3)
    (b'hi', PosixPath('cat.png'), None)
    """
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, str | os.PathLike):
        return Path(value) if value else None
    if isinstance(value, Mapping) and set(value) == {"b64"}:
        try:
            return base64.b64decode(value["b64"], validate=True)
        except (TypeError, ValueError, binascii.Error):
            return None
    return None


def image_header(content: bytes) -> ImageHeader:
    """Reads size and colors of an image without decoding it.

    Raises:
        ImageError: it is no image of these formats.
    """
    with _opened(content) as image:
        width, height = image.size
        if _orientation(image) >= 5:  # Turned by 90 degrees.
            width, height = height, width
        is_gray = image.mode in _GRAY
        if image.mode == "P" and image.palette is not None:
            colors = np.frombuffer(image.palette.getdata()[1], np.uint8)
            if image.palette.mode == "RGB" and colors.size % 3 == 0:
                is_gray = bool((np.ptp(colors.reshape(-1, 3), axis=1) == 0).all())
        return ImageHeader(height, width, is_gray)


def decoded(
    content: bytes,
    size: tuple[int, int],
    channels: int,
    resize: Resize,
    region: Region | None = None,
) -> Pixels:
    """Decodes an image to 8 bits, uint8 "h w c".

    It is turned upright by its EXIF orientation. Colors are converted to gray or gray
    to colors; transparent pixels are blended with white; 16 bits are divided by 257 and
    rounded; of an animation the first frame is taken. Pixels are interpolated
    bilinearly, with the area that each new one covers.

    Args:
        content: of the file.
        size: height and width.
        channels: 1 for gray, 3 for red, green and blue.
        resize: `crop`: scaled until it covers the size, and its center taken; `pad`:
            scaled until it fits, and centered on black; `stretch`: scaled to the size
            in each direction.
        region: the part that is scaled to the size, in each direction; None: all, by
            `resize`.

    Raises:
        ImageError: it cannot be decoded.
    """
    height, width = size
    with _opened(content) as image:
        turned = _orientation(image)
        # The size of a JPEG image is that before it is turned.
        whole = image.size[::-1] if turned < 5 else image.size
        part = None if region is None else region(*whole)
        needed = size if part is None else _whole_size(whole, part, size)
        wanted = needed if turned >= 5 else needed[::-1]
        try:
            image.draft(None, (_DRAFT * wanted[0], _DRAFT * wanted[1]))
            image.load()
            mode = "L" if channels == 1 else "RGB"
            upright = _upright(_in_mode(image, mode), turned)
            if part is None:
                picture = _resized(upright, size, resize)
            else:
                picture = _scaled_part(upright, whole, part, size)
        except ImageError:
            raise
        except MemoryError:
            raise
        # The readers of Pillow raise errors of many kinds for damaged files.
        except Exception as error:
            raise ImageError(f"cannot be decoded: {_first_line(error)}") from error
    return np.asarray(picture, np.uint8).reshape(height, width, channels)


def _whole_size(
    whole: tuple[int, int], part: tuple[int, int, int, int], size: tuple[int, int]
) -> tuple[int, int]:
    """Height and width of an image of which a part has some size."""
    height, width = (
        math.ceil(wanted * side / of_part)
        for wanted, side, of_part in zip(size, whole, part[2:], strict=True)
    )
    return height, width


def _scaled_part(
    image: Any,
    whole: tuple[int, int],
    part: tuple[int, int, int, int],
    size: tuple[int, int],
) -> Any:
    """A part, scaled; the image may be decoded at a fraction of its whole size."""
    from PIL import Image

    top, left, rows, columns = part
    down, right = image.height / whole[0], image.width / whole[1]
    edges = (left * right, top * down, (left + columns) * right, (top + rows) * down)
    near, far = map(math.floor, edges[:2]), map(math.ceil, edges[2:])
    # Without the pixels around it, which the filter would read.
    outer = (*near, *far)
    inner = tuple(edge - outer[place % 2] for place, edge in enumerate(edges))
    return image.crop(outer).resize(
        (size[1], size[0]), Image.Resampling.BILINEAR, box=inner
    )


def _opened(content: bytes) -> Any:
    from PIL import Image, UnidentifiedImageError

    try:
        return Image.open(io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError as error:
        problem = "is empty" if not content else "is no image, or is damaged"
        raise ImageError(problem) from error
    except Image.DecompressionBombError as error:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise ImageError(f"has more than {limit:,} pixels") from error
    except MemoryError:
        raise
    except Exception as error:
        raise ImageError(f"cannot be decoded: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).split("\n")[0]


def _orientation(image: Any) -> int:
    """EXIF orientation, 1 to 8: from 5 on it is turned by 90 degrees."""
    from PIL import ExifTags

    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # Damaged EXIF data says nothing of the pixels.
        return 1
    return value if value in range(1, 9) else 1


def _upright(image: Any, orientation: int) -> Any:
    from PIL import Image

    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    return image if orientation == 1 else image.transpose(turns[orientation])


def _in_mode(image: Any, mode: str) -> Any:
    """The image as `L` or `RGB`, of 8 bits."""
    from PIL import Image

    if image.mode == "F":
        raise ImageError("has pixels of 32-bit floats, whose range is unknown")
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min(initial=0) < 0 or values.max(initial=0) > 65_535:
            raise ImageError("has pixels of more than 16 bits")
        # As int: 65,535 / 257 is 255.
        image = Image.fromarray(((values + 128) // 257).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return image if image.mode == mode else image.convert(mode)


def _resized(image: Any, size: tuple[int, int], resize: Resize) -> Any:
    """The image of another size, "w h" in Pillow's order."""
    from PIL import Image, ImageOps

    target = (size[1], size[0])
    if image.size == target:
        return image
    bilinear = Image.Resampling.BILINEAR
    if resize == "crop":
        return ImageOps.fit(image, target, bilinear)
    if resize == "pad":
        return ImageOps.pad(image, target, bilinear, color=0)
    return image.resize(target, bilinear)
