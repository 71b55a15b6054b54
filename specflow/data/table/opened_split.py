"""The source of one split of a table: in memory, streamed, with or without images."""

import hashlib
import sys
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from specflow.columns import FittedColumns
from specflow.config.sections.augmentation import AugmentConfig
from specflow.config.sections.image_column import ImageColumnConfig
from specflow.config.sections.table import TableConfig
from specflow.data.source import Source
from specflow.data.table.fit_cache import CheckedImages, FitCache
from specflow.data.table.image_source import PixelSource, image_source
from specflow.data.table.row_store import RowStore
from specflow.data.table.split_labels import no_weights
from specflow.data.table.split_source import split_source
from specflow.data.table.streamed_cells import StreamedCells
from specflow.data.table.streamed_source import StreamedSource
from specflow.data.table.table_cells import TableCells
from specflow.data.table.table_files import TableFile
from specflow.diagnostics.errors import DataError, Diagnostic

__all__ = ["image_roots", "opened_split"]


def opened_split(
    config: TableConfig,
    fitted: FittedColumns,
    cells: TableCells,
    rows: npt.NDArray[np.int64],
    split: str,
    *,
    needs_labels: bool,
    trains: bool,
    files: Sequence[TableFile],
    cache: FitCache | None,
) -> Source:
    """Opens the rows of a split.

    Args:
        config: the table.
        fitted: makes the features.
        cells: of all splits.
        rows: numbers of the split's rows.
        split: its name.
        needs_labels: False: there are no labels.
        trains: rows are trained on.
        files: of the cells.
        cache: of a streamed table.

    Raises:
        DataError: cells are wrong, or images cannot be decoded.
    """
    roots = image_roots(config)
    if not isinstance(cells, StreamedCells):
        source = split_source(
            fitted, cells, rows, split, config.id, needs_labels, roots
        )
        if fitted.weights is not None and needs_labels:
            _check_weights(source, fitted.weights, split)
        if not isinstance(source, PixelSource):
            return source
        content = [fitted.digest, split, hashlib.sha256(rows.tobytes()).hexdigest()]
        digest = " ".join([*content, *sorted(file.digest for file in files)])
        _decode(
            source, config, split, digest, reads_again=trains and bool(_crops(config))
        )
        return image_source(source, fitted.images, digest, _augment(config), roots)
    assert cache is not None
    if trains and (cropped := _crops(config)):
        raise DataError(*(_streamed_crop(name, config) for name in cropped))
    streamed = StreamedSource(
        cells,
        rows,
        fitted=fitted,
        name=split,
        ids=config.id,
        needs_labels=needs_labels,
        memory=config.memory_bytes,
        digest=f"{cache.key} {split}",
        roots=roots,
    )
    stores = trains and config.shuffle == "rows"
    stored = RowStore(streamed, streamed.digest) if stores else streamed
    if not fitted.images:
        return stored
    return image_source(stored, fitted.images, streamed.digest, _augment(config), roots)


def image_roots(config: TableConfig) -> dict[str, str | None]:
    """Column of images -> folder of its relative paths, as declared."""
    return {
        name: declared.root
        for name, declared in config.columns.items()
        if isinstance(declared, ImageColumnConfig)
    }


def _check_weights(source: Source, name: str, split: str) -> None:
    """Checks that a row has a weight.

    Raises:
        DataError: all weights are 0.
    """
    if not source.column(f"labels.{name}").any():
        raise DataError(no_weights(name, split, len(source)))


def _augment(config: TableConfig) -> dict[str, AugmentConfig]:
    """Column of images -> its changes in training, as declared."""
    return {
        name: declared.augment
        for name, declared in config.columns.items()
        if isinstance(declared, ImageColumnConfig)
    }


def _crops(config: TableConfig) -> list[str]:
    """Columns of images of which training reads a random part."""
    return [
        name
        for name, augment in _augment(config).items()
        if augment.scaled_crop is not None
    ]


def _streamed_crop(name: str, config: TableConfig) -> Diagnostic:
    return Diagnostic(
        f"data.columns.{name}.augment.scaled_crop",
        "reads images in the order of training, and the table is read by blocks",
        expected=f"a table that fits data.memory={config.memory}",
        hint="Raise data.memory; images in files of their own take none of it.",
        code="table-memory",
    )


def _decode(
    source: PixelSource,
    config: TableConfig,
    split: str,
    digest: str,
    *,
    reads_again: bool,
) -> None:
    """Decodes all images once: they are kept, or checked."""
    checked = CheckedImages(digest)
    # Pixels of whole images are of no use to training on parts of them.
    memory = -1 if reads_again else config.memory_bytes
    if source.decode(memory, is_checked=checked.are_checked):
        return
    if not checked.are_checked:
        checked.keep()
    print(
        f"data: {len(source):,} images of the {split} split are decoded as they are "
        "needed: "
        + (
            "a scaled crop has other pixels in every epoch"
            if reads_again
            else f"data.memory={config.memory}"
        ),
        file=sys.stderr,
    )
