"""Declared columns of `data=table`: one section for each kind."""

import itertools
from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from specflow.config.base import Config
from specflow.config.broken_rules import Broken, refuse
from specflow.config.kinds import Kinds, named

__all__ = ["CategoryColumnConfig", "ColumnConfig", "NumberColumnConfig"]


class NumberColumnConfig(Config):
    """Numbers: filled, clipped, transformed, then scaled or put into buckets."""

    name: Literal["number"] = "number"
    scale: Literal["standardize", "minmax", "none"] = "standardize"
    """Scaling by the training split: to mean 0 and variance 1, to [0, 1], or none."""
    clip: list[float | None] = Field(default=[None, None], min_length=2, max_length=2)
    """Smallest and largest number; null: unbounded."""
    transform: Literal["log", "log1p"] | None = None
    """Natural logarithm of the number, or of one more than it; null: none."""
    buckets: list[float] | None = Field(default=None, min_length=1)
    """Ascending boundaries of one-hot buckets, left-closed; null: no buckets."""
    quantiles: int | None = Field(default=None, ge=2)
    """Number of one-hot buckets with equally many training numbers; null: none."""
    missing: Literal["mean", "median", "error"] | float = "mean"
    """Fill for a missing number: mean or median of the training split, or a number."""
    indicator: bool | None = None
    """Add a feature that is 1 where the number is missing; null: if one is missing in
    the training split."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        broken: list[Broken] = []
        low, high = self.clip
        if low is not None and high is not None and low >= high:
            expected = "a smallest number below the largest"
            broken.append(Broken(("clip",), self.clip, expected))
        edges = self.buckets or []
        if any(a >= b for a, b in itertools.pairwise(edges)):
            broken.append(Broken(("buckets",), edges, "ascending boundaries"))
        if self.buckets is not None and self.quantiles is not None:
            expected = "null, as .buckets gives the boundaries"
            broken.append(
                Broken(("quantiles",), self.quantiles, expected, beside=".buckets")
            )
        refuse("NumberColumnConfig", broken)
        return self


class CategoryColumnConfig(Config):
    """Categories: texts, or integers in their place."""

    name: Literal["category"] = "category"
    vocabulary: list[str] | None = Field(default=None, min_length=1)
    """Categories, in this order; null: those of the training split, the most frequent
    first."""
    min_count: PositiveInt = 1
    """Number of training rows below which a category is left out of the vocabulary."""
    max_size: PositiveInt | None = None
    """Number of categories of the vocabulary, the most frequent; null: all."""
    hash_buckets: PositiveInt | None = None
    """Number of hash buckets in place of a vocabulary; null: none."""
    oov_buckets: NonNegativeInt = 1
    """Number of hash buckets of categories outside the vocabulary; 0: they are no
    category."""
    missing: Literal["own", "none", "error"] | None = None
    """Missing value: a category of its own, no category, or an error; null: a category
    of its own if one is missing in the training split, or for an embedding."""
    encoding: Literal["one_hot", "embedding"] = "one_hot"
    """One-hot features, or an index that the model embeds."""
    embedding_size: PositiveInt | None = None
    """Size of the embedding; null: fourth root of the number of categories."""

    @model_validator(mode="after")
    def _indices_exist(self) -> Self:
        broken: list[Broken] = []
        if self.encoding == "embedding" and self.missing == "none":
            expected = "own or error: an embedding needs an index for every row"
            broken.append(Broken(("missing",), self.missing, expected))
        if (
            self.encoding == "embedding"
            and not self.oov_buckets
            and self.hash_buckets is None
        ):
            expected = "at least 1: an embedding needs an index for every row"
            broken.append(Broken(("oov_buckets",), self.oov_buckets, expected))
        words = self.vocabulary or []
        if len(set(words)) < len(words) or "" in words:
            broken.append(
                Broken(("vocabulary",), words, "different texts, none of them empty")
            )
        if self.vocabulary is not None and self.hash_buckets is not None:
            expected = "null, as .vocabulary lists the categories"
            broken.append(
                Broken(("hash_buckets",), self.hash_buckets, expected, ".vocabulary")
            )
        refuse("CategoryColumnConfig", broken)
        return self


ColumnConfig = Annotated[
    Config | str,
    Kinds(named(NumberColumnConfig, CategoryColumnConfig), words=("ignore",)),
]
"""A declared column: `number`, `category`, a section with that name, or `ignore`."""
