"""Sources of rows: random access to the rows of a data set, checked once."""

import dataclasses
import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from specflow.data.array_tree import batch_rows, map_leaves, named_leaves
from specflow.data.narrowing import (
    complex_arrays,
    device_dtype,
    narrowed,
    refuse_wide,
)
from specflow.diagnostics.errors import DataError, Diagnostic, did_you_mean, nearest
from specflow.runtime.typing import Tree, describe, is_floating

__all__ = [
    "ArraySource",
    "BlockColumns",
    "DigestedSource",
    "NewArrays",
    "RowSpec",
    "Rows",
    "Source",
    "check_range",
    "highest",
    "occurring",
    "row_specs",
]

Rows: TypeAlias = "npt.NDArray[np.integer[Any]] | slice"
"""Row indices, or a slice."""

_BLOCK = 65_536
"""Rows per block of a check, which bounds its memory."""
_SAMPLE = 1 << 20
"""Sample size for values of a larger array."""
_MOST_CLASSES = 100_000
"""Maximum number of distinct values of a class label."""


@dataclasses.dataclass(frozen=True, slots=True)
class RowSpec:
    """Shape and dtype of one row of an array, without the row axis."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


@runtime_checkable
class Source(Protocol):
    """A data set with random access to its rows."""

    def __len__(self) -> int:
        """The number of rows, at least 1."""
        ...

    def take(self, rows: Rows) -> tuple[Tree, Tree]:
        """Returns features and labels of some rows, in the requested order."""
        ...

    def spec(self) -> tuple[Tree, Tree]:
        """A `RowSpec` in place of each array of features and labels."""
        ...

    def column(self, path: str) -> npt.NDArray[Any]:
        """Returns all rows of the array at a key path, as stored."""
        ...


@runtime_checkable
class BlockColumns(Protocol):
    """A `Source` that need not hold a column as a whole."""

    def column_blocks(self, path: str) -> Iterator[npt.NDArray[Any]]:
        """Yields all rows of the array at a key path, block by block."""
        ...


@runtime_checkable
class DigestedSource(Protocol):
    """A `Source` that knows a digest of its content, rows and order."""

    digest: str


@runtime_checkable
class NewArrays(Protocol):
    """A `Source` whose `take` of row indices returns arrays that it does not keep."""

    takes_new: Literal[True]


class ArraySource:
    """Rows in memory.

    They are returned in the dtypes of devices: native byte order, and 32 instead of 64
    bits unless `JAX_ENABLE_X64` is set. The arrays themselves are unchanged.

    Args:
        features: an array, or a (nested) dict of arrays, rows first.
        labels: likewise; None if there are none.
        ids: name -> text or integer that identifies each row. `take` does not return
            them: `specflow predict` writes them beside the predictions.
        origin: file or split of the rows, for messages.
        finite: raise for NaN or infinity.

    Raises:
        DataError: an array is no array of numbers, has no rows, has another number of
            rows than the first one, holds a NaN or an infinity, or a number that 32
            bits cannot hold.

    >>> source = ArraySource({"x": np.arange(6.0).reshape(3, 2)}, np.array([0, 1, 0]))
    >>> len(source)
    3
    >>> source.take(np.array([2, 0]))
    ({'x': array([[4., 5.],
           [0., 1.]], dtype=float32)}, array([0, 0], dtype=int32))
    """

    def __init__(
        self,
        features: Tree,
        labels: Tree = None,
        *,
        ids: Mapping[str, npt.ArrayLike] | None = None,
        origin: str = "",
        finite: bool = True,
    ):
        self._features = map_leaves(np.asarray, features)
        self._labels = map_leaves(np.asarray, labels)
        self.origin = origin
        diagnostics = _form_diagnostics(self._features, self._labels, origin)
        named = named_leaves(self._features, self._labels)
        if finite and not diagnostics:
            diagnostics = [
                diagnostic
                for path, array in named
                if (diagnostic := _not_finite(path, array, origin))
            ]
        if diagnostics:
            raise DataError(*diagnostics)
        refuse_wide(named, origin)
        self._size = len(named_leaves(self._features, None)[0][1])
        self.ids = _checked_ids(ids or {}, self._size, origin)
        """Name -> identifier of each row, text or integers."""

    def __len__(self) -> int:
        return self._size

    def take(self, rows: Rows) -> tuple[Tree, Tree]:
        """Returns features and labels of some rows; views if `rows` is a slice."""
        taken = (
            map_leaves(lambda array: _rows_of(array, rows), self._features),
            map_leaves(lambda array: _rows_of(array, rows), self._labels),
        )
        return narrowed(taken[0]), narrowed(taken[1])

    def spec(self) -> tuple[Tree, Tree]:
        """A `RowSpec` in place of each array of features and labels."""
        return row_specs(self._features, self._labels)

    def column(self, path: str) -> npt.NDArray[Any]:
        """All rows of the array at `path`, such as `labels` or `features.image`.

        Raises:
            DataError: there is no such array.
        """
        found = dict(named_leaves(self._features, self._labels))
        if path not in found:
            raise unknown_array(path, found, self.origin)
        return found[path]


def row_specs(features: Tree, labels: Tree) -> tuple[Tree, Tree]:
    """A `RowSpec` in place of each array of some rows of features and labels."""

    def spec(array: npt.NDArray[Any]) -> RowSpec:
        return RowSpec(array.shape[1:], device_dtype(array.dtype))

    return map_leaves(spec, features), map_leaves(spec, labels)


def check_range(
    source: Source, path: str, low: int, high: int, *, because: str = ""
) -> None:
    """Checks that every value of an array is in [low, high - 1].

    Args:
        source: the data set.
        path: key path of the array, such as `labels`.
        low: smallest valid value.
        high: smallest invalid integer; fractions above `high - 1` are invalid too.
        because: reason of the range, for the message.

    Raises:
        DataError: a value is out of range; the first such row is named.

    >>> check_range(ArraySource({"x": np.zeros(2)}, np.array([0, 3])), "labels", 0, 3)
    Traceback (most recent call last):
    specflow.DataError: labels: row 1 has 3. Expected integers
    in [0, 3).
    """
    start = 0
    for block in _column_blocks(source, path):
        wrong = (block < low) | (block > high - 1)
        if wrong.any():
            first = tuple(np.argwhere(wrong)[0])
            allowed = (
                f"numbers in [{low}, {high - 1}]"
                if is_floating(block.dtype)
                else f"integers in [{low}, {high})"
            )
            row = int(start + first[0])
            origin = getattr(source, "origin", "")
            if place := getattr(source, "place", None):
                origin = place(row)  # The file and line of a row of a table.
            raise DataError(
                Diagnostic(
                    path,
                    f"row {row} has {block[first]}",
                    origin=origin,
                    expected=allowed + (f", because {because}" if because else ""),
                    code="label-range",
                )
            )
        start += len(block)


def occurring(source: Source, path: str) -> npt.NDArray[Any]:
    """Returns the distinct values of an array, ascending; of a large one, of a sample.

    Args:
        source: the data set.
        path: key path of the array, such as `labels`.

    Returns:
        An empty array if the source lacks the array, or it has too many distinct values
        for classes.

    >>> occurring(ArraySource({"x": np.zeros(4)}, np.array([7, 0, 0, 3])), "labels")
    array([0, 3, 7])
    """
    known = dict(named_leaves(*source.spec()))
    if path not in known:
        return np.zeros(0)
    # Rows may be sorted by class: sample all of them.
    size = len(source) * math.prod(known[path].shape)
    every = math.ceil(max(size, 1) / _SAMPLE)
    found = np.zeros(0, known[path].dtype)
    for block in _column_blocks(source, path):
        found = np.unique(np.concatenate([found, block[::every].reshape(-1)]))
        if found.size > _MOST_CLASSES:
            return found[:0]
    return found


def highest(source: Source, path: str) -> int:
    """Returns the largest value of an array of integers; -1 without rows.

    Args:
        source: the data set.
        path: key path of the array, such as `labels`.

    >>> highest(ArraySource({"x": np.zeros(4)}, np.array([7, 0, 0, 3])), "labels")
    7
    """
    blocks = _column_blocks(source, path)
    return max((int(block.max(initial=-1)) for block in blocks), default=-1)


def _column_blocks(source: Source, path: str) -> Iterator[npt.NDArray[Any]]:
    """Yields all rows of an array in blocks, which bounds the memory of a check."""
    if isinstance(source, BlockColumns):
        yield from source.column_blocks(path)
        return
    column = source.column(path)
    for start in range(0, len(column), _BLOCK):
        yield column[start : start + _BLOCK]


def _rows_of(array: npt.NDArray[Any], rows: Rows) -> npt.NDArray[Any]:
    if isinstance(rows, slice) or not array.flags.c_contiguous:
        return array[rows]
    # Twice as fast as array[rows] for short rows, but it would first copy the whole of
    # an array that is not contiguous.
    return np.take(array, rows, axis=0)


def unknown_array(path: str, known: Collection[str], origin: str) -> DataError:
    """Returns the error for a path at which a source has no array.

    Args:
        path: dotted, such as `labels`.
        known: paths of the arrays that there are.
        origin: of the source.
    """
    return DataError(
        Diagnostic(
            path,
            "there is no such array",
            origin=origin,
            expected=f"one of {', '.join(known)}",
            hint=did_you_mean(nearest(path, known)),
            code="unknown-array",
        )
    )


def _form_diagnostics(features: Tree, labels: Tree, origin: str) -> list[Diagnostic]:
    """Returns diagnostics of dtypes and numbers of rows."""
    if not named_leaves(features, None):
        return [
            Diagnostic("features", "holds no array", origin=origin, code="input-form")
        ]
    diagnostics = [
        Diagnostic(
            path,
            f"is {describe(array)}",
            origin=origin,
            expected="an array of numbers, rows first",
            hint="If it says which row is which, name it in data.ids."
            if array.dtype.kind in "SU" and array.ndim == 1
            else "",
            code="data-type",
        )
        for path, array in named_leaves(features, labels)
        if array.ndim == 0 or array.dtype.kind in "OSUMm" or array.dtype.fields
    ]
    diagnostics += complex_arrays(named_leaves(features, labels), origin)
    if diagnostics:
        return diagnostics
    paths = [path for path, _ in named_leaves(features, labels)]
    twice = sorted({path for path in paths if paths.count(path) > 1})
    if twice:
        return [
            Diagnostic(
                path,
                "two arrays have this path",
                origin=origin,
                hint="Take the dots out of the names.",
                code="array-names",
            )
            for path in twice
        ]
    rows = batch_rows(features, labels)
    first, size = next(iter(rows.items()))
    if size == 0:
        return [
            Diagnostic(
                first,
                "has no rows: the data set is empty",
                origin=origin,
                expected="at least one row",
                code="data-empty",
            )
        ]
    return [
        Diagnostic(
            path,
            f"has {count:,} rows",
            origin=origin,
            expected=f"{size:,} rows, as {first} has",
            code="row-count",
        )
        for path, count in rows.items()
        if count != size
    ]


def _checked_ids(
    ids: Mapping[str, npt.ArrayLike], size: int, origin: str
) -> dict[str, npt.NDArray[Any]]:
    """Checks ids, and returns them as text or integers.

    Raises:
        DataError: they have another type, or another number than the rows.
    """
    found = {name: np.asarray(array) for name, array in ids.items()}
    diagnostics = [
        Diagnostic(
            f"ids.{name}",
            f"is {describe(array)}",
            origin=origin,
            expected=f"one text or whole number for each of {size:,} rows",
            code="data-type",
        )
        for name, array in found.items()
        if array.shape != (size,) or array.dtype.kind not in "USiu"
    ]
    if diagnostics:
        raise DataError(*diagnostics)
    return {
        name: np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array
        for name, array in found.items()
    }


def _not_finite(path: str, array: npt.NDArray[Any], origin: str) -> Diagnostic | None:
    """Returns a diagnostic of the first row with NaN or infinity."""
    if not is_floating(array.dtype):
        return None
    for start in range(0, len(array), _BLOCK):
        block = array[start : start + _BLOCK]
        finite = np.isfinite(block)
        if not finite.all():
            first = tuple(np.argwhere(~finite)[0])
            return Diagnostic(
                path,
                f"row {start + first[0]} has {block[first]}",
                origin=origin,
                expected="finite numbers",
                hint="Drop or fill such rows first.",
                code="not-finite",
            )
    return None
