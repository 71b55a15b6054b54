"""Rows of a table with columns of images: decoded, augmented and scaled."""

import copy
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from specflow.columns import ImageColumn, Region
from specflow.config.sections.augmentation import AugmentConfig
from specflow.data.array_tree import named_leaves
from specflow.data.row_draws import RowDraws
from specflow.data.row_order import OrderedSource, RowOrder
from specflow.data.source import Rows, RowSpec, Source
from specflow.data.table.augmentation import augmented
from specflow.data.table.decode_threads import in_threads
from specflow.data.table.encoded_images import EncodedImages
from specflow.data.table.scaled_crop import scaled_crops
from specflow.data.table.table_cells import TableCells
from specflow.diagnostics.errors import DataError
from specflow.runtime.typing import Tree

__all__ = ["ImageSource", "OrderedImageSource", "PixelSource", "image_source"]

_BLOCK = 1_024
"""Rows that are read at once, for all rows of an array."""
_WHOLE: Mapping[str, Sequence[Region]] = {}


class PixelSource:
    """Rows whose images are decoded when they are read.

    Args:
        rows: a source in which the number of the row is in place of each image.
        columns: columns of images by name.
        images: their encoded images.
    """

    def __init__(
        self,
        rows: Source,
        columns: Mapping[str, ImageColumn],
        images: Mapping[str, EncodedImages],
    ):
        self._source, self._columns, self._images = rows, columns, images
        self.origin = getattr(rows, "origin", "")
        self.ids: Mapping[str, npt.NDArray[Any]] = getattr(rows, "ids", {})

    def __len__(self) -> int:
        return len(self._source)

    def take(
        self, rows: Rows, regions: Mapping[str, Sequence[Region]] = _WHOLE
    ) -> tuple[Tree, Tree]:
        """Returns features, images as uint8 "n h w c", and labels of some rows.

        Args:
            rows: their numbers.
            regions: column -> part of each image that is scaled to its size; the
                others are scaled whole.

        Raises:
            DataError: an image cannot be decoded.
        """
        features, labels = self._source.take(rows)
        pixels = {
            name: self._images[name].pixels(column, features[name], regions.get(name))
            for name, column in self._columns.items()
        }
        return {**features, **pixels}, labels

    def spec(self) -> tuple[Tree, Tree]:
        """A `RowSpec` in place of each array of features and labels."""
        features, labels = self._source.spec()
        pixels = {
            name: RowSpec(column.shape, np.dtype(np.uint8))
            for name, column in self._columns.items()
        }
        return {**features, **pixels}, labels

    def column(self, path: str) -> npt.NDArray[Any]:
        """All rows of the array at a key path."""
        name = path.removeprefix("features.")
        if name in self._columns and name != path:
            every = np.arange(len(self))
            return self._images[name].pixels(self._columns[name], every)
        return self._source.column(path)

    def decode(self, memory: int, *, is_checked: bool = False) -> bool:
        """Decodes all images: keeps them if they fit, else checks them.

        Args:
            memory: bytes of all images that may be kept.
            is_checked: they were decoded before.

        Returns:
            True if they are kept.

        Raises:
            DataError: images cannot be decoded; those of all columns are reported.
        """
        size = len(self) * sum(each.values_per_row for each in self._columns.values())
        keeps = size <= memory
        diagnostics = []
        for name, column in self._columns.items():
            images = self._images[name]
            try:
                if keeps:
                    images.hold(column)
                elif not is_checked:
                    images.check(column)
            except DataError as error:
                diagnostics += error.diagnostics
        if diagnostics:
            raise DataError(*diagnostics)
        return keeps

    @property
    def is_held(self) -> bool:
        """All images are decoded and in memory."""
        return all(images.is_held for images in self._images.values())

    def place(self, row: int) -> str:
        """The file and line of a row, or its image."""
        return self._source.place(row)  # type: ignore[attr-defined]

    def cell_parts(self) -> Iterator[tuple[TableCells, npt.NDArray[np.int64]]]:
        """Yields parts of the table, and the rows of the split in each of them."""
        return self._source.cell_parts()  # type: ignore[attr-defined]

    def raw(self, rows: slice) -> dict[str, list[Any]]:
        """Raw values of some rows by column, as the files have them."""
        return self._source.raw(rows)  # type: ignore[attr-defined]

    def served_raw(self, rows: slice) -> dict[str, list[Any]]:
        """Raw values of some rows as a client sends them: the bytes of images."""
        raw = dict(self.raw(rows))
        numbers = range(*rows.indices(len(self)))
        for name, column in self._columns.items():
            source = (column.sources or (name,))[0]
            raw[source] = list(in_threads(self._images[name].content, numbers))
        return raw


