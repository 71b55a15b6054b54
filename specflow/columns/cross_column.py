"""A column of crosses: the combinations of the values of several columns, hashed."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from specflow.columns.category_column import CategoryColumn
from specflow.columns.coded_texts import CodedTexts
from specflow.columns.column_problem import ColumnProblem
from specflow.columns.date_column import DateColumn
from specflow.columns.embedding import Combiner, Embedding, default_size
from specflow.columns.fingerprint64 import joined_fingerprints, text_fingerprint
from specflow.columns.number_column import NumberColumn
from specflow.columns.one_hot import one_hot
from specflow.columns.ragged import (
    Padded,
    Ragged,
    filled,
    multi_hot,
    padded,
)
from specflow.columns.set_column import SetColumn

__all__ = ["HASH_KEY", "CrossColumn", "CrossPart"]

HASH_KEY = 0xDECAFCAFFE
"""TensorFlow's default, the hash of no column."""

Indexed: TypeAlias = NumberColumn | CategoryColumn | SetColumn | DateColumn
_KINDS: dict[str, type[Indexed]] = {
    "number": NumberColumn,
    "category": CategoryColumn,
    "set": SetColumn,
    "text": SetColumn,
    "date": DateColumn,
}


@dataclasses.dataclass(frozen=True, slots=True)
class CrossPart:
    """One column of a cross."""

    by: Literal["text", "integer", "index"]
    """What is hashed: texts, of which a missing one is like any other; integers, -1 for
    a missing one; or the indices of the column, none for a missing value."""
    column: Indexed
    """Makes texts and indices of raw values; its `sources` name their columns."""

    @property
    def is_sparse(self) -> bool:
        """True for indices and several values a row, a sparse tensor in TensorFlow."""
        return self.by == "index" or isinstance(self.column, SetColumn)

    def hashes(self, parsed: Any) -> Ragged:
        """Hash of each value of a row, uint64."""
        column = self.column
        if isinstance(column, NumberColumn | DateColumn):
            ids = column.indices(parsed)
            ones = (ids >= 0).astype(np.int64)
            return Ragged(ids[ids >= 0].astype(np.int64).view(np.uint64), ones)
        index = column.items if isinstance(column, SetColumn) else column
        if not isinstance(parsed, Ragged):
            parsed = Ragged(parsed, np.ones(len(parsed), np.int64))
        values = parsed.values
        if isinstance(values, np.ndarray):  # Bytes, which are their own indices.
            return Ragged(values.astype(np.uint64), parsed.lengths)
        if self.by == "index":
            hashed = index.indices(values).astype(np.int64).view(np.uint64)
            keep = index.present(values)
            if column is index and index.missing == "own":
                keep[:] = True  # Its index is one like any other.
            return Ragged(hashed, parsed.lengths).kept(keep)
        if self.by == "integer":
            integers = CodedTexts.of(values).mapped(_integer_or_missing)
            hashed = integers.astype(np.int64).view(np.uint64)
        else:
            texts = CodedTexts.of(values)
            # NumPy would make float64 of integers on both sides of 2**63.
            known = np.array(
                [text_fingerprint(text) for text in texts.texts], np.uint64
            )
            hashed = known[texts.codes]
        return Ragged(hashed, parsed.lengths)

    def to_json(self) -> dict[str, Any]:
        """The part as plain values."""
        return {"by": self.by, "column": self.column.to_json()}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """The part of the result of `to_json`."""
        column = plain["column"]
        return cls(plain["by"], _KINDS[column["name"]].from_json(column))


