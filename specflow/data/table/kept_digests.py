"""Digests of large files, kept so that a file is not read for its digest each time."""

import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

from specflow.runtime.user_cache import user_cache

__all__ = ["kept_digest"]

_LEAST = 16 << 20
"""Size in bytes from which a digest is kept."""
_CLOCK_NS = 2_000_000_000
"""Coarsest clock of a file system: a file that changed so shortly before it was read
may have changed again at the same time."""


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
    folder = user_cache("digests")
    if status.st_size < _LEAST or folder is None:
        return read(path)
    facts = [status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev]
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
    if start - status.st_mtime_ns > _CLOCK_NS:
        new = file.with_name(f".{name}.{os.getpid()}")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            new.write_text(json.dumps({"facts": facts, "digest": digest}))
            new.replace(file)
        except OSError:
            new.unlink(missing_ok=True)
    return digest
