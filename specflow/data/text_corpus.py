"""A corpus of documents as windows of bytes or tokens, to predict the next one."""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from specflow.columns import TokenizerFile
from specflow.config.sections.data_sources import TextConfig
from specflow.data.holdout import held_out_rows
from specflow.data.source import Rows, RowSpec, unknown_array
from specflow.data.text_documents import Document, read_documents
from specflow.data.tokenized_documents import tokenized
from specflow.diagnostics.errors import DataError, Diagnostic

__all__ = ["CorpusSource", "corpus", "whole_corpus"]

_KEY = "data.files"
_BLOCK = 4096
"""Windows that are read at once."""


class CorpusSource:
    """Windows of the bytes or tokens of documents, one after another.

    Window i has tokens `stream[i*t : i*t + t]` and labels one later: every one but the
    first, and those of an unfinished last window, is predicted once. Large documents
    stay on disk: a window is read when it is taken.

    Args:
        documents: their bytes; none is empty.
        length: t, tokens a window.
        separator: byte or token after each document; None: none.
        tokenizer: of the tokens; None: they are bytes.

    Raises:
        DataError: there are fewer than t + 1 bytes or tokens.

    >>> documents = [Document("a", b"abc"), Document("b", b"defg")]
    >>> source = CorpusSource(documents, 3, separator=0)
    >>> features, labels = source.take(np.array([1]))
    >>> features["tokens"].tolist(), labels.tolist(), source.place(1)
    ([[0, 100, 101]], [[100, 101, 102]], 'a, byte 3')
    """

    def __init__(
        self,
        documents: Sequence[Document],
        length: int,
        *,
        separator: int | None,
        tokenizer: TokenizerFile | None = None,
    ):
        contents = [each.content for each in documents]
        self._unit = "byte" if tokenizer is None else "token"
        self._texts: Sequence[npt.NDArray[Any]] = (
            [np.frombuffer(content, np.uint8) for content in contents]
            if tokenizer is None
            else tokenized(contents, tokenizer)
        )
        self._names = [document.name for document in documents]
        self._length, self._separator = length, separator
        sizes = [len(text) + (separator is not None) for text in self._texts]
        self._firsts = np.cumsum([0, *sizes], dtype=np.int64)
        total = int(self._firsts[-1])
        if total < length + 1:
            raise DataError(
                Diagnostic(
                    _KEY,
                    f"{len(documents)} documents have {total:,} {self._unit}s",
                    expected=f"at least {length + 1:,}: data.length and one more",
                    code="data-empty",
                )
            )
        self._windows = (total - 1) // length

    def __len__(self) -> int:
        return self._windows

    def take(self, rows: Rows) -> tuple[dict[str, npt.NDArray[np.int32]], Any]:
        """`{"tokens": int32 "b t"}` and labels int32 "b t" of some windows."""
        windows = self._taken(rows).astype(np.int32)
        tokens = np.ascontiguousarray(windows[:, :-1])
        return {"tokens": tokens}, np.ascontiguousarray(windows[:, 1:])

    def spec(self) -> tuple[dict[str, RowSpec], RowSpec]:
        """A `RowSpec` for the tokens and one for the labels."""
        row = RowSpec((self._length,), np.dtype(np.int32))
        return {"tokens": row}, row

    def column_blocks(self, path: str) -> Iterator[npt.NDArray[Any]]:
        """Yields all windows of `features.tokens` or of `labels`, as they are stored.

        Raises:
            DataError: there is no such array.
        """
        places = {"features.tokens": slice(None, -1), "labels": slice(1, None)}
        if path not in places:
            raise unknown_array(path, places, "")
        for start in range(0, len(self), _BLOCK):
            yield self._taken(slice(start, start + _BLOCK))[:, places[path]]

    def column(self, path: str) -> npt.NDArray[Any]:
        """All windows of `features.tokens` or of `labels`, as they are stored."""
        return np.concatenate(list(self.column_blocks(path)))

    @functools.cached_property
    def ids(self) -> dict[str, npt.NDArray[Any]]:
        """Document in which each window begins, and the byte or token there."""
        starts = np.arange(len(self), dtype=np.int64) * self._length
        documents = self._documents_at(starts)
        return {
            "document": np.array(self._names)[documents],
            self._unit: starts - self._firsts[documents],
        }

    def place(self, row: int) -> str:
        """The document and the byte or token at which a window begins."""
        document = int(self._documents_at(np.array([row * self._length]))[0])
        first = row * self._length - int(self._firsts[document])
        return f"{self._names[document]}, {self._unit} {first}"

    def _documents_at(self, starts: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
        return np.searchsorted(self._firsts, starts, side="right") - 1

    def _taken(self, rows: Rows) -> npt.NDArray[Any]:
        """Windows with one byte or token more, "b t+1"."""
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(len(self)))
        starts = np.asarray(rows, np.int64) * self._length
        out = np.empty((len(starts), self._length + 1), self._texts[0].dtype)
        documents = self._documents_at(starts)
        for window, start, document in zip(
            out, starts.tolist(), documents.tolist(), strict=True
        ):
            self._fill(window, start - int(self._firsts[document]), document)
        return out

    def _fill(self, window: npt.NDArray[Any], first: int, document: int) -> None:
        """Writes what is from a place in a document on."""
        at = 0
        while at < len(window):
            part = self._texts[document][first : first + len(window) - at]
            window[at : at + len(part)] = part
            at += len(part)
            if at < len(window) and self._separator is not None:
                window[at] = self._separator
                at += 1
            first, document = 0, document + 1


