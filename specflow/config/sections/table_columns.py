"""Declared columns of `data=table`: one section for each kind."""

import datetime
import itertools
from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from specflow.config.base import Config, UserPath
from specflow.config.broken_rules import Broken, refuse
from specflow.config.kinds import Elsewhere, Kinds, named

__all__ = [
    "CategoryColumnConfig",
    "ColumnConfig",
    "CrossColumnConfig",
    "DateColumnConfig",
    "NumberColumnConfig",
    "SetColumnConfig",
    "TextColumnConfig",
]


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
    size: int | None = Field(default=None, ge=1)
    """Number of numbers in a cell, a list or separated by `|`, each with features of
    its own; null: a cell is a number."""
    column: str | None = None
    """Column of the files; null: that of the key."""

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


class VocabularyColumnConfig(Config):
    """Fields of columns whose values are indices of categories, or of tokens."""

    vocabulary: list[str] | None = Field(default=None, min_length=1)
    """Categories or tokens, in this order; null: those of the training split, the most
    frequent first."""
    vocabulary_file: UserPath | None = None
    """Text file with a category or token a line, in place of `vocabulary`; null:
    none."""
    min_count: PositiveInt = 1
    """Number of occurrences in training rows below which a category or token is left
    out of the vocabulary."""
    max_size: PositiveInt | None = None
    """Size of the vocabulary, which has the most frequent ones; null: all."""
    hash_buckets: PositiveInt | None = None
    """Number of hash buckets in place of a vocabulary; null: none."""
    oov_buckets: NonNegativeInt = 1
    """Number of hash buckets of what is outside the vocabulary; 0: it is left out."""
    embedding_size: PositiveInt | None = None
    """Size of the embedding; null: fourth root of the number of indices."""
    max_norm: float | None = Field(default=None, gt=0.0)
    """Largest norm of an embedding; longer ones are scaled. null: unbounded."""
    shared: str | None = None
    """Name of an embedding that columns share, whose vocabulary has the values of all;
    null: one of its own."""
    column: str | None = None
    """Column of the files; null: that of the key."""


class CategoryColumnConfig(VocabularyColumnConfig):
    """Categories: texts, or integers in their place."""

    name: Literal["category"] = "category"
    identity: PositiveInt | None = None
    """Number of categories that are the integers from 0, in place of a vocabulary; a
    negative one is missing. null: categories are texts."""
    default: NonNegativeInt | None = None
    """Index of a category outside the vocabulary or the integers; null: none."""
    missing: Literal["own", "none", "error"] | None = None
    """Missing value: a category of its own, no category, or an error; null: a category
    of its own if one is missing in the training split, or for an embedding."""
    missing_texts: list[str] = []
    """Texts of a missing value, beside the empty one."""
    encoding: Literal["one_hot", "embedding"] = "one_hot"
    """One-hot features, or an index that the model embeds."""

    @model_validator(mode="after")
    def _indices_exist(self) -> Self:
        broken = _broken_vocabulary(self)
        if self.encoding == "embedding" and self.missing == "none":
            expected = "own or error: an embedding needs an index for every row"
            broken.append(Broken(("missing",), self.missing, expected))
        if (
            self.encoding == "embedding"
            and not self.oov_buckets
            and (self.hash_buckets, self.identity, self.default) == (None, None, None)
        ):
            expected = "at least 1: an embedding needs an index for every row"
            broken.append(Broken(("oov_buckets",), self.oov_buckets, expected))
        if self.identity is not None and self.encoding == "embedding":
            if self.missing == "error" and self.default is None:
                expected = (
                    "the index of integers past .identity: an embedding needs one"
                )
                broken.append(Broken(("default",), None, expected, ".identity"))
        refuse("CategoryColumnConfig", broken)
        return self


class SetColumnConfig(VocabularyColumnConfig):
    """Sets: several categories a row, in a list or a text with separators."""

    name: Literal["set"] = "set"
    separator: str = Field(default="|", min_length=1)
    """Separates the items of a text."""
    identity: PositiveInt | None = None
    """Number of categories that are the integers from 0, in place of a vocabulary; a
    negative one is missing. null: categories are texts."""
    default: NonNegativeInt | None = None
    """Index of a category outside the vocabulary or the integers; null: none."""
    weights: str | None = None
    """Column with a weight for each item; null: every weight is 1."""
    missing: Literal["own", "none", "error"] | None = None
    """Row without an item: an index of its own, none, or an error; null: an index of
    its own if a training row has none, unless the encoding is sequence."""
    missing_texts: list[str] = []
    """Texts of a missing item, beside the empty one."""
    encoding: Literal["one_hot", "embedding", "sequence"] = "one_hot"
    """Number of occurrences of each category, or sum of its weights; padded indices
    that the model embeds and combines; or padded indices in order, for a model of your
    own."""
    combiner: Literal["sum", "mean", "sqrtn"] = "mean"
    """Reduction of a row's embeddings: weighted sum; that over the sum of the weights;
    or over the root of the sum of their squares."""
    max_length: PositiveInt | None = None
    """Largest number of padded indices; further ones are left out. null: that of the
    longest training row."""

    @model_validator(mode="after")
    def _indices_exist(self) -> Self:
        refuse("SetColumnConfig", _broken_vocabulary(self))
        return self


