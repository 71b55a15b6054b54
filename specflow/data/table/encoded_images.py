"""The images of some rows of a column: decoded once, or whenever they are read."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from specflow.columns import ImageColumn, ImageError, Region, encoded_image
from specflow.data.table.decode_threads import in_threads
from specflow.data.table.read_progress import ReadProgress
from specflow.data.table.read_retries import read_retried
from specflow.data.table.table_cells import SHOWN, TableCells
from specflow.diagnostics.errors import DataError, Diagnostic

__all__ = ["EncodedImages", "image_content"]

Rows = npt.NDArray[np.int64]
Pixels = npt.NDArray[np.uint8]


def image_content(value: Any, folder: Path) -> bytes:
    """The encoded image of a cell.

    Args:
        value: its bytes or its path.
        folder: of relative paths.

    Raises:
        DataError: its file cannot be read.
        ImageError: the cell is no image.
    """
    encoded = encoded_image(value)
    if encoded is None:
        raise ImageError("is no path" if value else "is missing")
    if isinstance(encoded, bytes):
        return encoded
    file = folder / encoded
    if not file.is_file():
        raise ImageError(f"names no file: there is no {file}")
    return read_retried(str(file), file.read_bytes)


class EncodedImages:
    """The images of some rows of a table.

    Args:
        cells: the table.
        name: the raw column, of paths or bytes.
        rows: numbers of the rows.
        root: folder of relative paths; None: that of the table.
    """

    def __init__(
        self, cells: TableCells, name: str, rows: Rows, root: str | None = None
    ):
        self._cells, self._name, self._rows = cells, name, rows
        self._values = cells.raw(name, rows)
        self._folders = cells.folders(rows, root)
        self._held: Pixels | None = None

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def is_held(self) -> bool:
        """All images are decoded already."""
        return self._held is not None

    def content(self, row: int) -> bytes:
        """The encoded image of a row, counted from 0.

        Raises:
            DataError: its file cannot be read.
            ImageError: the cell is no image.
        """
        return image_content(self._values[row], self._folders[row])

    def pixels(
        self,
        column: ImageColumn,
        rows: Rows,
        regions: Sequence[Region] | None = None,
    ) -> Pixels:
        """Decodes some rows, uint8 "n h w c".

        Args:
            column: decodes them.
            rows: counted from 0.
            regions: part of each image that is scaled to the size; None: all.

        Raises:
            DataError: images cannot be decoded; the first ones are named.
        """
        if self._held is not None and regions is None:
            return self._held[rows]
        pixels = np.empty((len(rows), *column.shape), np.uint8)
        problems: dict[int, str] = {}
        numbers = rows.tolist()
        parts = [None] * len(rows) if regions is None else regions
        decode = self._decoder(column)
        pairs = list(zip(numbers, parts, strict=True))
        for place, result in enumerate(in_threads(lambda pair: decode(*pair), pairs)):
            if isinstance(result, str):
                problems[numbers[place]] = result
            else:
                pixels[place] = result
        if problems:
            raise DataError(*self._diagnostics(problems))
        return pixels

    def hold(self, column: ImageColumn) -> None:
        """Decodes all rows, and keeps the pixels.

        Raises:
            DataError: see `pixels`.
        """
        pixels = np.empty((len(self), *column.shape), np.uint8)
        for row, image in self._each(self._decoder(column), "decoding images"):
            pixels[row] = image
        self._held = pixels

    def check(self, column: ImageColumn) -> None:
        """Decodes all rows.

        Raises:
            DataError: see `pixels`.
        """
        for _ in self._each(self._decoder(column), "checking images"):
            pass

    def mapped(self, function: Callable[[bytes], Any], doing: str) -> Iterator[Any]:
        """Yields the results of a function of each encoded image.

        Args:
            function: raises `ImageError` for a bad one.
            doing: for the progress.

        Raises:
            DataError: see `pixels`; after the last result.
        """

        def result(row: int) -> Any:
            try:
                return function(self.content(row))
            except ImageError as error:
                return str(error)

        for _, value in self._each(result, doing):
            yield value

    def _decoder(self, column: ImageColumn) -> Callable[..., Pixels | str]:
        def decode(row: int, region: Region | None = None) -> Pixels | str:
            try:
                return column.decode(self.content(row), region)
            except ImageError as error:
                return str(error)

        return decode

    def _each(
        self, function: Callable[[int], Any], doing: str
    ) -> Iterator[tuple[int, Any]]:
        """Yields rows and their results; texts are problems, which are raised last."""
        progress = ReadProgress(doing, len(self))
        problems: dict[int, str] = {}
        for row, result in enumerate(in_threads(function, range(len(self)))):
            progress.advance(1)
            if isinstance(result, str):
                problems[row] = result
            else:
                yield row, result
        if problems:
            raise DataError(*self._diagnostics(problems))

    def _diagnostics(self, problems: dict[int, str]) -> list[Diagnostic]:
        diagnostics = []
        for row, problem in list(problems.items())[:SHOWN]:
            number, value = int(self._rows[row]), self._values[row]
            place = self._cells.place(number)
            # The place of a row of a folder is the file itself.
            if not value or not place.endswith(str(value)):
                place += f", {self._name}"
                problem = f"{value!r} {problem}" if isinstance(value, str) else problem
            diagnostics.append(
                Diagnostic(
                    place,
                    problem,
                    expected=ImageColumn.expected,
                    hint=""
                    if diagnostics
                    else "Remove or replace the image, or leave its row out.",
                    code="image-file",
                )
            )
        if len(problems) > SHOWN:
            further = len(problems) - SHOWN
            noun = "image" if further == 1 else "images"
            diagnostics.append(
                Diagnostic(
                    f"column {self._name}",
                    f"{further:,} further {noun} like these",
                    code="image-file",
                )
            )
        return diagnostics
