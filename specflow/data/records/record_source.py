"""Rows of records: a `Source` that reads them by number."""

import functools
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from specflow.data.array_tree import named_leaves
from specflow.data.narrowing import narrowed, refuse_wide
from specflow.data.records.field_arrays import ArrayField, Problem
from specflow.data.records.records import Records
from specflow.data.records.resolved_fields import RecordRoles
from specflow.data.source import Rows, unknown_array
from specflow.diagnostics.errors import DataError, Diagnostic
from specflow.runtime.typing import Tree, is_floating

__all__ = ["RecordSource"]

_BLOCK = 4096
"""Records that are read at once for a pass over all of them."""
_SHOWN = 5
"""Wrong values of a field that are shown of one read."""


class RecordSource:
    """Rows of one part of the data.

    Args:
        records: the records.
        rows: numbers of the records of the part; None: all.
        roles: fields of features, labels and ids.
        origin: name of the part, for messages.
        digest: of the content, which other processes compare.
        lock: held while the records are read, of which there may be several parts.
    """

    def __init__(
        self,
        records: Records,
        rows: npt.NDArray[np.int64] | None,
        roles: RecordRoles,
        *,
        origin: str,
        digest: str,
        lock: threading.Lock,
    ):
        self._records, self._rows, self._roles = records, rows, roles
        self.origin, self.digest = origin, digest
        self._lock = lock
        self._columns: dict[str, npt.NDArray[Any]] = {}

    def __len__(self) -> int:
        return len(self._records) if self._rows is None else len(self._rows)

    def take(self, rows: Rows) -> tuple[Tree, Tree]:
        """Returns features and labels of some rows.

        Raises:
            DataError: values do not suit their fields; their records are named.
        """
        roles = self._roles
        numbers = self._numbers(rows)
        features, labels = self._arrays(numbers, roles.features, roles.labels)
        return features, _single(labels)

    def spec(self) -> tuple[Tree, Tree]:
        """A `RowSpec` in place of each array of features and labels."""
        roles = self._roles
        labels = {name: field.spec for name, field in roles.labels.items()}
        features = {name: field.spec for name, field in roles.features.items()}
        return features, _single(labels)

    def column_blocks(self, path: str) -> Iterator[npt.NDArray[Any]]:
        """Yields the array at `path`, such as `labels`, block by block.

        Raises:
            DataError: there is no such array.
        """
        known = dict(named_leaves(*self.spec()))
        if path not in known:
            raise unknown_array(path, known, self.origin)
        if path in self._columns:
            yield self._columns[path]
            return
        inner = path if path.startswith("features.") else self._inner(path)
        role, _, rest = inner.partition(".")
        fields = self._roles.labels if role == "labels" else self._roles.features
        # Of the longest name: a name may have dots.
        name = max(each for each in fields if f"{rest}.".startswith(f"{each}."))
        only = {name: fields[name]}
        chosen = ({}, only) if role == "labels" else (only, {})
        held: list[npt.NDArray[Any]] = []
        for start in range(0, len(self), _BLOCK):
            rows = self._numbers(slice(start, start + _BLOCK))
            block = dict(named_leaves(*self._arrays(rows, *chosen)))[inner]
            if role == "labels" and block.ndim == 1:
                held.append(block)
            yield block
        if held:
            # Scalar labels are asked for again, and a read of them is one of all.
            self._columns[path] = np.concatenate(held)

    def _inner(self, path: str) -> str:
        """The key path of labels, also of the only one, with the name of its field."""
        names = list(self._roles.labels)
        if len(names) != 1:
            return path
        return f"labels.{names[0]}{path.removeprefix('labels')}"

    def column(self, path: str) -> npt.NDArray[Any]:
        """All rows of the array at `path`."""
        return np.concatenate(list(self.column_blocks(path)))

    @functools.cached_property
    def ids(self) -> dict[str, npt.NDArray[Any]]:
        """Name -> identifier of each row, text or integers."""
        names = self._roles.ids
        if not names:
            return {}
        parts: dict[str, list[Any]] = {name: [] for name in names}
        for start in range(0, len(self), _BLOCK):
            rows = self._numbers(slice(start, start + _BLOCK))
            values = self._read(rows, names)
            for name in names:
                parts[name].append(self._identifiers(name, values.get(name), rows))
        return {name: np.concatenate(each) for name, each in parts.items()}

    def place(self, row: int) -> str:
        """The file and number of a record of this part."""
        return self._records.place(int(self._numbers(slice(row, row + 1))[0]))

    def _numbers(self, rows: Rows) -> npt.NDArray[np.int64]:
        """Numbers of the records of some rows."""
        if isinstance(rows, slice):
            if self._rows is not None:
                return self._rows[rows]
            return np.arange(*rows.indices(len(self)))
        return np.asarray(rows if self._rows is None else self._rows[rows], np.int64)

    def _read(self, rows: npt.NDArray[np.int64], names: Sequence[str]) -> Any:
        with self._lock:
            return self._records.read(rows, names)

    def _arrays(
        self,
        rows: npt.NDArray[np.int64],
        features: Mapping[str, ArrayField],
        labels: Mapping[str, ArrayField],
    ) -> tuple[dict[str, Tree], dict[str, Tree]]:
        """Arrays by field, of features and of labels."""
        values = self._read(rows, [*features, *labels])
        diagnostics: list[Diagnostic] = []

        def made(fields: Mapping[str, ArrayField]) -> dict[str, Tree]:
            arrays: dict[str, Tree] = {}
            for name, field in fields.items():
                problems: list[Problem] = []
                absent = [None] * len(rows)
                arrays[name] = field.arrays(values.get(name, absent), problems)
                diagnostics.extend(
                    Diagnostic(
                        self._records.place(int(rows[problem.row])),
                        f"{name} {problem.text}",
                        expected=problem.expected,
                        hint=problem.hint,
                        code="record-value",
                    )
                    for problem in problems[:_SHOWN]
                )
            return arrays

        taken = made(features), made(labels)
        if diagnostics:
            raise DataError(*diagnostics)
        named = named_leaves(*taken)
        refuse_wide([pair for pair in named if is_floating(pair[1].dtype)], self.origin)
        return narrowed(taken[0]), narrowed(taken[1])

    def _identifiers(
        self, name: str, values: Any, rows: npt.NDArray[np.int64]
    ) -> npt.NDArray[Any]:
        if isinstance(values, np.ndarray) and values.dtype.kind in "iu":
            if values.ndim == 1:
                return values
        texts: list[Any] = []
        for row, value in enumerate([None] * len(rows) if values is None else values):
            if isinstance(value, np.ndarray) and value.size == 1:
                value = value.reshape(-1)[0].item()
            if not isinstance(value, str | bytes | int):
                text = "is missing" if value is None else "is no text or integer"
                raise DataError(
                    Diagnostic(
                        self._records.place(int(rows[row])),
                        f"{name} {text}",
                        expected="one text or integer that identifies the record",
                        code="record-value",
                    )
                )
            is_bytes = isinstance(value, bytes)
            texts.append(value.decode("utf-8", "replace") if is_bytes else value)
        return np.array(texts)


def _single(labels: dict[str, Any]) -> Tree:
    """Labels of one field are its array."""
    if not labels:
        return None
    return next(iter(labels.values())) if len(labels) == 1 else labels
