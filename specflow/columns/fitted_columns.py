"""The fitted columns of a run: a versioned JSON document that makes features."""

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from specflow.columns.category_column import CategoryColumn
from specflow.columns.column_problem import ColumnProblem
from specflow.columns.cross_column import CrossColumn
from specflow.columns.date_column import DateColumn
from specflow.columns.embedding import Embedding
from specflow.columns.image_column import ImageColumn
from specflow.columns.joined_numbers import JoinedColumn, write_joined
from specflow.columns.label_column import LabelColumn
from specflow.columns.number_column import NumberColumn
from specflow.columns.raw_values import MISSING, as_text
from specflow.columns.set_column import SetColumn
from specflow.columns.vector_column import VectorColumn
from specflow.diagnostics.errors import DataError, Diagnostic, did_you_mean, nearest
from specflow.runtime.file_digests import content_digest, is_intact, signed

__all__ = ["FORMAT", "Column", "FittedColumns"]

FORMAT = 2
"""Version of the JSON document; earlier ones are read."""
_NESTED = (list, tuple, dict, set, np.ndarray)
_SHOWN = 5
"""Number of bad cells of a request that are shown."""
_LONGEST = 60
"""Length of a shown value, in characters."""

Column: TypeAlias = (
    NumberColumn
    | CategoryColumn
    | SetColumn
    | CrossColumn
    | DateColumn
    | VectorColumn
    | ImageColumn
)
_KINDS: dict[str, type[Column]] = {
    "number": NumberColumn,
    "vector": VectorColumn,
    "category": CategoryColumn,
    "set": SetColumn,
    "text": SetColumn,
    "cross": CrossColumn,
    "date": DateColumn,
    "image": ImageColumn,
}


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
    joined_labels: bool = False
    """All columns of labels are 0 and 1, and one array."""
    weights: str | None = None
    """Column of the weights of the rows, beside the labels; None: there are none."""
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
        _check_names(self.sources, raw)
        values = {name: _listed(raw[name]) for name in self.sources}
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
        if not any(sizes.values()):
            names = ", ".join(sizes)
            raise DataError(
                Diagnostic(
                    "rows",
                    f"there are none: columns {names} are empty",
                    expected="one value for each row, of at least one row",
                    code="table-request",
                )
            )
        parsed: dict[str, Any] = {}
        diagnostics: list[Diagnostic] = []
        for name, column in self.columns.items():
            given = [values[source] for source in self.sources_of(name)]
            parsed[name], problems = column.parse(given, self.missing)
            if isinstance(column, CategoryColumn):
                problems = [*problems, *_nested(column, given[0])]
            diagnostics += [
                Diagnostic(
                    source,
                    f"row {row} has {_shown(values[source][row])}",
                    expected=problem.expected,
                    code="table-request",
                )
                for problem in problems
                for source in [problem.source or self.sources_of(name)[0]]
                for row in problem.rows[:_SHOWN]
            ]
        if diagnostics:
            raise DataError(*dict.fromkeys(diagnostics))
        return self.features(parsed)

    def sources_of(self, name: str) -> tuple[str, ...]:
        """Raw columns that a column of features is made of."""
        return self.columns[name].sources or (name,)

    @property
    def sources(self) -> list[str]:
        """All raw columns, in the order of the features."""
        names = [source for name in self.columns for source in self.sources_of(name)]
        return list(dict.fromkeys(names))

    def features(self, parsed: Mapping[str, Any]) -> dict[str, Any]:
        """Features of columns that their `parse` has parsed and checked."""
        if not self.joined:
            made = {name: column.apply(parsed[name]) for name, column in self._each()}
            return {
                name: array[:, 0]
                if isinstance(array, np.ndarray)
                and array.ndim == 2
                and array.shape[1] == 1
                else array
                for name, array in made.items()
            }
        width = sum(column.width for column in self.columns.values())
        features: dict[str, Any] = {}
        categories: dict[str, Any] = {}
        numbers: list[JoinedColumn] = []
        one_hots: list[tuple[slice, npt.NDArray[np.integer[Any]]]] = []
        start = 0
        for name, column in self._each():
            array: Any
            if isinstance(column, NumberColumn):
                array = parsed[name]
            elif isinstance(column, CategoryColumn) and column.width:
                array = column.indices(parsed[name])
            else:
                array = column.apply(parsed[name])
            if not column.width:
                (categories if column.embedding else features)[name] = array
                continue
            if "x" not in features:
                features["x"] = np.zeros((len(array), width), np.float32)
            place = slice(start, start := start + column.width)
            # In place: the features of all columns are not held twice.
            if isinstance(column, NumberColumn):
                numbers.append((place.start, column, array))
            elif isinstance(column, CategoryColumn):
                one_hots.append((place, array))
            else:
                features["x"][:, place] = array
        write_joined(features.get("x"), numbers, one_hots)
        return features | ({"categories": categories} if categories else {})

    def kinds(self) -> str:
        """Raw columns, and the kinds of features that are made of them."""
        kinds: dict[str, list[str]] = {name: [] for name in self.sources}
        for name, column in self._each():
            for source in self.sources_of(name):
                kinds[source].append(column.to_json()["name"])
        return ", ".join(
            f"{name}: {' and '.join(dict.fromkeys(each))}"
            for name, each in kinds.items()
        )

    @property
    def embeddings(self) -> dict[str, Embedding]:
        """Column of indices -> the embedding of a model of tables."""
        return {
            name: column.embedding
            for name, column in self.columns.items()
            if column.embedding is not None
        }

    @property
    def images(self) -> dict[str, ImageColumn]:
        """Columns of images by name."""
        return {
            name: column
            for name, column in self.columns.items()
            if isinstance(column, ImageColumn)
        }

    @property
    def packages(self) -> list[str]:
        """Packages beside NumPy that make the features of raw rows."""
        packages = {getattr(each, "package", None) for each in self.columns.values()}
        return sorted(filter(None, packages))

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of the classes of the only label; None if there are none."""
        labels = list(self.labels.values())
        return labels[0].names if len(labels) == 1 else None

    @property
    def digest(self) -> str:
        """SHA-256 of the columns, whatever files they were fitted to."""
        plain = self.to_json()
        return content_digest({key: plain[key] for key in _MEANING})

    def changes(self, other: "FittedColumns") -> list[str]:
        """Lines on what differs in other columns: `age: old -> new`.

        >>> old, new = (
        ...     FittedColumns(columns={"age": NumberColumn.fit(np.array(ages))})
        ...     for ages in ([20.0, 40.0], [30.0, 50.0])
        ... )
        >>> old.changes(new)
        ['age: (x - 30) / 10 -> (x - 40) / 10']
        """
        before, after = (
            {**dict(columns.columns), **dict(columns.labels)}
            for columns in (self, other)
        )
        return [
            f"{name}: {before.get(name, 'absent')} -> {after.get(name, 'absent')}"
            for name in {**before, **after}
            if before.get(name) != after.get(name)
        ]

    def to_json(self) -> dict[str, Any]:
        """The columns as plain values, with a digest of themselves."""
        return signed(
            {
                "format": FORMAT,
                "columns": {name: each.to_json() for name, each in self._each()},
                "labels": {name: each.to_json() for name, each in self.labels.items()},
                # A checkpoint sorts the keys of its metadata.
                "order": {"columns": list(self.columns), "labels": list(self.labels)},
                "joined": self.joined,
                "missing": list(self.missing),
                "joined_labels": self.joined_labels,
                "weights": self.weights,
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
        if plain["format"] not in (1, FORMAT):
            raise DataError(
                Diagnostic(
                    where,
                    f"has format {plain['format']}",
                    expected=f"a format up to {FORMAT}",
                    hint="Use the version of specflow that wrote it.",
                    code="table-state",
                )
            )
        columns, labels = plain["columns"], plain["labels"]
        order = plain.get("order", {"columns": columns, "labels": labels})
        return cls(
            columns={
                name: _KINDS[columns[name]["name"]].from_json(columns[name])
                for name in order["columns"]
            },
            labels={
                name: LabelColumn.from_json(labels[name]) for name in order["labels"]
            },
            joined=plain["joined"],
            missing=tuple(plain["missing"]),
            joined_labels=plain.get("joined_labels", False),
            weights=plain.get("weights"),
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


_MEANING = (
    "format",
    "columns",
    "labels",
    "joined",
    "missing",
    "joined_labels",
    "weights",
)
"""Keys that decide what features are made."""


def _check_names(known: Sequence[str], raw: Mapping[str, Any]) -> None:
    """Refuses missing and unknown columns, and values that are no columns."""
    diagnostics = [
        Diagnostic(
            name,
            "is missing" if name in known else "is no column of features",
            expected=f"the columns {', '.join(known)}",
            hint=did_you_mean(nearest(name, known)) if name not in known else "",
            code="table-request",
        )
        for name in [*known, *raw]
        if (name in known) != (name in raw)
    ]
    diagnostics += [
        Diagnostic(
            name,
            f"is {raw[name]!r}, which is no column",
            expected="one value for each row",
            hint=f"Write a list: [{raw[name]!r}].",
            code="table-request",
        )
        for name in known
        if name in raw and not _is_column(raw[name])
    ]
    if diagnostics:
        raise DataError(*diagnostics)


def _nested(column: CategoryColumn, values: Any) -> list[ColumnProblem]:
    """Lists and objects among categories; their texts may be ones that training had."""
    if isinstance(values, np.ndarray) and values.dtype != object:
        return []
    rows = [
        row
        for row, value in enumerate(values)
        if isinstance(value, _NESTED) and as_text(value) not in column.vocabulary
    ]
    expected = "one category: a text, a number or a boolean"
    return [ColumnProblem("", rows, expected)] if rows else []


def _is_column(values: Any) -> bool:
    """Whether there is a value for each row; the letters of a text are no rows."""
    if isinstance(values, str | bytes | Mapping):
        return False
    return isinstance(values, Iterable) and getattr(values, "ndim", 1) > 0


def _shown(value: Any) -> str:
    """A bad value as text; an image has millions of bytes."""
    text = repr(value[:_LONGEST] if isinstance(value, bytes) else value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _listed(values: Any) -> Any:
    """A one-dimensional array as it is, anything else as a list."""
    if isinstance(values, np.ndarray) and values.ndim == 1:
        return values
    return list(values)
