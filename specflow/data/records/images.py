"""Decodes encoded pictures with Pillow, in threads: it releases the interpreter."""

import concurrent.futures
import functools
import io
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from specflow.diagnostics.errors import DataError, Diagnostic

__all__ = ["decoded_images", "is_image"]

_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"BM", b"RIFF")
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_THREADED = 4
"""Number of pictures from which threads decode them."""


def is_image(content: bytes) -> bool:
    """Returns whether bytes begin as a PNG, JPEG, GIF, BMP or WebP picture does.

    >>> is_image(b"GIF89a..."), is_image(b"a text")
    (True, False)
    """
    return content.startswith(_MAGIC)


def decoded_images(
    contents: Sequence[bytes],
    shape: tuple[int, ...] | None,
    note: Callable[[int, str], None],
) -> list[npt.NDArray[np.uint8] | None]:
    """Decodes pictures to arrays uint8 "h w c".

    Args:
        contents: encoded pictures.
        shape: [height, width, channels] to which they are converted, bilinearly; None:
            their own, with 1, 3 or 4 channels.
        note: takes the index and the problem of a picture that does not decode.

    Returns:
        None for a picture that does not decode.

    Raises:
        DataError: the package pillow is not installed.
    """
    _check_pillow()
    decode = functools.partial(_decoded, shape=shape)
    if len(contents) < _THREADED:
        results = list(map(decode, contents))
    else:
        results = list(_threads().map(decode, contents))
    images: list[npt.NDArray[np.uint8] | None] = []
    for index, result in enumerate(results):
        if isinstance(result, str):
            note(index, result)
        images.append(None if isinstance(result, str) else result)
    return images


@functools.cache
def _threads() -> concurrent.futures.ThreadPoolExecutor:
    count = min(16, os.cpu_count() or 1)
    return concurrent.futures.ThreadPoolExecutor(count, "specflow-images")


def _check_pillow() -> None:
    try:
        import PIL.Image  # noqa: F401
    except ModuleNotFoundError as error:
        raise DataError(
            Diagnostic(
                "decode: image",
                "needs the package pillow, which is not installed",
                hint="Run pip install pillow.",
                code="package-missing",
            )
        ) from error


def _decoded(content: bytes, *, shape: tuple[int, ...] | None) -> Any:
    """A picture as an array, or what is wrong with it."""
    import PIL.Image

    try:
        with PIL.Image.open(io.BytesIO(content)) as image:
            mode = _mode(image) if shape is None else _MODES[shape[2]]
            converted = image.convert(mode)
            if shape is not None and converted.size != (shape[1], shape[0]):
                size = (shape[1], shape[0])
                converted = converted.resize(size, PIL.Image.Resampling.BILINEAR)
            array = np.asarray(converted)
    except (OSError, ValueError, SyntaxError) as error:
        return str(error).replace("\n", " ").partition(" <_io")[0]
    return array[..., None] if array.ndim == 2 else array


def _mode(image: Any) -> str:
    """The closest of the modes L, RGB and RGBA."""
    bands = image.getbands()
    if "transparency" in image.info or "A" in bands:
        return "RGBA"
    return "L" if bands in (("L",), ("1",), ("I",), ("F",)) else "RGB"