@dataclasses.dataclass(frozen=True, kw_only=True)
class CrossColumn:
    """Fitted preprocessing of the combinations of columns.

    A row has the hash bucket of each combination of its values, as
    `tf.feature_column.crossed_column` has.

    >>> texts = [CategoryColumn(sources=(name,)) for name in ("color", "size")]
    >>> cross = CrossColumn(
    ...     parts=tuple(CrossPart("text", text) for text in texts), buckets=20
    ... )
    >>> parsed, _ = cross.parse([["red", "green"], ["x", "y"]])
    >>> cross.indices(parsed).values
    array([0, 8])
    """

    parts: tuple[CrossPart, ...]
    buckets: int
    hash_key: int = HASH_KEY
    missing: Literal["own", "none", "error"] = "none"
    """A row without a combination has an index of its own, or zeros."""
    encoding: Literal["one_hot", "embedding"] = "one_hot"
    embedding_size: int | None = None
    """Size of an embedding; None: the fourth root of the number of indices."""
    combiner: Combiner = "mean"
    max_norm: float | None = None
    shared: str | None = None
    length: int | None = None
    """Number of indices a row, padded; None: one, as no part has several values."""

    @property
    def sources(self) -> tuple[str, ...]:
        """The raw columns of all parts, in their order."""
        names = [name for part in self.parts for name in part.column.sources]
        return tuple(dict.fromkeys(names))

    @property
    def size(self) -> int:
        """Number of indices."""
        return self.buckets + (self.missing == "own")

    @property
    def width(self) -> int:
        """Number of one-hot features of a row; 0 for indices."""
        return self.size if self.encoding == "one_hot" else 0

    @property
    def values_per_row(self) -> int:
        """Number of values of a row: features, or padded indices."""
        return self.width or self.length or 1

    @property
    def embedding(self) -> Embedding | None:
        """The embedding of the indices; None for one-hot features."""
        if self.encoding == "one_hot":
            return None
        return Embedding(
            self.size,
            self.embedding_size or default_size(self.size),
            combiner=self.combiner,
            max_norm=self.max_norm,
            shared=self.shared,
        )

    def parse(
        self, values: Sequence[Sequence[Any]], missing: Collection[str] = ()
    ) -> tuple[list[Any], list[ColumnProblem]]:
        """Parsed values of each part, and the rows of bad ones.

        Args:
            values: of the columns of `sources`.
            missing: texts of a missing number.
        """
        by_name = dict(zip(self.sources, values, strict=True))
        parsed: list[Any] = []
        problems: list[ColumnProblem] = []
        for part in self.parts:
            column = part.column
            raw = [by_name[name] for name in column.sources]
            made: Any
            made, wrong = column.parse(raw, missing)
            parsed.append(made)
            problems += [
                dataclasses.replace(each, source=each.source or column.sources[0])
                for each in wrong
            ]
            if part.by == "integer" and isinstance(column, CategoryColumn):
                is_other = CodedTexts.of(made).mapped(
                    lambda text: _integer(text) is None
                )
                wrong_rows = is_other.astype(np.bool_) & column.present(made)
                if bad := np.flatnonzero(wrong_rows).tolist():
                    expected = "an integer of 64 bits, as the training rows have"
                    problems.append(ColumnProblem(column.sources[0], bad, expected))
        if self.missing == "error" and not problems:
            absent = np.flatnonzero(self.indices(parsed).lengths == 0).tolist()
            if absent:
                source = self.sources[0]
                expected = "a value in every column of the cross"
                problems.append(ColumnProblem(source, absent, expected))
        return parsed, problems

    def indices(self, parsed: Sequence[Any]) -> Ragged:
        """Buckets of all combinations of each row."""
        rows = (
            len(parsed[0])
            if not isinstance(parsed[0], Ragged)
            else len(parsed[0].lengths)
        )
        key = np.full(rows, self.hash_key, np.uint64)
        crossed = Ragged(key, np.ones(rows, np.int64))
        pairs = list(zip(self.parts, parsed, strict=True))
        # As in TensorFlow, whose kernel has sparse tensors before dense ones.
        pairs.sort(key=lambda pair: not pair[0].is_sparse)
        for part, made in pairs:
            crossed = _product(crossed, part.hashes(made))
        buckets = (crossed.values % np.uint64(self.buckets)).astype(np.int64)
        return Ragged(buckets, crossed.lengths)

    def apply(
        self, parsed: Sequence[Any]
    ) -> npt.NDArray[np.float32] | npt.NDArray[np.int32] | Padded:
        """Features of parsed values: counts, or indices, padded if a part is a set."""
        ids = self.indices(parsed)
        if self.length is not None:
            if self.missing == "own":
                ids = filled(ids, self.size - 1)
            if self.encoding == "embedding":
                return padded(ids, self.length)
            return multi_hot(ids, self.size)
        flat = np.full(len(ids.lengths), self.size - 1 if self.missing == "own" else -1)
        flat[ids.rows] = ids.values
        if self.encoding == "embedding":
            return flat.astype(np.int32)
        return one_hot(flat, self.size)

    def to_json(self) -> dict[str, Any]:
        """The column as plain values."""
        fields = {
            field.name: getattr(self, field.name) for field in dataclasses.fields(self)
        }
        return {
            "name": "cross",
            **fields,
            "parts": [part.to_json() for part in self.parts],
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """The column of the result of `to_json`."""
        fields = {key: value for key, value in plain.items() if key != "name"}
        parts = tuple(CrossPart.from_json(part) for part in fields.pop("parts"))
        return cls(parts=parts, **fields)

    def __str__(self) -> str:
        embedding = self.embedding
        parts = [
            f"{' x '.join(self.sources)}: {self.buckets} hash buckets",
            "missing" if self.missing == "own" else "",
            "one-hot" if embedding is None else f"embedding of {embedding.size}",
            f"{self.length} a row" if self.length and embedding else "",
        ]
        return ", ".join(filter(None, parts))


def _product(first: Ragged, second: Ragged) -> Ragged:
    """Joined hashes of all pairs of values of each row, by the first value first."""
    lengths = first.lengths * second.lengths
    rows = np.repeat(np.arange(len(lengths)), lengths)
    places = np.arange(len(rows)) - (np.cumsum(lengths) - lengths)[rows]
    per_first = second.lengths[rows]
    starts = [np.cumsum(each.lengths) - each.lengths for each in (first, second)]
    left = first.values[starts[0][rows] + places // np.maximum(per_first, 1)]
    right = second.values[starts[1][rows] + places % np.maximum(per_first, 1)]
    return Ragged(joined_fingerprints(left, right), lengths)


def _integer_or_missing(text: str) -> int:
    """An integer, as TensorFlow has it: -1 where it is missing."""
    integer = _integer(text)
    return -1 if integer is None else integer


def _integer(text: str) -> int | None:
    """An integer of 64 bits; None for any other text."""
    try:
        integer = int(text)
    except ValueError:
        return None
    return integer if -(2**63) <= integer < 2**63 else None
