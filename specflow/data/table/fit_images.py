"""Fits columns of images to the training rows: size, channels and scaling."""

import collections
import fractions
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from specflow.columns import ImageColumn, image_header
from specflow.config.sections.image_column import ImageColumnConfig
from specflow.data.table.encoded_images import EncodedImages
from specflow.data.table.table_cells import TableCells
from specflow.diagnostics.errors import DataError, Diagnostic

__all__ = ["fit_image"]

Rows = npt.NDArray[np.int64]
_SHOWN = 5
"""Number of sizes that are listed."""
_BLOCK = 4_096
"""Images whose pixels are summed at once."""


def fit_image(
    declared: ImageColumnConfig,
    cells: TableCells,
    name: str,
    rows: Rows,
    diagnostics: list[Diagnostic],
    *,
    key: str,
) -> ImageColumn | None:
    """Fits a column of images.

    Args:
        declared: its section.
        cells: the table.
        name: the column of the files.
        rows: the training rows.
        diagnostics: receives what is wrong.
        key: dotted key of the section.

    Returns:
        None after an error.
    """
    try:
        column = _sized(declared, cells, name, rows, key)
        if declared.scale == "standardize":
            return _standardized(column, declared, cells, name, rows)
        return column
    except DataError as error:
        diagnostics += error.diagnostics
    # Images that cannot be read hide no others, whatever their split is.
    try:
        for images in _images(declared, cells, name, np.arange(len(cells))):
            for _ in images.mapped(image_header, "headers of images"):
                pass
    except DataError as error:
        is_of_image = {each.code for each in diagnostics} == {"image-file"}
        if is_of_image:
            diagnostics[:] = []
        diagnostics += error.diagnostics
    return None


def _sized(
    declared: ImageColumnConfig, cells: TableCells, name: str, rows: Rows, key: str
) -> ImageColumn:
    size, channels = declared.size, declared.channels
    if declared.mean is not None and channels is None and len(declared.mean) == 3:
        channels = 3
    if size is None or channels is None:
        headers = [
            header
            for images in _images(declared, cells, name, rows)
            for header in images.mapped(image_header, "sizes of images")
        ]
        if channels is None:
            channels = 1 if all(header.is_gray for header in headers) else 3
        if size is None:
            size = _only_size([(each.height, each.width) for each in headers], key)
    settings: dict[str, Any] = {}
    for field in ("mean", "std"):
        given = getattr(declared, field)
        if given is not None:
            if len(given) not in (1, channels):
                raise DataError(
                    Diagnostic(
                        f"{key}.{field}",
                        f"has {len(given)} numbers, and the images {channels} channels",
                        expected="a number for each channel",
                        code="table-column",
                    )
                )
            settings[field] = tuple(given) * (channels // len(given))
        else:
            settings[field] = (0.0 if field == "mean" else 1.0,) * channels
    return ImageColumn(
        size=(size[0], size[1]), channels=channels, resize=declared.resize, **settings
    )


def _only_size(sizes: list[tuple[int, int]], key: str) -> tuple[int, int]:
    """The size of all images.

    Raises:
        DataError: they have several.
    """
    counts = collections.Counter(sizes)
    if len(counts) == 1:
        return sizes[0]
    most = counts.most_common(_SHOWN)
    shown = ", ".join(f"{h} x {w} ({count:,})" for (h, w), count in most)
    more = ", ..." if len(counts) > _SHOWN else ""
    usual = round(math.sqrt(most[0][0][0] * most[0][0][1]))
    raise DataError(
        Diagnostic(
            f"{key}.size",
            f"is null, and {len(sizes):,} training images have {len(counts):,} sizes: "
            f"{shown}{more}",
            expected="height and width of all images, to which they are scaled",
            hint=f"For example {key}.size={min(224, usual)}.",
            code="table-column",
        )
    )


def _standardized(
    column: ImageColumn,
    declared: ImageColumnConfig,
    cells: TableCells,
    name: str,
    rows: Rows,
) -> ImageColumn:
    """The column with mean 0 and variance 1 of each channel; sums are exact."""
    sums = [0] * column.channels
    squares = [0] * column.channels
    count = 0
    for images in _images(declared, cells, name, rows):
        for first in range(0, len(images), _BLOCK):
            block = np.arange(first, min(first + _BLOCK, len(images)))
            pixels = images.pixels(column, block)
            count += pixels[..., 0].size
            for channel in range(column.channels):
                counts = np.bincount(pixels[..., channel].ravel(), minlength=256)
                for level, number in enumerate(counts.tolist()):
                    sums[channel] += level * number
                    squares[channel] += level * level * number
    means = [fractions.Fraction(total, 255 * count) for total in sums]
    variances = [
        fractions.Fraction(square, 255**2 * count) - mean**2
        for square, mean in zip(squares, means, strict=True)
    ]
    return ImageColumn(
        size=column.size,
        channels=column.channels,
        resize=column.resize,
        mean=tuple(float(mean) for mean in means),
        std=tuple(math.sqrt(variance) or 1.0 for variance in variances),
    )


def _images(
    declared: ImageColumnConfig, cells: TableCells, name: str, rows: Rows
) -> Iterator[EncodedImages]:
    """Yields the training images, part by part."""
    for _, part, inside in cells.parts([name], rows, doing=f"fitting {name}"):
        if len(inside):
            yield EncodedImages(part, name, inside, declared.root)