class TextColumnConfig(VocabularyColumnConfig):
    """Texts: a bag of words, embedded tokens, or a sequence of tokens or bytes."""

    name: Literal["text"] = "text"
    tokenizer: Literal["words", "blanks", "characters", "bytes"] = "words"
    """Tokens: runs of letters and digits, what blanks separate, characters, or bytes of
    UTF-8, which need no vocabulary."""
    tokenizer_file: UserPath | None = None
    """File of a trained tokenizer, in place of `tokenizer` and a vocabulary: a
    `tokenizer.json` of Hugging Face's tokenizers, or a SentencePiece model; null:
    none."""
    lowercase: bool = True
    """Lower the texts first, unless there is a tokenizer_file."""
    ngrams: PositiveInt = 1
    """Largest number of successive tokens that are one; all from 1 on are."""
    max_size: PositiveInt | None = 1_000
    """Number of tokens of the vocabulary, the most frequent; null: all."""
    missing: Literal["own", "none", "error"] | None = None
    """Text without a token: an index of its own, none, or an error; null: an index of
    its own if a training row has none, unless the encoding is sequence."""
    encoding: Literal["one_hot", "embedding", "sequence"] = "one_hot"
    """Number of occurrences of each token; padded indices that the model embeds and
    combines; or padded indices in order, for a model of your own."""
    binary: bool = False
    """One-hot features are 1, however often a token occurs."""
    combiner: Literal["sum", "mean", "sqrtn"] = "mean"
    """Reduction of a text's embeddings."""
    max_length: PositiveInt | None = None
    """Largest number of padded indices; further ones are left out. null: that of the
    longest training row."""

    @model_validator(mode="after")
    def _tokens_suit(self) -> Self:
        broken = _broken_vocabulary(self)
        because, known = ".tokenizer", "null: .tokenizer=bytes has 256 tokens"
        if self.tokenizer_file is not None:
            because, known = ".tokenizer_file", "null: .tokenizer_file has its tokens"
            if self.tokenizer != "words":
                expected = "words, the default, as .tokenizer_file replaces it"
                broken.append(Broken(("tokenizer",), self.tokenizer, expected, because))
        if self.tokenizer == "bytes" or self.tokenizer_file is not None:
            for field in ("vocabulary", "vocabulary_file", "hash_buckets"):
                if (value := getattr(self, field)) is not None:
                    broken.append(Broken((field,), value, known, because))
            if self.ngrams > 1:
                expected = "1, as of .tokenizer=bytes"
                if self.tokenizer_file is not None:
                    expected = "1, as .tokenizer_file is no list of words"
                broken.append(Broken(("ngrams",), self.ngrams, expected, because))
        refuse("TextColumnConfig", broken)
        return self


class DateColumnConfig(Config):
    """Dates and times: parts of the calendar and the clock."""

    name: Literal["date"] = "date"
    parts: (
        list[
            Literal[
                "year",
                "quarter",
                "month",
                "week",
                "day",
                "weekday",
                "day_of_year",
                "hour",
                "minute",
                "second",
            ]
        ]
        | None
    ) = None
    """Parts that are features; null: year, month, day and weekday, and the hour if a
    training time has one."""
    encoding: Literal["cyclic", "one_hot", "standardize"] = "cyclic"
    """Parts with a period: sine and cosine, one-hot, or numbers of mean 0 and variance
    1, as a year always is. Weekdays begin with Monday, weeks are those of ISO 8601."""
    since: str | None = None
    """Date from which days are counted, as a further feature of mean 0 and variance 1;
    null: none."""
    zone: str = "UTC"
    """Time zone whose clock is read. Times with a zone or an offset are converted to
    it; others are taken as they are."""
    format: str | None = Field(default=None, min_length=1)
    """Format of texts, such as `%d.%m.%Y`; `unix` or `unix_ms`: numbers of seconds or
    milliseconds since 1970; null: ISO 8601."""
    missing: Literal["zero", "error"] = "zero"
    """A missing time has features of 0, or is an error."""
    indicator: bool | None = None
    """Add a feature that is 1 where the time is missing; null: if one is missing in the
    training split."""
    column: str | None = None
    """Column of the files; null: that of the key."""

    @model_validator(mode="after")
    def _has_features(self) -> Self:
        broken: list[Broken] = []
        parts = self.parts or []
        if self.parts == [] and self.since is None:
            expected = "at least one part, or null, unless .since is a date"
            broken.append(Broken(("parts",), [], expected, ".since"))
        if len(set(parts)) < len(parts):
            broken.append(Broken(("parts",), parts, "different parts"))
        try:
            datetime.datetime.fromisoformat(self.since or "2000-01-01")
        except ValueError:
            expected = "a date, such as 2020-01-01"
            broken.append(Broken(("since",), self.since, expected))
        refuse("DateColumnConfig", broken)
        return self


