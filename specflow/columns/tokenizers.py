"""Divides texts into items: by a separator, into words, characters or bytes."""

import re
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np

from specflow.columns.coded_texts import CodedTexts
from specflow.columns.ragged import Ragged
from specflow.columns.raw_values import as_text, as_texts

__all__ = ["Tokenizer", "items_of", "tokens_of"]

Tokenizer: TypeAlias = Literal["words", "blanks", "characters", "bytes"]
_WORD = re.compile(r"\w+")


def items_of(value: Any, separator: str) -> list[str]:
    """Items of the raw value of a set: those of a list, or of a text.

    Items of a text are stripped of blanks; empty items are kept, as weights belong to
    places.

    >>> items_of("red| blue", "|"), items_of([3, None], "|"), items_of(None, "|")
    (['red', 'blue'], ['3', ''], [])
    """
    if isinstance(value, str):
        if not value.strip():
            return []
        return [item.strip() for item in value.split(separator)]
    if isinstance(value, list | tuple | np.ndarray):
        return as_texts(value)
    text = as_text(value)
    return [text] if text else []


def tokens_of(
    texts: Sequence[str], tokenizer: Tokenizer, *, lowercase: bool, ngrams: int
) -> Ragged:
    """Tokens of texts.

    Args:
        texts: empty where missing.
        tokenizer: `words`: runs of letters, digits and underscores; `blanks`: what
            blanks separate; `characters`; or `bytes` of UTF-8, as uint8.
        lowercase: lower the texts first.
        ngrams: largest number of successive words or characters of a token; all from 1
            on are tokens.

    >>> list(tokens_of(["To be!", ""], "words", lowercase=True, ngrams=2).values)
    ['to', 'be', 'to be']
    """
    if lowercase:
        texts = [text.lower() for text in texts]
    if tokenizer == "bytes":
        encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
        lengths = np.array([len(each) for each in encoded], np.int64)
        return Ragged(np.frombuffer(b"".join(encoded), np.uint8), lengths)
    split = _SPLITS[tokenizer]
    rows = [split(text) for text in texts]
    if ngrams > 1:
        glue = "" if tokenizer == "characters" else " "
        rows = [_with_ngrams(row, ngrams, glue) for row in rows]
    lengths = np.array([len(row) for row in rows], np.int64)
    return Ragged(CodedTexts.of(token for row in rows for token in row), lengths)


_SPLITS: dict[str, Callable[[str], list[str]]] = {
    "words": _WORD.findall,
    "blanks": str.split,
    "characters": list,
}


def _with_ngrams(tokens: list[str], most: int, glue: str) -> list[str]:
    return [
        glue.join(tokens[start : start + size])
        for size in range(1, most + 1)
        for start in range(len(tokens) - size + 1)
    ]
