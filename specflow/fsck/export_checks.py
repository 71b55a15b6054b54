"""Checks of exported models: their manifests, and the digest of every file."""

import re
from collections.abc import Iterator
from pathlib import Path

from specflow.fsck.document_checks import read_document
from specflow.fsck.verdicts import Finding, Remove, SetAside, Verdict
from specflow.runtime.file_digests import (
    CONVERSION_MANIFEST,
    EXPORT_MANIFEST,
    file_digest,
)
from specflow.runtime.new_directory import PREFIX, is_being_written

__all__ = ["check_exports", "is_export_name"]

_NAME = re.compile(r"[0-9]{10}")
_FORMAT = 1


def check_exports(folder: Path, *, depth: int = 2) -> Iterator[Finding]:
    """Checks every export and every conversion of one below a folder.

    Args:
        folder: `export` of a run; it need not exist.
        depth: number of levels of folders: one of an exporter, one of a format.
    """
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if not path.is_dir():
            continue
        if path.name.startswith(PREFIX):
            if is_being_written(path):
                yield Finding(path, reason="another process is writing it")
            else:
                reason = "is not complete; only complete exports have a time as name"
                yield Finding(path, Verdict.INCOMPLETE, reason, Remove())
        elif is_export_name(path.name) or _manifest(path) is not None:
            yield _check(path)
        elif depth:
            yield from check_exports(path, depth=depth - 1)


def is_export_name(name: str) -> bool:
    """Returns whether a folder of this name is an export.

    >>> is_export_name("1795911132"), is_export_name("best")
    (True, False)
    """
    return _NAME.fullmatch(name) is not None


def _manifest(path: Path) -> Path | None:
    names = (EXPORT_MANIFEST, CONVERSION_MANIFEST)
    return next((path / name for name in names if (path / name).is_file()), None)


def _check(path: Path) -> Finding:
    def damaged(reason: str) -> Finding:
        return Finding(path, Verdict.DAMAGED, reason, SetAside())

    file = _manifest(path)
    if file is None:
        return damaged(f"has neither {EXPORT_MANIFEST} nor {CONVERSION_MANIFEST}")
    document = read_document(file)
    if document.finding.verdict is not Verdict.OK:
        return damaged(f"{file.name} {document.finding.reason}")
    manifest = document.content
    if "digest" not in manifest:
        return damaged(f"{file.name} has no digest")
    if manifest.get("format") != _FORMAT:
        reason = f"has format {manifest.get('format')}; expected format {_FORMAT}"
        return Finding(path, Verdict.OTHER_FORMAT, reason)
    for name, digest in manifest["sha256"].items():
        try:
            if file_digest(path / name) != digest:
                return damaged(f"{name} changed since it was written")
        except FileNotFoundError:
            return damaged(f"{name} is missing")
        except OSError as error:
            return damaged(f"{name} cannot be read: {error.strerror or error}")
    return Finding(path)
