"""Files of records: globs, digests, and what is made of a file once."""

import dataclasses
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from specflow.data.table.kept_digests import file_digest
from specflow.data.table.read_retries import read_retried
from specflow.data.table.table_files import matching_files
from specflow.diagnostics.errors import DataError, Diagnostic
from specflow.runtime.filesystem import expanded
from specflow.runtime.user_cache import user_cache

__all__ = ["RecordFile", "made_file", "record_files", "record_paths"]


@dataclasses.dataclass(frozen=True, slots=True)
class RecordFile:
    """One file of records."""

    name: str
    """Path as the user wrote it, with globs expanded."""
    path: Path
    digest: str
    """SHA-256 of the content."""


def record_files(written: Sequence[str], *, key: str) -> list[RecordFile]:
    """Finds the files of paths and globs.

    Args:
        written: paths and globs; files of a glob are in the order of their names.
        key: dotted key of the paths, for messages.

    Raises:
        DataError: a file is missing or empty, or a glob matches none; all are reported.
    """
    diagnostics: list[Diagnostic] = []
    files: dict[str, RecordFile] = {}
    for pattern in written:
        for name, path in matching_files(pattern, key, diagnostics, glob_name="*"):
            try:
                if not read_retried(name, lambda path=path: path.stat().st_size):
                    diagnostics.append(
                        Diagnostic(
                            key,
                            f"{name} is an empty file",
                            expected="records",
                            code="data-empty",
                        )
                    )
                    continue
                files[name] = RecordFile(name, path, file_digest(name, path))
            except DataError as error:
                diagnostics += error.diagnostics
    if diagnostics:
        raise DataError(*diagnostics)
    return list(files.values())


def record_paths(
    written: Sequence[str], key: str, diagnostics: list[Diagnostic]
) -> list[tuple[str, Path]]:
    """Name and path of each folder or file of paths and globs.

    Args:
        written: paths, also of folders, and globs of files.
        key: dotted key of the paths, for messages.
        diagnostics: takes those of paths that do not exist.
    """
    found: list[tuple[str, Path]] = []
    for pattern in written:
        path = expanded(pattern, key)
        if path.is_dir():
            found.append((pattern, path))
        else:
            found += matching_files(pattern, key, diagnostics)
    return found


def made_file(
    file: RecordFile, kind: str, write: Callable[[Path], None]
) -> tuple[Path, float | None]:
    """A file that is made of another one once, in the user's cache.

    Args:
        file: what it is made of; another content is another file.
        kind: name and version of what is made.
        write: writes it to a path.

    Returns:
        Its path, and the seconds that it took to write; None: it was there.

    Raises:
        DataError: it cannot be written.
    """
    folder = user_cache("records") or Path(tempfile.gettempdir()) / "specflow-records"
    key = hashlib.sha256(f"{kind} {file.digest}".encode()).hexdigest()[:32]
    path = folder / f"{key}.{kind.partition('-')[0]}"
    if path.is_file():
        return path, None
    start = time.monotonic()
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write(new)
        new.replace(path)
    except OSError as error:
        raise DataError(
            Diagnostic(
                str(folder),
                f"the {kind.partition('-')[0]} of {file.name} cannot be written: "
                f"{error.strerror or error}",
                expected="a folder with space for it",
                hint="Set XDG_CACHE_HOME to a larger disk.",
                code="table-store",
            )
        ) from error
    finally:
        new.unlink(missing_ok=True)
    return path, time.monotonic() - start
