"""Digests of large files, kept so that a file is not read for its digest each time."""

import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from specflow.data.table.read_retries import RetriedFile, read_retried
from specflow.runtime.user_cache import user_cache

__all__ = ["file_digest", "kept_folder_digest"]

_LEAST = 16 << 20
"""Size in bytes from which a digest is kept."""
_CLOCK_NS = 2_000_000_000
"""Coarsest clock of a file system: a file that changed so shortly before it was read
may have changed again at the same time."""


def file_digest(name: str, path: Path) -> str:
    """SHA-256 of a file; that of a large one is kept in the user's cache.

    Args:
        name: of the file, for messages.
        path: the file.

    Raises:
        DataError: the file cannot be read.
    """

    def digest(path: Path) -> str:
        with RetriedFile(name, path) as content:
            return hashlib.file_digest(content, "sha256").hexdigest()

    return read_retried(name, lambda: kept_digest(path, digest))


def kept_digest(path: Path, read: Callable[[Path], str]) -> str:
    """SHA-256 of a file, from the cache if size, time of change and inode are the same.

    Source: the index of Git, which has the same rule for files that changed just now.

    Args:
        path: the file.
        read: computes the digest of a file.

    Raises:
        OSError: the file cannot be read.
    """
    status = path.stat()
    if status.st_size < _LEAST:
        return read(path)
    facts = [status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev]
    return _kept(path, facts, status.st_mtime_ns, read)


def kept_folder_digest(
    path: Path, files: Sequence[Path], read: Callable[[Path], str]
) -> str:
    """SHA-256 of files of a folder, from the cache if all of them are the same.

    Args:
        path: the folder.
        files: its files that count.
        read: computes the digest.

    Raises:
        OSError: a file cannot be read.
    """
    facts, newest = hashlib.sha256(), 0
    for file in files:
        status = file.stat()
        newest = max(newest, status.st_mtime_ns)
        fact = [os.fspath(file), status.st_size, status.st_mtime_ns, status.st_ino]
        facts.update(os.fsencode(f"{fact}"))
    return _kept(path, [facts.hexdigest()], newest, read)


def _kept(
    path: Path, facts: list[Any], changed_ns: int, read: Callable[[Path], str]
) -> str:
    """A digest from the cache if its facts are the same, else as it is read.

    Args:
        path: of what has the digest.
        facts: change with it.
        changed_ns: time of its last change.
        read: computes it.
    """
    folder = user_cache("digests")
    if folder is None:
        return read(path)
    name = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:32]
    file = folder / f"{name}.json"
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        if kept["facts"] == facts:
            return kept["digest"]
    except (OSError, ValueError, KeyError, TypeError):
        pass  # Not kept, or damaged: read anew.
    start = time.time_ns()
    digest = read(path)
    if start - changed_ns > _CLOCK_NS:
        new = file.with_name(f".{name}.{os.getpid()}")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            new.write_text(json.dumps({"facts": facts, "digest": digest}))
            new.replace(file)
        except OSError:
            new.unlink(missing_ok=True)
    return digest
