"""Text as bytes or tokens: files split into windows that predict the next one."""

import hashlib
import os
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from specflow.columns import TokenizerFile
from specflow.config.sections.data_sources import TextConfig
from specflow.data.data_files import digests_of
from specflow.data.holdout import held_out_rows
from specflow.data.source import Rows, RowSpec, Source, unknown_array
from specflow.data.text_corpus import corpus, whole_corpus
from specflow.data.tokenized_documents import tokenized
from specflow.diagnostics.errors import DataError, Diagnostic
from specflow.runtime.filesystem import absence_hint, expanded
from specflow.runtime.text_encoding import without_mark

__all__ = ["WindowSource", "text", "text_files", "tokenizer_of"]

_TOKENIZER = "data.tokenizer"
_NOT_LIBRARY = frozenset(
    {"__pycache__", "dist-packages", "idlelib", "site-packages", "test", "tests"}
)
"""Folders of the standard library without sources, or absent on some systems."""


class WindowSource:
    """Windows of a stream of bytes; every byte but the first is predicted exactly once.

    Window i has tokens `stream[i*t : i*t + t]` and labels one byte later. The stream
    is stored as one byte a token; windows become int32 when they are taken.

    Args:
        stream: bytes or tokens, at least `length + 1` of them.
        length: t, tokens a window.

    >>> source = WindowSource(np.frombuffer(b"abcdefg", np.uint8), 3)
    >>> len(source)
    2
    >>> features, labels = source.take(np.array([1]))
    >>> features["tokens"].tolist(), labels.tolist()
    ([[100, 101, 102]], [[101, 102, 103]])
    """

    def __init__(self, stream: npt.NDArray[Any], length: int):
        view = np.lib.stride_tricks.sliding_window_view(stream, length + 1)
        self._windows = view[::length]
        self._length = length

    def __len__(self) -> int:
        return len(self._windows)

    def take(self, rows: Rows) -> tuple[dict[str, npt.NDArray[np.int32]], Any]:
        """`{"tokens": int32 "b t"}` and labels int32 "b t" of some windows."""
        windows = self._windows[rows].astype(np.int32)
        tokens = np.ascontiguousarray(windows[:, :-1])
        return {"tokens": tokens}, np.ascontiguousarray(windows[:, 1:])

    def spec(self) -> tuple[dict[str, RowSpec], RowSpec]:
        """A `RowSpec` for the tokens and one for the labels."""
        row = RowSpec((self._length,), np.dtype(np.int32))
        return {"tokens": row}, row

    def column(self, path: str) -> npt.NDArray[Any]:
        """All windows of `features.tokens` or of `labels`, as they are stored.

        Raises:
            DataError: there is no such array.
        """
        columns = {
            "features.tokens": self._windows[:, :-1],
            "labels": self._windows[:, 1:],
        }
        if path not in columns:
            raise unknown_array(path, columns, "")
        return columns[path]


class Texts(NamedTuple):
    """Windows of text to train and evaluate on."""

    train: Source
    eval: Source
    """Of the held-out documents."""
    files: Mapping[str, str]
    """Path of each file that is read -> SHA-256 of what is read of it."""
    tokenizer: TokenizerFile | None
    """None: tokens are bytes."""


class WholeText(NamedTuple):
    """Windows of all documents of an evaluation set."""

    rows: Source
    files: Mapping[str, str]
    """Path of each file that is read -> SHA-256 of what is read of it."""


def text(config: TextConfig) -> Texts:
    """Returns training windows, and windows of the held-out documents.

    Raises:
        DataError: files are missing or no text, or there are too few bytes.
    """
    tokenizer, own = tokenizer_of(config), {}
    if config.tokenizer is not None:
        own = digests_of([config.tokenizer], key=_TOKENIZER)
    if config.files:
        files = digests_of(config.files, key="data.files") | own
        return Texts(*corpus(config, tokenizer), files, tokenizer)
    root = _root(config.root, "data.root")
    read = _read_texts(root, config)
    texts = list(read.values())
    if len(texts) < 2:
        raise DataError(
            Diagnostic(
                str(root),
                f"{len(texts)} file of text matches {config.pattern!r}",
                expected="at least two: whole files are held out for evaluation",
                code="data-empty",
            )
        )
    train, held = held_out_rows(
        len(texts), config.eval_fraction, config.split_seed, unit="file"
    )
    length = config.length
    return Texts(
        _windows([texts[i] for i in train], "train on", root, length, tokenizer),
        _windows([texts[i] for i in held], "evaluate on", root, length, tokenizer),
        _digests(config.root, read) | own,
        tokenizer,
    )


def tokenizer_of(config: TextConfig) -> TokenizerFile | None:
    """The tokenizer of a text; None: its tokens are bytes.

    Raises:
        ConfigError: the package of the tokenizer is not installed.
        DataError: its file is missing, or no tokenizer.
    """
    if config.tokenizer is None:
        return None
    return TokenizerFile.read(config.tokenizer, key=_TOKENIZER)