def corpus(
    config: TextConfig, tokenizer: TokenizerFile | None = None
) -> tuple[CorpusSource, CorpusSource]:
    """Returns training windows, and windows of the held-out documents of files.

    Args:
        config: the `data` section.
        tokenizer: of the tokens; None: they are bytes.

    Raises:
        DataError: files are missing or no text, or there are too few documents.
    """
    documents = read_documents(config.files, key=_KEY, column=config.column)
    if len(documents) < 2:
        raise DataError(
            Diagnostic(
                _KEY,
                f"{documents[0].name} is the only document with text",
                expected="at least two: whole documents are held out for evaluation",
                hint="Divide the file, or write a document a line to a .jsonl file.",
                code="data-empty",
            )
        )
    train, held = _split(config, documents)
    return _source(config, train, tokenizer), _source(config, held, tokenizer)


def whole_corpus(
    config: TextConfig,
    paths: Sequence[str],
    *,
    key: str,
    tokenizer: TokenizerFile | None = None,
) -> CorpusSource:
    """Returns the windows of all documents of files, with nothing held out.

    Args:
        config: length, column and separator.
        paths: files or globs.
        key: their setting, for messages.
        tokenizer: of the tokens; None: they are bytes.

    Raises:
        DataError: files are missing or no text, or there are too few bytes.
    """
    documents = read_documents(paths, key=key, column=config.column)
    return _source(config, documents, tokenizer)


def _source(
    config: TextConfig, documents: Sequence[Document], tokenizer: TokenizerFile | None
) -> CorpusSource:
    return CorpusSource(
        documents,
        config.length,
        separator=_separator(config.separator, tokenizer),
        tokenizer=tokenizer,
    )


def _separator(
    separator: int | str | None, tokenizer: TokenizerFile | None
) -> int | None:
    """The number of the token between documents.

    Raises:
        DataError: the tokenizer has no such token.
    """
    if tokenizer is None or separator is None:
        assert not isinstance(separator, str)
        return separator
    number = tokenizer.number(separator) if isinstance(separator, str) else separator
    if number is None or number >= tokenizer.size:
        raise DataError(
            Diagnostic(
                "data.separator",
                f"{separator!r} is no token of data.tokenizer",
                expected=f"the name of one, or a number below {tokenizer.size:,}",
                code="data-file",
            )
        )
    return number


def _split(
    config: TextConfig, documents: Sequence[Document]
) -> tuple[list[Document], list[Document]]:
    """Documents to train on, and those that are held out."""
    count, fraction = len(documents), config.eval_fraction
    if config.split_by == "random":
        train, held = held_out_rows(count, fraction, config.split_seed, unit="document")
        return [documents[i] for i in train], [documents[i] for i in held]
    is_held = [
        xxhash.xxh3_64_intdigest(each.content, seed=config.split_seed)
        < fraction * 2**64
        for each in documents
    ]
    if all(is_held) or not any(is_held):
        raise DataError(
            Diagnostic(
                "data.split_by",
                f"hash holds out {sum(is_held)} of {count} documents",
                expected="at least one document to train on and one to evaluate on",
                hint="Set data.eval_fraction nearer to 0.5, or data.split_by=random.",
                code="data-empty",
            )
        )
    return (
        [each for each, held in zip(documents, is_held, strict=True) if not held],
        [each for each, held in zip(documents, is_held, strict=True) if held],
    )
