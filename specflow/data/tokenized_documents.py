"""Documents as the numbers of a tokenizer, which are kept for the next run."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from specflow.columns import TokenizerFile
from specflow.data.table.read_progress import ReadProgress
from specflow.data.table.text_store import NewFolder
from specflow.runtime.user_cache import user_cache

__all__ = ["tokenized"]

Tokens = npt.NDArray[Any]
_FORMAT = 1
_KEPT = 4 << 20
"""Bytes of text from which tokens are kept in the user's cache."""
_PART = 4 << 20
"""Bytes of text that are tokenized at once; a longer document is divided at the end of
a line."""


def tokenized(
    contents: Sequence[bytes | memoryview], tokenizer: TokenizerFile
) -> list[Tokens]:
    """Tokens of documents, uint16 or uint32 "n" each.

    Those of much text are written to the user's cache once, by the content of the text
    and of the tokenizer, and mapped.

    Args:
        contents: UTF-8.
        tokenizer: of the tokens.

    Raises:
        DataError: the cache cannot be written.
    """
    size = sum(map(len, contents))
    cache = user_cache("tokens")
    dtype = np.dtype(np.uint16 if tokenizer.size <= 1 << 16 else np.uint32)
    if size < _KEPT or cache is None:
        return [
            np.concatenate([np.zeros(0, dtype), *parts])
            for parts in _documents(contents, tokenizer, dtype)
        ]
    whole = hashlib.sha256(f"{_FORMAT} {tokenizer.digest} {dtype}".encode())
    for content in contents:
        whole.update(f" {len(content)} ".encode())
        whole.update(content)
    folder = cache / whole.hexdigest()
    if not folder.is_dir():
        _write(folder, contents, tokenizer, dtype)
    tokens: Tokens = np.memmap(folder / "tokens.bin", dtype, "r")
    ends = np.cumsum(np.load(folder / "lengths.npy", allow_pickle=False))
    return np.split(tokens, ends[:-1])


def _write(
    folder: Path,
    contents: Sequence[bytes | memoryview],
    tokenizer: TokenizerFile,
    dtype: np.dtype[Any],
) -> None:
    lengths = []
    with (
        NewFolder(folder, "the tokens of the documents") as new,
        (new / "tokens.bin").open("wb") as file,
    ):
        for parts in _documents(contents, tokenizer, dtype):
            lengths.append(0)
            for part in parts:
                part.tofile(file)
                lengths[-1] += len(part)
        np.save(new / "lengths.npy", np.array(lengths, np.int64))


def _documents(
    contents: Sequence[bytes | memoryview],
    tokenizer: TokenizerFile,
    dtype: np.dtype[Any],
) -> Iterator[list[Tokens]]:
    """Yields the parts of each document."""
    progress = ReadProgress("tokenizing", len(contents), unit="documents")
    first = 0
    while first < len(contents):
        # Many short documents at once, in the threads of the package.
        stop, size = first + 1, len(contents[first])
        while stop < len(contents) and size + len(contents[stop]) <= _PART:
            size += len(contents[stop])
            stop += 1
        parts = [list(_parts(content)) for content in contents[first:stop]]
        items = [part for each in parts for part in each]
        if len(items) == stop - first:
            numbers = tokenizer.encode(items)
            ends = np.cumsum(numbers.lengths)[:-1]
            for row in np.split(numbers.values.astype(dtype), ends):
                yield [row]
        else:
            yield [tokenizer.encode([part]).values.astype(dtype) for part in items]
        progress.advance(stop - first)
        first = stop


def _parts(content: bytes | memoryview) -> Iterator[str]:
    """Yields a document, divided after the last line end of each part if it is long."""
    start = 0
    while len(content) - start > _PART:
        block = bytes(content[start : start + _PART])
        end = block.rfind(b"\n") + 1
        if not end:
            # One long line: after a character of UTF-8.
            end = len(block)
            while end > 1 and content[start + end] & 0xC0 == 0x80:
                end -= 1
        yield block[:end].decode()
        start += end
    yield bytes(content[start:]).decode()