class CrossColumnConfig(Config):
    """Crosses: hash buckets of the combinations of the values of several columns."""

    name: Literal["cross"] = "cross"
    of: list[str] = Field(min_length=2)
    """Columns: the index of a declared category, set, bucket or part of a date; the
    text or integer of any other column of the files, of which a missing one is a value
    like others."""
    hash_buckets: PositiveInt
    """Number of hash buckets; TensorFlow's hash."""
    hash_key: NonNegativeInt | None = None
    """Seed of the hash; null or 0: TensorFlow's."""
    missing: Literal["own", "none", "error"] | None = None
    """Row in which a declared part is missing: an index of its own, zeros, or an error;
    null: an index of its own for an embedding, else zeros."""
    encoding: Literal["one_hot", "embedding"] = "one_hot"
    """One-hot features, or an index that the model embeds."""
    combiner: Literal["sum", "mean", "sqrtn"] = "mean"
    """Reduction of the embeddings of several combinations, where a part is a set."""
    max_length: PositiveInt | None = None
    """Largest number of padded indices, where a part is a set; null: that of the
    longest training row."""
    embedding_size: PositiveInt | None = None
    """Size of the embedding; null: fourth root of the number of buckets."""
    max_norm: float | None = Field(default=None, gt=0.0)
    """Largest norm of an embedding; longer ones are scaled. null: unbounded."""

    @model_validator(mode="after")
    def _parts_differ(self) -> Self:
        broken: list[Broken] = []
        if len(set(self.of)) < len(self.of):
            broken.append(Broken(("of",), self.of, "different columns"))
        refuse("CrossColumnConfig", broken)
        return self


def _broken_vocabulary(section: VocabularyColumnConfig) -> list[Broken]:
    """Rules that every kind with indices of categories has."""
    broken: list[Broken] = []
    words = section.vocabulary or []
    if len(set(words)) < len(words) or "" in words:
        broken.append(
            Broken(("vocabulary",), words, "different texts, none of them empty")
        )
    indices = ("vocabulary", "vocabulary_file", "identity", "hash_buckets")
    given = [name for name in indices if getattr(section, name, None) is not None]
    for name in given[1:]:
        lists = "lists" if given[0].startswith("vocabulary") else "numbers"
        expected = f"null, as .{given[0]} {lists} the categories"
        value = getattr(section, name)
        broken.append(Broken((name,), value, expected, f".{given[0]}"))
    default = getattr(section, "default", None)
    if default is not None:
        if section.hash_buckets is not None:
            expected = "null: every category has one of .hash_buckets"
            broken.append(Broken(("default",), default, expected, ".hash_buckets"))
        elif getattr(section, "identity", None) is None and section.oov_buckets:
            expected = "0, as .default is the index of other categories"
            value = section.oov_buckets
            broken.append(Broken(("oov_buckets",), value, expected, ".default"))
        size = getattr(section, "identity", None) or len(words)
        if size and default >= size:
            expected = f"an index below {size}, the number of categories"
            broken.append(Broken(("default",), default, expected))
    encoding = getattr(section, "encoding", None)
    if section.shared is not None and encoding != "embedding":
        expected = "embedding, as .shared names one"
        broken.append(Broken(("encoding",), encoding, expected, ".shared"))
    return broken


ColumnConfig = Annotated[
    Config | str,
    Kinds(
        named(
            NumberColumnConfig,
            CategoryColumnConfig,
            SetColumnConfig,
            TextColumnConfig,
            DateColumnConfig,
            CrossColumnConfig,
            Elsewhere("specflow.config.sections.image_column", "image"),
        ),
        words=("ignore",),
    ),
]
"""A declared column: the name of a kind, a section with that name, or `ignore`."""
