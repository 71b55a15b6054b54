"""The columns of a split: raw cells of a table, else arrays of features and labels."""

import collections
import dataclasses
import functools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from specflow.columns import (
    CodedTexts,
    FittedColumns,
    as_numbers,
    as_text,
    as_texts,
)
from specflow.data import CellParts, Data, ImageSource, JoinedSource, Source
from specflow.data.array_tree import named_leaves
from specflow.data.joined_source import PART
from specflow.data.table.rows_among import rows_among
from specflow.data.table.table_cells import TableCells
from specflow.exploration.picture_column import GatheredPictures
from specflow.runtime.typing import is_floating

__all__ = ["SplitColumn", "SplitColumns", "class_names", "split_columns"]

Role = Literal["label", "feature", "id"]
_BLOCK = 65_536
"""Rows that are read at once."""
_PICTURE = 400
"""Values that a picture counts as: it is read, and not decoded."""
_MOST_VALUES = 20_000_000
"""Values of a split up to which all rows are read."""
_MOST_NAMED = 32
"""Width up to which each feature of an array is a column."""
_MOST_CLASSES = 1_000
"""Number of different integers up to which labels are classes."""


@dataclasses.dataclass(frozen=True, eq=False)
class SplitColumn:
    """One column of a split: numbers, or texts of categories and ids."""

    name: str
    role: Role
    kind: str
    """`number`, `category`, another kind of `data.columns`, or `array`: several numbers
    a row."""
    numbers: npt.NDArray[np.float64] | None = None
    """float64 "n", NaN where missing; "n m" for arrays; None: texts."""
    texts: CodedTexts = dataclasses.field(default_factory=lambda: CodedTexts.of(()))
    """Empty where missing; items of lists are separated by |. Each of the different
    texts occurs, in the order of their first rows."""
    has_lists: bool = False
    """The cells are lists."""
    sizes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Of a column of pictures, whose texts are digests: size -> number of rows."""
    examples: Sequence[Any] = ()
    """Cells of different pictures: paths or bytes."""

    def __len__(self) -> int:
        return len(self.texts) if self.numbers is None else len(self.numbers)

    @functools.cached_property
    def counts(self) -> collections.Counter[str]:
        """Text -> number of rows, without missing ones."""
        counts = self.texts.counts()
        counts.pop("", None)
        return counts

    @functools.cached_property
    def codes(self) -> npt.NDArray[np.int64]:
        """A number for each row, equal for equal values, int64 "n"."""
        if self.numbers is None:
            return self.texts.codes.astype(np.int64)
        values = self.numbers.reshape(len(self), -1)
        axis = None if values.shape[1] == 1 else 0
        return np.unique(values, axis=axis, return_inverse=True)[1].reshape(-1)


@dataclasses.dataclass(frozen=True, eq=False)
class SplitColumns:
    """The columns of a split, labels first."""

    rows: int
    """Number of rows of the split."""
    every: int
    """Every so many rows were read; 1: all."""
    columns: tuple[SplitColumn, ...]

    def of_role(self, role: Role) -> list[SplitColumn]:
        """Columns of labels, of features, or of ids."""
        return [column for column in self.columns if column.role == role]


def split_columns(data: Data, split: str) -> SplitColumns:
    """Reads the columns of a split.

    A table has its raw cells, whatever the features that are made of them. Other data
    has its arrays: one of up to 32 features is a column for each of them, a larger one
    (pictures, tokens) is one column.

    Args:
        data: of an experiment or a run.
        split: `train`, `eval` or `test`.

    Raises:
        DataError: there is no such split.
    """
    source = data.split(split)
    pictures = set()
    if data.columns is not None and isinstance(source, CellParts):
        pictures = {f"features.{name}" for name in data.columns.images}
    values = sum(
        _PICTURE if path in pictures else math.prod(spec.shape)
        for path, spec in named_leaves(*source.spec())
    )
    every = max(1, len(source) * values // _MOST_VALUES)
    labels = _label_columns(source, data.columns, every)
    if data.columns is not None and isinstance(source, CellParts):
        features = _table_columns(source, data.columns, every)
    else:
        features = _array_columns(source, every)
    ids = [
        SplitColumn(name, "id", "id", texts=_coded(np.asarray(values)[::every]))
        for name, values in getattr(source, "ids", {}).items()
        # Parts of a mixture are in every split: they identify no row.
        if not (isinstance(source, JoinedSource) and name == PART)
    ]
    return SplitColumns(len(source), every, (*labels, *features, *ids))


def class_names(columns: FittedColumns | None, name: str) -> tuple[str, ...]:
    """Names of the classes of a label; empty if it has none."""
    if columns is None:
        return ()
    label = columns.labels.get(name)
    if label is None and len(columns.labels) == 1:
        (label,) = columns.labels.values()
    return () if label is None else label.names or ()


def _table_columns(
    source: CellParts, fitted: FittedColumns, every: int
) -> list[SplitColumn]:
    pictures = {fitted.sources_of(name)[0]: name for name in fitted.images}
    roots = source.roots if isinstance(source, ImageSource) else {}
    gathered = [
        _GatheredImages(name, roots.get(pictures[name]))
        if name in pictures
        else _Gathered(name, fitted)
        for name in fitted.sources
    ]
    done = 0
    for cells, rows in source.cell_parts():
        chosen = rows[-done % every :: every]
        done += len(rows)
        for each in gathered:
            each.add(cells, chosen)
    return [each.column() for each in gathered]


class _Gathered:
    """A column of a table, gathered part by part.

    Args:
        name: the column of the files.
        fitted: may have a column of this name, whose kind it is.
    """

    def __init__(self, name: str, fitted: FittedColumns):
        column = fitted.columns.get(name)
        self._name, self._missing = name, fitted.missing
        self._kind = "" if column is None else column.to_json()["name"]
        self._numbers: list[npt.NDArray[np.float64]] = []
        self._texts: list[CodedTexts] = []
        self._has_lists = self._is_bad = False

    def add(self, cells: TableCells, rows: npt.NDArray[np.int64]) -> None:
        """Adds some rows of a part of the table."""
        if not rows.size:
            return
        if cells.is_other(self._name):
            values = cells.values(self._name, rows)
            has_lists = any(isinstance(value, list) for value in values[:_BLOCK])
            self._has_lists = self._has_lists or has_lists
            numbers, bad = as_numbers(values, self._missing)
            texts = [_joined(value) for value in values]
            self._extend(numbers, bad, lambda: CodedTexts.of(texts))
            return
        numbers, bad = cells.numbers(self._name)
        bad = rows_among(bad, rows)
        texts_of = cells.texts
        self._extend(numbers[rows], bad, lambda: texts_of(self._name).take(rows))

    def _extend(
        self,
        numbers: npt.NDArray[np.float64],
        bad: npt.NDArray[np.int64],
        texts: Callable[[], CodedTexts],
    ) -> None:
        self._numbers.append(numbers)
        self._is_bad = self._is_bad or bool(bad.size)
        if self._kind != "number" or self._has_lists:
            self._texts.append(texts())

    def column(self) -> SplitColumn:
        """The column of all parts."""
        kind = self._kind or ("category" if self._is_bad else "number")
        if self._has_lists:
            kind = self._kind or "set"
        elif kind == "number":
            numbers = np.concatenate([np.zeros(0), *self._numbers])
            return SplitColumn(self._name, "feature", kind, numbers)
        texts = by_first_row(CodedTexts.joined(self._texts))
        return SplitColumn(
            self._name, "feature", kind, None, texts, has_lists=self._has_lists
        )


class _GatheredImages(GatheredPictures):
    """A column of pictures of a table, gathered part by part."""

    def column(self) -> SplitColumn:
        """The column of all parts."""
        return SplitColumn(
            self.name,
            "feature",
            "image",
            texts=CodedTexts.of(self.digests),
            sizes=self.sizes,
            examples=tuple(self.examples.values()),
        )


def by_first_row(texts: CodedTexts) -> CodedTexts:
    """The same texts, of which each different one occurs, ordered by their first rows.

    >>> by_first_row(CodedTexts(np.array([2, 0]), ["a", "b", "c"])).texts
    ['c', 'a']
    """
    found, firsts, codes = np.unique(
        texts.codes, return_index=True, return_inverse=True
    )
    order = np.argsort(firsts)
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order))
    return CodedTexts(
        places[codes], [str(texts.texts[code]) for code in found[order].tolist()]
    )


def _joined(value: Any) -> str:
    """A value as text; items of a list with the default separator of sets."""
    return "|".join(as_texts(value)) if isinstance(value, list) else as_text(value)


def _coded(values: Iterable[Any]) -> CodedTexts:
    return CodedTexts.of(as_texts(values))


def _array_columns(source: Source, every: int) -> list[SplitColumn]:
    arrays = _arrays(source, every, lambda path: path.startswith("features"))
    return [
        column
        for path, array in arrays.items()
        for column in _columns_of(path.removeprefix("features."), array, "feature")
    ]


def _label_columns(
    source: Source, fitted: FittedColumns | None, every: int
) -> list[SplitColumn]:
    columns: list[SplitColumn] = []
    arrays: Mapping[str, npt.NDArray[Any]]
    if isinstance(source, ImageSource):  # Without its pictures.
        _, labels = source.spec()
        paths = [path for path, _ in named_leaves(None, labels)]
        arrays = {path: source.column(path)[::every] for path in paths}
    else:
        arrays = _arrays(source, every, lambda path: path.startswith("labels"))
    for path, array in arrays.items():
        name = path.removeprefix("labels.")
        if name == "labels" and fitted is not None and len(fitted.labels) == 1:
            (name,) = fitted.labels
        names = class_names(fitted, name)
        is_class = not is_floating(array.dtype) and array.ndim == 1
        if is_class and len(np.unique(array)) <= _MOST_CLASSES:
            found, codes = np.unique(array, return_inverse=True)
            called = [
                names[int(value)] if names else str(value) for value in found.tolist()
            ]
            texts = by_first_row(CodedTexts(codes, called))
            columns.append(SplitColumn(name, "label", "category", texts=texts))
        else:
            columns += _columns_of(name, array, "label")
    return columns


def _columns_of(
    name: str, array: npt.NDArray[Any], role: Role
) -> Iterator[SplitColumn]:
    """Yields the columns of an array, rows first."""
    values = array.reshape(len(array), -1)
    width = values.shape[1]
    if width == 1:
        yield SplitColumn(name, role, "number", values[:, 0].astype(np.float64))
    elif array.ndim == 2 and width <= _MOST_NAMED and is_floating(array.dtype):
        for place in range(width):
            numbers = values[:, place].astype(np.float64)
            yield SplitColumn(f"{name}[{place}]", role, "number", numbers)
    else:
        yield SplitColumn(name, role, "array", values.astype(np.float64))


def _arrays(
    source: Source, every: int, is_wanted: Callable[[str], bool]
) -> Mapping[str, npt.NDArray[Any]]:
    """Key path -> array of all rows that are read."""
    parts: dict[str, list[npt.NDArray[Any]]] = {}
    for rows in _blocks(len(source), every):
        for path, array in named_leaves(*source.take(rows)):
            if is_wanted(path):
                # It may give the same memory, filled anew, for the next rows.
                parts.setdefault(path, []).append(np.array(array))
    return {path: np.concatenate(arrays) for path, arrays in parts.items()}


def _blocks(rows: int, every: int, size: int = _BLOCK) -> Iterator[slice]:
    step = size * every
    for first in range(0, rows, step):
        yield slice(first, min(first + step, rows), every)
