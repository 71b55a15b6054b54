"""A column of categories: texts as one-hot features or as indices."""

import collections
import dataclasses
import functools
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from specflow.columns.coded_texts import CodedTexts
from specflow.columns.column_problem import ColumnProblem
from specflow.columns.embedding import Embedding, default_size
from specflow.columns.fingerprint64 import bucket_of
from specflow.columns.one_hot import one_hot
from specflow.columns.raw_values import as_texts

__all__ = ["CategoryColumn"]

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class CategoryColumn:
    """Fitted preprocessing of categories.

    Indices are those of the vocabulary; then come the buckets of texts outside of it,
    by TensorFlow's hash; then, if it is one, the category of missing values. Without a
    vocabulary all indices are hash buckets, or the integers themselves (`identity`).

    >>> column = CategoryColumn.fit(["red", "blue", "red", ""], oov_buckets=1)
    >>> column.vocabulary, column.size
    (('red', 'blue'), 4)
    >>> column.indices(["blue", "green", ""])
    array([1, 2, 3], dtype=int32)
    """

    vocabulary: tuple[str, ...] = ()
    buckets: int = 1
    """Number of hash buckets of texts that are not in the vocabulary."""
    missing: Literal["own", "none", "error"] = "own"
    """A missing value has an index of its own, or is no category (index -1)."""
    encoding: Literal["one_hot", "embedding"] = "one_hot"
    embedding_size: int | None = None
    """Size of an embedding; None: the fourth root of the number of indices."""
    identity: int | None = None
    """Number of categories that are the integers from 0; None: they are texts."""
    default: int | None = None
    """Index of a value that is in neither the vocabulary nor the integers; None: that
    of a missing value, unless there are buckets."""
    missing_texts: tuple[str, ...] = ()
    """Texts of a missing value, beside the empty one."""
    max_norm: float | None = None
    """Largest norm of an embedding; None: unbounded."""
    shared: str | None = None
    """Name of an embedding that several columns share; None: one of its own."""
    sources: tuple[str, ...] = ()
    """The raw column; empty: it has the name of this one."""

    @classmethod
    def fit(
        cls,
        texts: Iterable[str] | Mapping[str, int],
        *,
        vocabulary: Sequence[str] | None = None,
        min_count: int = 1,
        max_size: int | None = None,
        hash_buckets: int | None = None,
        oov_buckets: int = 1,
        identity: int | None = None,
        missing: Literal["own", "none", "error"] | None = None,
        missing_texts: Collection[str] = (),
        encoding: Literal["one_hot", "embedding"] = "one_hot",
        **settings: Any,
    ) -> Self:
        """Fits the column to texts of the training split.

        Args:
            texts: empty where missing; or the number of rows of each text.
            vocabulary: in this order; None: the texts that occur, the most frequent
                first, and those that are equally frequent in the order of their code
                points.
            min_count: number of occurrences below which a text is left out.
            max_size: number of texts of the vocabulary; None: all.
            hash_buckets: number of hash buckets in place of a vocabulary.
            oov_buckets: number of hash buckets of other texts.
            identity: number of categories that are the integers from 0.
            missing: None: an index of its own if a training value is missing, or for
                an embedding; else no category, zeros.
            missing_texts: texts of a missing value, beside the empty one.
            encoding: one-hot features, or indices for an embedding.
            **settings: further fields, which are not fitted.
        """
        counts = collections.Counter(
            texts.counts() if isinstance(texts, CodedTexts) else texts
        )
        misses = counts.pop("", 0)
        misses += sum(counts.pop(text, 0) for text in missing_texts)
        if identity is not None:
            vocabulary, oov_buckets = (), 0
            misses += sum(
                count for text, count in counts.items() if (_integer(text) or 0) < 0
            )
        elif hash_buckets is not None:
            vocabulary, oov_buckets = (), hash_buckets
        elif vocabulary is None:
            ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
            kept = [text for text, count in ordered if count >= min_count]
            vocabulary = kept[:max_size]
        if missing is None:
            missing = "own" if misses or encoding == "embedding" else "none"
        return cls(
            vocabulary=tuple(vocabulary),
            buckets=oov_buckets,
            missing=missing,
            encoding=encoding,
            identity=identity,
            missing_texts=tuple(missing_texts),
            **settings,
        )

    @property
    def size(self) -> int:
        """Number of indices."""
        return self._missing_index + (self.missing == "own")

    @property
    def width(self) -> int:
        """Number of one-hot features of a row; 0 for indices."""
        return self.size if self.encoding == "one_hot" else 0

    @property
    def values_per_row(self) -> int:
        """Number of values of a row: features, or one index."""
        return self.width or 1

    @property
    def vector_size(self) -> int:
        """Size of an embedding."""
        return self.embedding_size or default_size(self.size)

    @property
    def embedding(self) -> Embedding | None:
        """The embedding of the indices; None for one-hot features."""
        if self.encoding == "one_hot":
            return None
        return Embedding(
            self.size, self.vector_size, max_norm=self.max_norm, shared=self.shared
        )

    def parse(
        self, values: Sequence[Any], missing: Collection[str] = ()
    ) -> tuple[list[str], list[ColumnProblem]]:
        """Texts of raw values, and the values that are no category.

        Args:
            values: of the raw column, alone in a sequence.
            missing: texts of a missing number, which are categories.
        """
        texts = as_texts(values[0])
        problems = []
        if bad := self.bad_rows(texts):
            problems.append(ColumnProblem("", bad, self.expected))
        return texts, problems

    @property
    def expected(self) -> str:
        """Description of valid values."""
        return "a category" if self.identity is None else "an integer, as identity says"

    @property
    def takes_all(self) -> bool:
        """True if every text is a category, or may be none."""
        return self.identity is None and self.missing != "error"

    def bad_rows(self, texts: Sequence[str]) -> list[int]:
        """Rows of values that are no category, or may not miss."""
        if self.takes_all:
            return []
        return np.flatnonzero(CodedTexts.of(texts).mapped(self._is_bad)).tolist()

    def present(self, texts: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Mask of texts that are not missing, "n"."""
        return ~CodedTexts.of(texts).mapped(self._is_missing).astype(np.bool_)

    def indices(self, texts: Sequence[str]) -> npt.NDArray[np.int32]:
        """Indices of texts, int32 "n"; -1 for a text that is no category."""
        return CodedTexts.of(texts).mapped(self._place).astype(np.int32)

    def apply(
        self, texts: Sequence[str]
    ) -> npt.NDArray[np.float32] | npt.NDArray[np.int32]:
        """Features of texts: one-hot, float32 "n size", or indices, int32 "n"."""
        places = self.indices(texts)
        return places if self.encoding == "embedding" else one_hot(places, self.size)

    def to_json(self) -> dict[str, Any]:
        """The column as plain values."""
        fields = dataclasses.asdict(self)
        listed = ("vocabulary", "missing_texts", "sources")
        return {"name": "category", **fields} | {
            key: list(fields[key]) for key in listed
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """The column of the result of `to_json`, of this or an earlier format."""
        fields = {key: value for key, value in plain.items() if key != "name"}
        for key in ("vocabulary", "missing_texts", "sources"):
            fields[key] = tuple(fields.get(key, ()))
        return cls(**fields)

    def __str__(self) -> str:
        several = "s" if self.buckets > 1 else ""
        buckets = f"{self.buckets} bucket{several} of others"
        parts = [
            f"{len(self.vocabulary)} categories" if self.vocabulary else "",
            f"integers below {self.identity}" if self.identity is not None else "",
            ""
            if not self.buckets
            else buckets
            if self.vocabulary
            else f"{self.buckets} hash bucket{several}",
            "missing" if self.missing == "own" else "",
            f"embedding of {self.vector_size}"
            + (f", shared as {self.shared}" if self.shared else "")
            if self.encoding == "embedding"
            else "one-hot",
        ]
        return ", ".join(filter(None, parts))

    @property
    def _missing_index(self) -> int:
        """Index of a missing value, if it has one: that after all others."""
        return len(self.vocabulary) + self.buckets + (self.identity or 0)

    @functools.cached_property
    def _places(self) -> dict[str, int]:
        """Text -> index, of the vocabulary and missing values."""
        places = {text: place for place, text in enumerate(self.vocabulary)}
        missing = self._missing_index if self.missing == "own" else -1
        return places | dict.fromkeys(("", *self.missing_texts), missing)

    def _is_missing(self, text: str) -> bool:
        if not text or text in self.missing_texts:
            return True
        return self.identity is not None and (_integer(text) or 0) < 0

    def _is_bad(self, text: str) -> bool:
        """True for a text that is no category, or that may not miss."""
        if self._is_missing(text):
            return self.missing == "error"
        if self.identity is None:
            return False
        integer = _integer(text)
        # Without a default, an integer out of range is a missing one.
        must_fit = self.missing == "error" and self.default is None
        return integer is None or (must_fit and integer >= self.identity)

    def _place(self, text: str) -> int:
        """Index of a text; -1 if it is no category."""
        place = self._places.get(text)
        if place is not None:
            return place
        if self.identity is not None:
            integer = _integer(text)
            if integer is None or integer < 0:
                return self._places[""]
            if integer < self.identity:
                return integer
            return self._places[""] if self.default is None else self.default
        if self.buckets:
            return len(self.vocabulary) + bucket_of(text, self.buckets)
        return -1 if self.default is None else self.default


def _integer(text: str) -> int | None:
    """The integer of its decimal digits; None for any other text."""
    return int(text) if _INTEGER.fullmatch(text.strip()) else None