class ImageSource:
    """Rows with images as the model gets them.

    Args:
        rows: has the pixels of images, uint8 "n h w c".
        columns: columns of images by name.
        digest: of the content, which other processes compare.
        augment: column of images -> its changes in training.
        roots: column of images -> folder of its relative paths; None: the table's.
    """

    def __init__(
        self,
        rows: Any,
        columns: Mapping[str, ImageColumn],
        digest: str,
        augment: Mapping[str, AugmentConfig],
        roots: Mapping[str, str | None],
    ):
        self._source, self._columns = rows, columns
        self._augment, self.roots = augment, roots
        self.digest = digest
        self.origin: str = rows.origin

    def __len__(self) -> int:
        return len(self._source)

    @property
    def is_held(self) -> bool:
        """All images are decoded and in memory."""
        return isinstance(self._source, PixelSource) and self._source.is_held

    def with_augment(self, augment: Mapping[str, AugmentConfig]) -> "ImageSource":
        """The same rows with other changes in training."""
        other = copy.copy(self)
        other._augment = augment
        return other

    @property
    def augments(self) -> bool:
        """Changes of training rows are declared."""
        return any(settings.changes for settings in self._augment.values())

    def take(self, rows: Rows) -> tuple[Tree, Tree]:
        """Returns features and labels of some rows.

        Raises:
            DataError: an image cannot be decoded.
        """
        features, labels = self._source.take(rows)
        return self._scaled(features), labels

    def take_augmented(
        self, rows: npt.NDArray[np.int64], draws: RowDraws
    ) -> tuple[Tree, Tree]:
        """Returns features and labels of some rows, as they are trained on.

        Raises:
            DataError: an image cannot be decoded.
        """
        crops = {
            name: scaled_crops(settings.scaled_crop, draws, name)
            for name, settings in self._augment.items()
            if settings.scaled_crop is not None
        }
        features, labels = (
            self._source.take(rows, crops) if crops else self._source.take(rows)
        )
        changed = {
            name: augmented(features[name], settings, draws, name)
            for name, settings in self._augment.items()
            if settings.changes
        }
        return self._scaled({**features, **changed}), labels

    def spec(self) -> tuple[Tree, Tree]:
        """A `RowSpec` in place of each array of features and labels."""
        features, labels = self._source.spec()
        images = {
            name: RowSpec(column.shape, np.dtype(np.float32))
            for name, column in self._columns.items()
        }
        return {**features, **images}, labels

    def column(self, path: str) -> npt.NDArray[Any]:
        """All rows of the array at a key path."""
        return np.concatenate(list(self.column_blocks(path)))

    def column_blocks(self, path: str) -> Iterator[npt.NDArray[Any]]:
        """Yields all rows of the array at a key path, block by block."""
        if path.removeprefix("features.") in self._columns:
            for first in range(0, len(self), _BLOCK):
                taken = self.take(slice(first, min(first + _BLOCK, len(self))))
                yield dict(named_leaves(*taken))[path]
        elif hasattr(self._source, "column_blocks"):
            yield from self._source.column_blocks(path)
        else:
            yield self._source.column(path)

    @property
    def ids(self) -> Mapping[str, npt.NDArray[Any]]:
        """Name -> identifier of each row, text or integers."""
        return self._source.ids

    def place(self, row: int) -> str:
        """The file and line of a row, or its image."""
        return self._source.place(row)

    def cell_parts(self) -> Iterator[tuple[TableCells, npt.NDArray[np.int64]]]:
        """Yields parts of the table, and the rows of the split in each of them."""
        return self._source.cell_parts()

    def raw(self, rows: slice) -> dict[str, list[Any]]:
        """Raw values of some rows by column, as the files have them."""
        return self._source.raw(rows)

    def served_raw(self, rows: slice) -> dict[str, list[Any]]:
        """Raw values of some rows as a client sends them: the bytes of images."""
        return self._source.served_raw(rows)

    def _scaled(self, features: Tree) -> Tree:
        images = {
            name: column.apply(features[name]) for name, column in self._columns.items()
        }
        return {**features, **images}


class OrderedImageSource(ImageSource):
    """Rows that are read fast in an order of their own."""

    def row_order(self, seed: int, *, shuffle: bool) -> RowOrder:
        """The order of training."""
        return self._source.row_order(seed, shuffle=shuffle)


def image_source(
    rows: Any,
    columns: Mapping[str, ImageColumn],
    digest: str,
    augment: Mapping[str, AugmentConfig],
    roots: Mapping[str, str | None],
) -> ImageSource:
    """Rows with images as the model gets them, in the order of the rows.

    Args:
        rows: has the pixels of images.
        columns: columns of images by name.
        digest: of the table, the columns and the split.
        augment: column of images -> its changes in training.
        roots: column of images -> folder of its relative paths; None: the table's.
    """
    kind = OrderedImageSource if isinstance(rows, OrderedSource) else ImageSource
    hashed = hashlib.sha256(digest.encode()).hexdigest()
    return kind(rows, columns, hashed, augment, roots)
