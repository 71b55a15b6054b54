"""A column with several items a row: sets of ids, bags of words, sequences."""

import collections
import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from specflow.columns.category_column import CategoryColumn
from specflow.columns.coded_texts import CodedTexts
from specflow.columns.column_problem import ColumnProblem
from specflow.columns.embedding import Combiner, Embedding
from specflow.columns.ragged import Padded, Ragged, filled, multi_hot, padded
from specflow.columns.raw_values import as_numbers, as_texts
from specflow.columns.tokenizer_file import TokenizerFile
from specflow.columns.tokenizers import Tokenizer, items_of, tokens_of

__all__ = ["ItemCounts", "SetColumn"]

BYTES = 256
"""Number of different bytes."""


@dataclasses.dataclass(slots=True)
class ItemCounts:
    """What a set is fitted to: counts that those of several blocks of rows add up to.

    >>> counts = ItemCounts()
    >>> counts.add(Ragged(CodedTexts.of("aba"), np.array([3, 0])))
    >>> counts.texts, counts.longest, counts.empty
    (Counter({'a': 2, 'b': 1}), 3, 1)
    """

    texts: collections.Counter[str] = dataclasses.field(
        default_factory=collections.Counter
    )
    """Number of occurrences of each item."""
    longest: int = 0
    """Number of items of the longest row."""
    empty: int = 0
    """Number of rows without an item."""

    def add(self, items: Ragged, present: npt.NDArray[np.bool_] | None = None) -> None:
        """Adds the items of a block of rows.

        Args:
            items: as `SetColumn.parse` returns them.
            present: mask of items that are not missing, "v"; None: all.
        """
        lengths = items.lengths
        if present is not None:
            lengths = np.bincount(items.rows[present], minlength=len(lengths))
        if isinstance(items.values, CodedTexts):
            self.texts.update(items.values.counts())
        self.longest = max(self.longest, int(lengths.max(initial=0)))
        self.empty += int((lengths == 0).sum())

    def merge(self, other: "ItemCounts") -> None:
        """Adds the counts of other rows."""
        self.texts.update(other.texts)
        self.longest = max(self.longest, other.longest)
        self.empty += other.empty


