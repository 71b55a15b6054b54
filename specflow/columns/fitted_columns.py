"""The fitted columns of a run: a versioned JSON document that makes features."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias

import numpy as np

from specflow.columns.category_column import CategoryColumn
from specflow.columns.number_column import NumberColumn
from specflow.columns.one_hot import one_hot
from specflow.columns.raw_values import MISSING, as_numbers, as_texts
from specflow.diagnostics.errors import DataError, Diagnostic, did_you_mean, nearest
from specflow.runtime.file_digests import content_digest, is_intact, signed

__all__ = ["FORMAT", "Column", "FittedColumns", "LabelColumn"]

FORMAT = 1
"""Version of the JSON document."""
_SHOWN = 5
"""Number of bad cells of a request that are shown."""

Column: TypeAlias = NumberColumn | CategoryColumn


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class LabelColumn:
    """A column of labels: classes by name, integers, or numbers."""

    kind: Literal["class", "integer", "number"]
    classes: tuple[str, ...] = ()
    """Names of the classes, in the order of their indices."""

    def to_json(self) -> dict[str, Any]:
        """The column as plain values."""
        return {"kind": self.kind, "classes": list(self.classes)}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """The column of the result of `to_json`."""
        return cls(kind=plain["kind"], classes=tuple(plain["classes"]))


@dataclasses.dataclass(frozen=True, kw_only=True)
class FittedColumns:
    """Fitted columns, and the files that they were fitted to.

    NumPy alone makes the features of raw rows:

    >>> fitted = FittedColumns(
    ...     columns={
    ...         "age": NumberColumn.fit(np.array([20.0, 40.0])),
    ...         "city": CategoryColumn.fit(["Rome", "Oslo"], oov_buckets=0),
    ...     },
    ... )
    >>> fitted({"age": [40, 30], "city": ["Rome", None]})["x"]
    array([[1., 0., 1.],
           [0., 0., 0.]], dtype=float32)
    """

    columns: Mapping[str, Column]
    """Columns of features by name, in the order of the features."""
    labels: Mapping[str, LabelColumn] = dataclasses.field(default_factory=dict)
    joined: bool = True
    """Numbers and one-hot features are one array `x`, and indices are
    `categories.<column>`; else each column is an array of its own name."""
    missing: tuple[str, ...] = MISSING
    """Texts of a missing number."""
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Path of each file, as written -> SHA-256 of its content."""
    rows: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Number of rows of each split."""

    def __call__(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """Makes the features of raw rows.

        Args:
            raw: column -> a value for each row: numbers or their texts, NaN or None
                where missing; texts of categories, or integers.

        Returns:
            The features, as the model takes them.

        Raises:
            DataError: a column is missing or unknown, columns differ in length, or a
                value is wrong; the first ones are named with their rows.
        """
        self._check_names(raw)
        values = {name: _listed(raw[name]) for name in self.columns}
        sizes = {name: len(column) for name, column in values.items()}
        if len(set(sizes.values())) > 1:
            listed = ", ".join(f"{name} has {size}" for name, size in sizes.items())
            raise DataError(
                Diagnostic(
                    "rows",
                    f"columns differ in length: {listed}",
                    expected="one value for each row",
                    code="table-request",
                )
            )
        parsed: dict[str, Any] = {}
        diagnostics: list[Diagnostic] = []
        for name, column in self.columns.items():
            parsed[name], bad = self._parsed(column, values[name])
            diagnostics += [
                Diagnostic(
                    name,
                    f"row {row} has {values[name][row]!r}",
                    expected="a number"
                    if isinstance(column, NumberColumn)
                    else "a category",
                    code="table-request",
                )
                for row in bad[:_SHOWN]
            ]
        if diagnostics:
            raise DataError(*diagnostics)
        return self.features(parsed)

    def features(self, parsed: Mapping[str, Any]) -> dict[str, Any]:
        """Features of parsed columns: float64 numbers, or texts, checked before."""
        if not self.joined:
            made = {name: column.apply(parsed[name]) for name, column in self._each()}
            return {
                name: array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
                for name, array in made.items()
            }
        width = sum(column.width for column in self.columns.values())
        features: dict[str, Any] = {}
        categories: dict[str, Any] = {}
        if width:
            rows = len(next(iter(parsed.values())))
            features["x"] = np.zeros((rows, width), np.float32)
        start = 0
        for name, column in self._each():
            if not column.width:
                categories[name] = column.apply(parsed[name])
                continue
            # In place: the features of all columns are not held twice.
            out = features["x"][:, start : start + column.width]
            start += column.width
            if isinstance(column, CategoryColumn):
                one_hot(column.indices(parsed[name]), column.size, out=out)
            else:
                out[:] = column.apply(parsed[name])
        return features | ({"categories": categories} if categories else {})

    def kinds(self) -> str:
        """Names and kinds of the columns of features."""
        each = self._each()
        return ", ".join(f"{name}: {column.to_json()['name']}" for name, column in each)

    @property
    def embeddings(self) -> dict[str, tuple[int, int]]:
        """Column of indices -> number of indices, and size of an embedding."""
        return {
            name: (column.size, column.vector_size)
            for name, column in self.columns.items()
            if isinstance(column, CategoryColumn) and column.encoding == "embedding"
        }

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of the classes of the only label; None if there are none."""
        labels = list(self.labels.values())
        return labels[0].classes or None if len(labels) == 1 else None

    @property
    def digest(self) -> str:
        """SHA-256 of the columns, whatever files they were fitted to."""
        plain = self.to_json()
        return content_digest({key: plain[key] for key in _MEANING})

    def to_json(self) -> dict[str, Any]:
        """The columns as plain values, with a digest of themselves."""
        return signed(
            {
                "format": FORMAT,
                "columns": {name: each.to_json() for name, each in self._each()},
                "labels": {name: each.to_json() for name, each in self.labels.items()},
                "joined": self.joined,
                "missing": list(self.missing),
                "files": dict(self.files),
                "rows": dict(self.rows),
            }
        )

    @classmethod
    def from_json(cls, plain: Mapping[str, Any], *, where: str = "columns") -> Self:
        """The columns of the result of `to_json`.

        Args:
            plain: the document.
            where: its file, for messages.

        Raises:
            DataError: it is damaged, or of another version.
        """
        if not isinstance(plain, Mapping) or not is_intact(plain):
            raise DataError(
                Diagnostic(
                    where,
                    "is damaged: its digest differs",
                    expected="fitted columns as a run writes them",
                    code="table-state",
                )
            )
        if plain["format"] != FORMAT:
            raise DataError(
                Diagnostic(
                    where,
                    f"has format {plain['format']}",
                    expected=f"format {FORMAT}",
                    hint="Use the version of specflow that wrote it.",
                    code="table-state",
                )
            )
        kinds = {"number": NumberColumn, "category": CategoryColumn}
        return cls(
            columns={
                name: kinds[column["name"]].from_json(column)
                for name, column in plain["columns"].items()
            },
            labels={
                name: LabelColumn.from_json(label)
                for name, label in plain["labels"].items()
            },
            joined=plain["joined"],
            missing=tuple(plain["missing"]),
            files=dict(plain["files"]),
            rows=dict(plain["rows"]),
        )

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Reads the file of a run or an export.

        Raises:
            DataError: it is missing or damaged.
        """
        file = Path(path)
        try:
            plain = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise DataError(
                Diagnostic(str(file), "is missing", code="table-state")
            ) from error
        except (OSError, ValueError) as error:
            raise DataError(
                Diagnostic(str(file), f"is damaged: {error}", code="table-state")
            ) from error
        return cls.from_json(plain, where=str(file))

    def _each(self) -> Sequence[tuple[str, Column]]:
        return list(self.columns.items())

    def _parsed(self, column: Column, values: Any) -> tuple[Any, list[int]]:
        """Numbers or texts of raw values, and the rows of bad ones."""
        if isinstance(column, CategoryColumn):
            texts = as_texts(values)
            must = column.missing == "error"
            return texts, [row for row, text in enumerate(texts) if must and not text]
        numbers, bad = as_numbers(values, self.missing)
        outside = np.flatnonzero(column.outside(numbers))
        return numbers, sorted({*bad.tolist(), *outside.tolist()})

    def _check_names(self, raw: Mapping[str, Any]) -> None:
        diagnostics = [
            Diagnostic(
                name,
                "is missing" if name in self.columns else "is no column of features",
                expected=f"the columns {', '.join(self.columns)}",
                hint=did_you_mean(nearest(name, self.columns))
                if name not in self.columns
                else "",
                code="table-request",
            )
            for name in [*self.columns, *raw]
            if (name in self.columns) != (name in raw)
        ]
        if diagnostics:
            raise DataError(*diagnostics)


_MEANING = ("format", "columns", "labels", "joined", "missing")
"""Keys that decide what features are made."""


def _listed(values: Any) -> Any:
    """A one-dimensional array as it is, anything else as a list."""
    if isinstance(values, np.ndarray) and values.ndim == 1:
        return values
    return list(values)
