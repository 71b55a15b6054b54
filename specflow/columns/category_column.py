"""A column of categories: texts as one-hot features or as indices."""

import collections
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from specflow.columns.coded_texts import CodedTexts
from specflow.columns.fingerprint64 import bucket_of
from specflow.columns.one_hot import one_hot

__all__ = ["CategoryColumn"]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class CategoryColumn:
    """Fitted preprocessing of categories.

    Indices are those of the vocabulary; then come the buckets of texts outside of it,
    by TensorFlow's hash; then, if it is one, the category of missing values. Without a
    vocabulary all indices are hash buckets.

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
        missing: Literal["own", "none", "error"] | None = None,
        encoding: Literal["one_hot", "embedding"] = "one_hot",
        embedding_size: int | None = None,
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
            missing: None: an index of its own if a training value is missing, or for
                an embedding; else no category, zeros.
            encoding: one-hot features, or indices for an embedding.
            embedding_size: None: from the number of indices.
        """
        counts = collections.Counter(
            texts.counts() if isinstance(texts, CodedTexts) else texts
        )
        misses = counts.pop("", 0)
        if hash_buckets is not None:
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
            embedding_size=embedding_size,
        )

    @property
    def size(self) -> int:
        """Number of indices."""
        return len(self.vocabulary) + self.buckets + (self.missing == "own")

    @property
    def width(self) -> int:
        """Number of one-hot features of a row; 0 for indices."""
        return self.size if self.encoding == "one_hot" else 0

    @property
    def vector_size(self) -> int:
        """Size of an embedding."""
        return self.embedding_size or max(1, round(self.size**0.25))

    def indices(self, texts: Sequence[str]) -> npt.NDArray[np.int32]:
        """Indices of texts, int32 "n"; -1 for a text that is no category."""
        known = {text: place for place, text in enumerate(self.vocabulary)}
        known[""] = self.size - 1 if self.missing == "own" else -1
        first, buckets = len(self.vocabulary), self.buckets

        def index(text: str) -> int:
            place = known.get(text)
            if place is None:
                place = first + bucket_of(text, buckets) if buckets else -1
            return place

        return CodedTexts.of(texts).mapped(index).astype(np.int32)

    def apply(
        self, texts: Sequence[str]
    ) -> npt.NDArray[np.float32] | npt.NDArray[np.int32]:
        """Features of texts: one-hot, float32 "n size", or indices, int32 "n"."""
        places = self.indices(texts)
        if self.encoding == "embedding":
            return places
        return one_hot(places, self.size)

    def to_json(self) -> dict[str, Any]:
        """The column as plain values."""
        return {
            "name": "category",
            **dataclasses.asdict(self),
            "vocabulary": list(self.vocabulary),
        }

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Self:
        """The column of the result of `to_json`."""
        fields = {key: value for key, value in plain.items() if key != "name"}
        return cls(**{**fields, "vocabulary": tuple(fields["vocabulary"])})

    def __str__(self) -> str:
        several = "s" if self.buckets > 1 else ""
        parts = [
            f"{len(self.vocabulary)} categories" if self.vocabulary else "",
            ""
            if not self.buckets
            else f"{self.buckets} bucket{several} of others"
            if self.vocabulary
            else f"{self.buckets} hash bucket{several}",
            "missing" if self.missing == "own" else "",
            f"embedding of {self.vector_size}"
            if self.encoding == "embedding"
            else "one-hot",
        ]
        return ", ".join(filter(None, parts))
