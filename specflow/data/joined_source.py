"""The rows of several sources, one after another."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from specflow.data.array_tree import map_leaves, named_leaves
from specflow.data.digest import block_digests
from specflow.data.source import BlockColumns, DigestedSource, Rows, Source
from specflow.diagnostics.errors import DataError, Diagnostic
from specflow.runtime.typing import Tree, describe

__all__ = ["PART", "JoinedSource"]

PART = "part"
"""Name of the identifier that says of which part a row is."""


class JoinedSource:
    """All rows of several sources, the parts, in their order.

    Args:
        parts: name -> source; all with the same arrays in their rows.
        labels: False: there are none, as one of the parts may lack them.

    Raises:
        DataError: rows of a part differ from those of the first one in an array, a
            shape or a dtype; every part and array is named.

    >>> from specflow.data import ArraySource
    >>> a, b = ArraySource(np.arange(3)), ArraySource(np.array([9]))
    >>> source = JoinedSource({"a": a, "b": b})
    >>> len(source), source.take(np.array([3, 0]))[0]
    (4, array([9, 0], dtype=int32))
    """

    def __init__(self, parts: Mapping[str, Source], *, labels: bool = True):
        if not parts:
            raise DataError(
                Diagnostic(
                    "parts",
                    "there are none",
                    expected="at least one part",
                    code="data-empty",
                )
            )
        self.parts = dict(parts)
        self._labels = labels
        _check_same_arrays(self.parts, labels=labels)
        self._sources = list(self.parts.values())
        sizes = [len(source) for source in self._sources]
        self.firsts = np.cumsum([0, *sizes], dtype=np.int64)
        """Number of the first row of each part, then that of all rows."""
        if any(isinstance(source, DigestedSource) for source in self._sources):
            digests = [_digest(source) for source in self._sources]
            self.digest = xxhash.xxh3_64_hexdigest(" ".join(digests).encode())

    def __len__(self) -> int:
        return int(self.firsts[-1])

    def take(self, rows: Rows) -> tuple[Tree, Tree]:
        """Returns features and labels of some rows, in the requested order."""
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(len(self)))
        rows = np.asarray(rows)
        parts = self._parts_of(rows)
        taken = map_leaves(
            lambda row: np.empty((len(rows), *row.shape), row.dtype), self.spec()
        )
        for part in np.unique(parts).tolist():
            mine = np.flatnonzero(parts == part)
            found = self._sources[part].take(rows[mine] - self.firsts[part])
            map_leaves(functools.partial(_put, mine), taken, self._shown(found))
        return taken

    def spec(self) -> tuple[Tree, Tree]:
        """A `RowSpec` in place of each array of features and labels."""
        return self._shown(self._sources[0].spec())

    def column(self, path: str) -> npt.NDArray[Any]:
        """All rows of the array at a key path, as stored."""
        return np.concatenate(list(self.column_blocks(path)))

    def column_blocks(self, path: str) -> Iterator[npt.NDArray[Any]]:
        """Yields all rows of the array at a key path, block by block."""
        for source in self._sources:
            if isinstance(source, BlockColumns):
                yield from source.column_blocks(path)
            else:
                yield source.column(path)

    @functools.cached_property
    def ids(self) -> dict[str, npt.NDArray[Any]]:
        """Name -> identifier of each row: its part, and those that all parts have."""
        own: list[Mapping[str, Any]] = [getattr(s, "ids", {}) for s in self._sources]
        names = np.repeat(list(self.parts), np.diff(self.firsts))
        shared = [name for name in own[0] if all(name in ids for ids in own)]
        return {PART: names} | {
            name: np.concatenate([ids[name] for ids in own]) for name in shared
        }

    def place(self, row: int) -> str:
        """The part of a row, and its number, file or line there."""
        part = int(self._parts_of(np.array([row]))[0])
        source, own = self._sources[part], row - int(self.firsts[part])
        name = list(self.parts)[part]
        if place := getattr(source, "place", None):
            return f"part {name}, {place(own)}"
        origin = getattr(source, "origin", "")
        return f"part {name}, row {own}" + (f" of {origin}" if origin else "")

    def _parts_of(self, rows: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
        return np.searchsorted(self.firsts, rows, side="right") - 1

    def _shown(self, trees: tuple[Tree, Tree]) -> tuple[Tree, Tree]:
        features, labels = trees
        return features, labels if self._labels else None


def _check_same_arrays(parts: Mapping[str, Source], *, labels: bool) -> None:
    """Checks that rows of all parts have the same arrays.

    Raises:
        DataError: some differ; all of them.
    """
    names = list(parts)
    forms = [_forms(source, labels=labels) for source in parts.values()]
    first = forms[0]
    diagnostics = [
        Diagnostic(
            f"part {name}, {path}",
            f"a row is {form[path]}" if path in form else "is missing",
            expected=f"{first[path]}, as in part {names[0]}"
            if path in first
            else f"no such array, as in part {names[0]}",
            code="data-differs",
        )
        for name, form in zip(names[1:], forms[1:], strict=True)
        for path in _sorted(first, form)
        if first.get(path) != form.get(path)
    ]
    if diagnostics:
        raise DataError(*diagnostics)


def _forms(source: Source, *, labels: bool) -> dict[str, str]:
    features, own_labels = source.spec()
    leaves = named_leaves(features, own_labels if labels else None)
    return {path: describe(row) for path, row in leaves}


def _sorted(*forms: Mapping[str, str]) -> Sequence[str]:
    return sorted(set().union(*forms))


def _put(places: npt.NDArray[Any], out: Any, rows: Any) -> None:
    out[places] = rows


def _digest(source: Source) -> str:
    if isinstance(source, DigestedSource):
        return source.digest
    return str(block_digests(source))
