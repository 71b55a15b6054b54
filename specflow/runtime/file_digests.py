"""Digests of files, and JSON documents that contain a digest of themselves."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

__all__ = [
    "CONVERSION_MANIFEST",
    "EXPORT_MANIFEST",
    "content_digest",
    "file_digest",
    "folder_digests",
    "is_intact",
    "seals",
    "signed",
]

EXPORT_MANIFEST = "export.json"
"""Name of an export's manifest: signatures, versions, and digests of its files."""
CONVERSION_MANIFEST = "conversion.json"
"""Name of the manifest of an export in another format."""
_DIGEST = "digest"
_BLOCK = 1 << 20


def content_digest(document: Mapping[str, Any]) -> str:
    """SHA-256 of a document's content without its digest, whatever its layout.

    >>> content_digest({"step": 1, "digest": "x"}) == content_digest({"step": 1})
    True
    """
    content = {key: value for key, value in document.items() if key != _DIGEST}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def signed(document: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a document with its digest as the last key.

    Args:
        document: plain JSON values; an earlier digest is replaced.

    >>> is_intact(signed({"step": 1})), is_intact(signed({"step": 1}) | {"step": 2})
    (True, False)
    """
    content = {key: value for key, value in document.items() if key != _DIGEST}
    return {**content, _DIGEST: content_digest(content)}


def is_intact(document: Mapping[str, Any]) -> bool:
    """Returns whether a document's digest is that of its content."""
    return document.get(_DIGEST) == content_digest(document)


def file_digest(path: Path, size: int | None = None) -> str:
    """SHA-256 of a file, or of its first bytes.

    Args:
        path: the file.
        size: number of bytes; None: all.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        if size is None:
            return hashlib.file_digest(file, "sha256").hexdigest()
        hashed = hashlib.sha256()
        while size > 0 and (block := file.read(min(size, _BLOCK))):
            hashed.update(block)
            size -= len(block)
        return hashed.hexdigest()


def folder_digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, by relative path."""
    return {
        file.relative_to(folder).as_posix(): file_digest(file)
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def seals(folder: Path, files: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of files by path relative to a folder; missing ones left out.

    A file to which lines are appended later still begins with these bytes.
    """
    return {
        file.relative_to(folder).as_posix(): {
            "bytes": (size := file.stat().st_size),
            "sha256": file_digest(file, size),
        }
        for file in files
        if file.is_file()
    }