@dataclasses.dataclass(frozen=True, kw_only=True)
class SetColumn:
    """Fitted preprocessing of several items a row.

    Each item has the index that `items` gives it; items without one are left out. A
    row has the number of occurrences of each index (`one_hot`), or its indices, padded
    to `length`, for an embedding or as a sequence.

    >>> column = SetColumn(items=CategoryColumn(vocabulary=("red", "blue"), buckets=0,
    ...     missing="none"), length=2)
    >>> items, _ = column.parse([["red|red", ["blue"], None]])
    >>> column.apply(items)
    array([[2., 0.],
           [0., 1.],
           [0., 0.]], dtype=float32)
    """

    items: CategoryColumn
    """Indices of items, and their embedding. A row without an item has its index of
    missing values, if there is one."""
    separator: str = "|"
    """Separates the items of a text."""
    tokenizer: Tokenizer | None = None
    """Divides texts into tokens; None: values are lists, or separated items."""
    file: TokenizerFile | None = None
    """A trained tokenizer in place of `tokenizer`, whose tokens are indices."""
    lowercase: bool = False
    ngrams: int = 1
    encoding: Literal["one_hot", "embedding", "sequence"] = "one_hot"
    combiner: Combiner = "mean"
    """Reduction of the embeddings of a row."""
    length: int = 1
    """Number of indices a row, padded; longer rows lose the last ones."""
    binary: bool = False
    """One-hot features are 1, however often an index occurs."""
    sources: tuple[str, ...] = ()
    """The raw column, and that of the weights if there are any; empty: one of the name
    of this one."""

    @classmethod
    def fit(
        cls,
        counts: ItemCounts,
        *,
        max_length: int | None = None,
        items: Mapping[str, Any],
        **settings: Any,
    ) -> Self:
        """Fits the column to items of the training split.

        Args:
            counts: of the training rows.
            max_length: largest number of indices a row; None: that of the longest
                training row.
            items: arguments of `CategoryColumn.fit`.
            **settings: further fields, which are not fitted.
        """
        settings = {"encoding": "one_hot"} | settings
        texts = {text: count for text, count in counts.texts.items() if text}
        missing = items.get("missing")
        if missing is None:
            missing = (
                "own" if counts.empty and settings["encoding"] != "sequence" else "none"
            )
        index = CategoryColumn.fit(texts, **{**items, "missing": missing})
        longest = max(1, counts.longest)
        length = longest if max_length is None else min(longest, max_length)
        return cls(items=index, length=length, **settings)

    @property
    def size(self) -> int:
        """Number of indices."""
        return self.items.size

    @property
    def width(self) -> int:
        """Number of one-hot features of a row; 0 for indices."""
        return self.size if self.encoding == "one_hot" else 0

    @property
    def values_per_row(self) -> int:
        """Number of values of a row: features, or padded indices."""
        return self.width or self.length

    @property
    def embedding(self) -> Embedding | None:
        """The embedding of the indices; None without one."""
        if self.encoding != "embedding":
            return None
        return Embedding(
            self.size,
            self.items.vector_size,
            combiner=self.combiner,
            max_norm=self.items.max_norm,
            shared=self.items.shared,
        )

    def present(self, items: Ragged) -> npt.NDArray[np.bool_]:
        """Mask of items that are not missing, "v"."""
        if isinstance(items.values, CodedTexts):
            return self.items.present(items.values)
        return np.ones(len(items.values), np.bool_)

    def parse(
        self, values: Sequence[Sequence[Any]], missing: Collection[str] = ()
    ) -> tuple[Ragged, list[ColumnProblem]]:
        """Items of raw values, and the rows of bad ones.

        Args:
            values: of the raw column, and of the column of weights if there is one.
            missing: texts of a missing number, for weights.
        """
        problems: list[ColumnProblem] = []
        name = self.sources[0] if self.sources else ""
        if self.file is not None:
            items = self.file.encode(as_texts(values[0]))
        elif self.tokenizer is not None:
            texts = as_texts(values[0])
            items = tokens_of(
                texts, self.tokenizer, lowercase=self.lowercase, ngrams=self.ngrams
            )
        else:
            rows = [items_of(value, self.separator) for value in values[0]]
            lengths = np.array([len(row) for row in rows], np.int64)
            texts = CodedTexts.of(item for row in rows for item in row)
            items = Ragged(texts, lengths)
        if len(self.sources) > 1:
            weights, bad = self._weights(values[1], items.lengths, missing)
            items = Ragged(items.values, items.lengths, weights)
            if bad:
                expected = f"as many numbers as {name} has items"
                problems.append(ColumnProblem(self.sources[1], bad, expected))
        if isinstance(items.values, CodedTexts):
            wrong = self._bad_items(items)
            if wrong:
                problems.append(ColumnProblem(name, wrong, self.items.expected))
        if self.items.missing == "error":
            absent = np.flatnonzero(self.indices(items).lengths == 0).tolist()
            if absent:
                problems.append(ColumnProblem(name, absent, "at least one item"))
        return items, problems

    def indices(self, items: Ragged) -> Ragged:
        """Indices of items; those without one are left out, or -1 in a sequence."""
        keep = self.present(items)
        ids: npt.NDArray[Any]
        if isinstance(items.values, CodedTexts):
            ids = self.items.indices(items.values)
        else:
            ids = items.values.astype(np.int32)
        if self.encoding != "sequence":
            keep &= ids >= 0
        if items.weights is not None and self._prunes:
            keep &= items.weights > 0.0
        return Ragged(ids, items.lengths, items.weights).kept(keep)

    def apply(self, items: Ragged) -> npt.NDArray[np.float32] | Padded:
        """Features of items: counts, float32 "n size", or padded indices."""
        ids = self.indices(items)
        if self.items.missing == "own":
            ids = filled(ids, self.size - 1)
        if self.encoding != "one_hot":
            return padded(ids, self.length)
        features = multi_hot(ids, self.size)
        return np.minimum(features, np.float32(1.0)) if self.binary else features

    def to_json(self) -> dict[str, Any]:
        """The column as plain values."""
        fields = {
            field.name: getattr(self, field.name) for field in dataclasses.fields(self)
        }
        fields |= {"items": self.items.to_json(), "sources": list(self.sources)}
        # Absent without one, as in columns before there were any.
        file = fields.pop("file")
        if file is not None:
            fields["file"] = file.to_json()
        return {"name": "set" if self.tokenizer is None else "text", **fields}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """The column of the result of `to_json`."""
        fields = {key: value for key, value in plain.items() if key != "name"}
        fields["items"] = CategoryColumn.from_json(fields["items"])
        fields["sources"] = tuple(fields["sources"])
        if "file" in fields:
            fields["file"] = TokenizerFile.from_json(fields["file"])
        return cls(**fields)

    @property
    def package(self) -> str | None:
        """Package that parses raw values; None: NumPy alone."""
        return None if self.file is None else self.file.package

    def __str__(self) -> str:
        items = dataclasses.replace(self.items, encoding="one_hot")
        parts = [
            str(items).removesuffix(", one-hot").removesuffix("one-hot"),
            {"one_hot": "counts", "embedding": "", "sequence": "sequence"}[
                self.encoding
            ],
            f"embedding of {self.items.vector_size}, {self.combiner}"
            if self.encoding == "embedding"
            else "",
            f"shared as {self.items.shared}" if self.items.shared else "",
            f"tokenizer {self.file.digest[:8]}" if self.file is not None else "",
            "" if self.encoding == "one_hot" else f"{self.length} a row",
            f"weights from {self.sources[1]}" if len(self.sources) > 1 else "",
        ]
        return ", ".join(filter(None, parts))

    @property
    def _prunes(self) -> bool:
        """Weights that are not positive are left out, as TensorFlow does."""
        return self.encoding == "embedding" and self.combiner != "sum"

    def _bad_items(self, items: Ragged) -> list[int]:
        """Rows with an item that is no category."""
        if self.items.identity is None:
            return []
        settings = dataclasses.replace(self.items, missing="none")
        return np.unique(items.rows[settings.bad_rows(items.values)]).tolist()

    def _weights(
        self, values: Sequence[Any], lengths: npt.NDArray[np.int64], missing: Any
    ) -> tuple[npt.NDArray[np.float64], list[int]]:
        """Weights of all items, and rows whose weights do not suit their items."""
        bad: list[int] = []
        rows: list[npt.NDArray[np.float64]] = []
        for row, (value, length) in enumerate(
            zip(values, lengths.tolist(), strict=True)
        ):
            numbers, wrong = as_numbers(items_of(value, self.separator), missing)
            if wrong.size or np.isnan(numbers).any() or len(numbers) != length:
                bad.append(row)
                numbers = np.ones(length)
            rows.append(numbers)
        return np.concatenate([np.zeros(0), *rows]), bad