def whole_text(
    config: TextConfig,
    folder: str,
    *,
    key: str,
    tokenizer: TokenizerFile | None = None,
) -> WholeText:
    """Returns the windows of all matching files of a folder, with nothing held out.

    Args:
        config: pattern and length; `max_bytes` bounds this folder too.
        folder: the folder; with `files` a file or a glob.
        key: its setting, for messages.
        tokenizer: of the tokens; None: they are bytes.

    Raises:
        DataError: there is no such folder, no file matches, or there are too few bytes.
    """
    if config.files:
        source = whole_corpus(config, [folder], key=key, tokenizer=tokenizer)
        return WholeText(source, digests_of([folder], key=key))
    root = _root(folder, key)
    read = _read_texts(root, config)
    texts = list(read.values())
    windows = _windows(texts, "evaluate on", root, config.length, tokenizer)
    return WholeText(windows, _digests(folder, read))


def text_files(root: Path, pattern: str, *, skip: frozenset[str]) -> list[str]:
    """Lists matching paths below `root`, sorted, in POSIX form, relative to it.

    Args:
        root: the folder.
        pattern: glob, as `Path.rglob` takes it: `*.md` at any depth, `docs/*.md` in
            any folder named docs, `docs/**/*.md` there or in a folder below.
        skip: names of folders to skip.
    """
    wanted = ["**", *PurePosixPath(pattern).parts]
    if wanted[-1] == "**":
        wanted.append("*")  # Files: only Python 3.13 matches them with a trailing `**`.

    def found() -> Iterator[str]:
        for folder, folders, files in os.walk(root):
            folders[:] = [name for name in folders if name not in skip]
            for name in files:
                path = Path(folder, name)
                relative = PurePosixPath(path.relative_to(root).as_posix())
                if _covers(wanted, relative.parts) and path.is_file():
                    yield str(relative)

    return sorted(found())


def _covers(pattern: Sequence[str], parts: Sequence[str]) -> bool:
    """Returns True if a glob matches a path; `**` is any number of folders, or none."""
    if not pattern or not parts:
        return not pattern and not parts
    first, *rest = pattern
    if first == "**":
        return _covers(rest, parts) or _covers(pattern, parts[1:])
    return fnmatchcase(parts[0], first) and _covers(rest, parts[1:])


def _root(folder: str, key: str) -> Path:
    if folder == "stdlib":
        return Path(sysconfig.get_path("stdlib"))
    root = expanded(folder, key)
    if not root.is_dir():
        raise DataError(
            Diagnostic(
                key,
                f"there is no folder {folder!r}",
                expected="a folder with text files, or stdlib",
                hint=absence_hint(root),
                code="missing-file",
            )
        )
    return root


def _digests(folder: str, texts: Mapping[str, bytes]) -> dict[str, str]:
    """Path of each text below a folder, as written -> SHA-256 of it."""
    return {
        str(PurePosixPath(folder, relative)): hashlib.sha256(content).hexdigest()
        for relative, content in texts.items()
    }


def _read_texts(root: Path, config: TextConfig) -> dict[str, bytes]:
    """Path -> content of random files, up to `max_bytes` in total, by their paths."""
    is_library = root == Path(sysconfig.get_path("stdlib"))
    skip = _NOT_LIBRARY if is_library else frozenset[str]()
    files = text_files(root, config.pattern, skip=skip)
    texts: dict[str, bytes] = {}
    left = config.max_bytes
    # Random, not the first by name: a capped text should be a sample of all files.
    for number in np.random.default_rng(config.split_seed).permutation(len(files)):
        if left == 0:
            break
        relative = files[number]
        try:
            content = without_mark((root / relative).read_bytes())[:left]
        except OSError as error:
            raise DataError(
                Diagnostic(
                    str(root / relative),
                    f"cannot be read: {error.strerror}",
                    code="data-file",
                )
            ) from error
        except UnicodeError as error:
            problem = str(error)
            raise DataError(
                Diagnostic(str(root / relative), problem, code="data-file")
            ) from None
        if content:
            texts[relative] = content
        if left is not None:
            left -= len(content)
    if not texts:
        raise DataError(
            Diagnostic(
                str(root),
                f"no file with text matches {config.pattern!r}",
                expected="at least two files; see data.root and data.pattern",
                code="data-empty",
            )
        )
    return {relative: texts[relative] for relative in sorted(texts)}


def _windows(
    texts: list[bytes],
    use: str,
    root: Path,
    length: int,
    tokenizer: TokenizerFile | None,
) -> WindowSource:
    stream: npt.NDArray[Any] = np.frombuffer(b"".join(texts), np.uint8)
    if tokenizer is not None:
        # What max_bytes cuts off may end inside a character.
        whole = [text.decode("utf-8", "ignore").encode() for text in texts]
        stream = np.concatenate(tokenized(whole, tokenizer))
    if len(stream) < length + 1:
        raise DataError(
            Diagnostic(
                str(root),
                f"{len(stream):,} {'bytes' if tokenizer is None else 'tokens'} "
                f"to {use}",
                expected=f"at least {length + 1:,}: data.length and one more",
                code="data-empty",
            )
        )
    return WindowSource(stream, length)
