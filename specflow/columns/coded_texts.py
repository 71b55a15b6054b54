"""Texts of a column, as a code of each row and the text of each code."""

import collections
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Self, overload

import numpy as np
import numpy.typing as npt

__all__ = ["CodedTexts"]


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class CodedTexts(Sequence[str]):
    """A sequence of texts whose work is done once for each different text.

    >>> texts = CodedTexts.of(["b", "a", "b"])
    >>> texts[2], list(texts), texts.counts()
    ('b', ['b', 'a', 'b'], Counter({'b': 2, 'a': 1}))
    >>> texts.mapped(len)
    array([1, 1, 1])
    """

    codes: npt.NDArray[np.integer[Any]]
    """Index into `texts` of each row, "n"."""
    texts: Sequence[str]
    """Different texts; some may not occur."""

    @classmethod
    def of(cls, texts: Iterable[str]) -> Self:
        """The texts in coded form."""
        if isinstance(texts, cls):
            return texts
        known: dict[str, int] = {}
        codes = [known.setdefault(text, len(known)) for text in texts]
        return cls(np.array(codes, np.int64), list(known))

    @classmethod
    def merged(cls, codes: npt.NDArray[np.integer[Any]], texts: Sequence[str]) -> Self:
        """The texts of codes of which several may mean the same text.

        >>> CodedTexts.merged(np.array([0, 1]), ["7", "7"]).texts
        ['7']
        """
        places = cls.of(texts)
        if len(places.texts) == len(texts):
            return cls(codes, texts)
        return cls(places.codes[codes], places.texts)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """The texts of parts, part after part.

        >>> list(CodedTexts.joined([CodedTexts.of("ab"), CodedTexts.of("ba")]))
        ['a', 'b', 'b', 'a']
        """
        if len(parts) == 1:
            return parts[0]
        texts = [text for part in parts for text in part.texts]
        firsts = np.cumsum([0, *(len(part.texts) for part in parts)])[:-1]
        codes = [part.codes + first for part, first in zip(parts, firsts, strict=True)]
        return cls.merged(np.concatenate(codes), texts)

    def __len__(self) -> int:
        return len(self.codes)

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> "CodedTexts": ...
    def __getitem__(self, row: Any) -> Any:
        if isinstance(row, slice):
            return CodedTexts(self.codes[row], self.texts)
        return self.texts[int(self.codes[row])]

    def __iter__(self) -> Iterator[str]:
        return map(list(self.texts).__getitem__, self.codes.tolist())

    def take(self, rows: npt.NDArray[np.integer[Any]]) -> "CodedTexts":
        """The texts of some rows."""
        return CodedTexts(self.codes.take(rows), self.texts)

    def counts(self) -> "collections.Counter[str]":
        """Number of rows of each text that occurs."""
        numbers = np.bincount(self.codes, minlength=len(self.texts)).tolist()
        pairs = zip(self.texts, numbers, strict=True)
        return collections.Counter({text: count for text, count in pairs if count})

    def mapped(self, function: Callable[[str], Any]) -> npt.NDArray[Any]:
        """The value of a function for each row, called once a text."""
        return self.mapped_all([function(text) for text in self.texts])

    def mapped_all(self, values: Sequence[Any]) -> npt.NDArray[Any]:
        """The value of each row, of a value for each of `texts`."""
        return np.array(values)[self.codes] if len(self) else np.array(values)[:0]
