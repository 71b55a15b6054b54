"""A column of pictures of a table: digests, sizes and examples, from encoded files."""

import collections
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from specflow.columns import image_header
from specflow.data.table.encoded_images import EncodedImages
from specflow.data.table.table_cells import TableCells

__all__ = ["GatheredPictures"]

_MOST_BYTES = 64 << 20
"""Encoded pictures that are kept as examples, where the cells have their bytes."""


class GatheredPictures:
    """Pictures of a column, read part by part; none is decoded.

    Args:
        name: the column of the files.
        root: folder of relative paths; None: that of the table.
    """

    def __init__(self, name: str, root: str | None):
        self.name, self._root = name, root
        self.digests: list[str] = []
        """Of each picture: equal ones are equal, whatever their paths are."""
        self.sizes: collections.Counter[str] = collections.Counter()
        """`height x width` and whether it has colors -> number of pictures."""
        self.examples: dict[str, Any] = {}
        """Digest -> a cell that has the picture."""
        self._kept = 0

    def add(self, cells: TableCells, rows: npt.NDArray[np.int64]) -> None:
        """Reads the pictures of some rows of a part of the table.

        Raises:
            DataError: some are no images; they are named.
        """
        images = EncodedImages(cells, self.name, rows, self._root)
        found = images.mapped(_facts, "reading pictures")
        values = cells.raw(self.name, rows)
        for value, (digest, size) in zip(values, found, strict=True):
            self.digests.append(digest)
            self.sizes[size] += 1
            if digest in self.examples:
                continue
            if isinstance(value, bytes):
                self._kept += len(value)
            if self._kept <= _MOST_BYTES or not self.examples:
                self.examples[digest] = value


def _facts(content: bytes) -> tuple[str, str]:
    """Digest of an encoded picture, and its size and colors."""
    header = image_header(content)
    colors = "gray" if header.is_gray else "color"
    size = f"{header.height} x {header.width} {colors}"
    return xxhash.xxh3_64_hexdigest(content), size
