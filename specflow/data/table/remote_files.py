"""Files of URLs: fetched by fsspec to the user's cache, once for each content.

Rows are then read from the disk, in every epoch, and stay the same while a run trains.
"""

import contextlib
import errno
import glob
import hashlib
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from filelock import FileLock

from specflow.data.table.read_retries import read_retried
from specflow.diagnostics.errors import DataError, Diagnostic
from specflow.runtime.user_cache import user_cache

__all__ = ["fetched_files", "is_url"]

_URL = re.compile(r"[a-z][a-z\d+.-]+://", re.IGNORECASE)
_BLOCK = 8 << 20
_VALIDATORS = (
    "ETag", "etag", "LastModified", "last_modified", "mtime", "updated", "generation",
    "created", "md5Hash", "Content-MD5", "checksum",
)  # fmt: skip
"""Facts of file systems that change with the content of a file."""
_BUSY = (408, 425, 429)
"""HTTP statuses, beside those from 500 on, that a later request may not have."""
_TIMEOUTS = ("TimeoutError", "FSTimeoutError", "ServerTimeoutError")
_BROKEN = ("ClientPayloadError", "ServerDisconnectedError", "IncompleteRead")
Result = TypeVar("Result")


def is_url(written: str) -> bool:
    """Returns whether a path is a URL.

    >>> is_url("s3://bucket/a.csv"), is_url("C/a.csv")
    (True, False)
    """
    return _URL.match(written) is not None


def fetched_files(
    url: str, key: str, diagnostics: list[Diagnostic]
) -> list[tuple[str, Path]]:
    """URL, and path of its copy, of each file of a URL or a glob of them.

    Args:
        url: such as `s3://bucket/part-*.parquet`.
        key: dotted key of the URL, for messages.
        diagnostics: takes those of URLs that cannot be read.
    """
    try:
        file_system, path = _file_system(url, key)
        names = _read(url, lambda: _names(file_system, path))
        if not names:
            raise _missing(key, f"no file matches {url!r}")
        return [
            (shown, _fetched(file_system, name, shown, key))
            for name in names
            for shown in [str(file_system.unstrip_protocol(name))]
        ]
    except DataError as error:
        diagnostics += error.diagnostics
        return []


def _file_system(url: str, key: str) -> tuple[Any, str]:
    protocol = url.partition("://")[0]
    try:
        import fsspec.core
    except ModuleNotFoundError as error:
        raise DataError(
            Diagnostic(
                key,
                f"{url!r} is a URL, and fsspec, which reads it, is not installed",
                hint="Run pip install 'specflow-jax[remote]'.",
                code="package-missing",
            )
        ) from error
    try:
        return fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise DataError(
            Diagnostic(
                key,
                f"{url!r} is a URL of which fsspec has no package here: {error}",
                hint="Install it with pip.",
                code="package-missing",
            )
        ) from error
    except ValueError as error:
        raise _missing(key, f"{url!r} is a URL, and {protocol} is not read") from error


def _names(file_system: Any, path: str) -> list[str]:
    if not glob.has_magic(path):
        return [path]
    return sorted(name for name in file_system.glob(path) if file_system.isfile(name))


def _fetched(file_system: Any, name: str, shown: str, key: str) -> Path:
    """The copy of a file, fetched unless the file is as it was.

    Raises:
        DataError: it does not exist, or cannot be read or written.
    """
    try:
        facts = _read(shown, lambda: file_system.info(name))
    except FileNotFoundError as error:
        raise _missing(key, f"there is no file {shown!r}") from error
    if facts.get("type") == "directory":
        hint = f"Use a glob, such as {shown.rstrip('/')}/*.parquet."
        raise _missing(key, f"{shown!r} is a folder", hint)
    if type(file_system).__name__ == "LocalFileSystem":
        return Path(name)
    folder = user_cache("remote") or Path(tempfile.gettempdir()) / "specflow-remote"
    suffix = PurePosixPath(name.partition("?")[0]).suffix
    digest = hashlib.sha256(_version(shown, facts).encode()).hexdigest()[:32]
    path = folder / f"{digest}{suffix}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):
            # Without a fact that changes with the content, it is fetched each time.
            if not path.is_file() or not _is_versioned(facts):
                _fetch(file_system, name, shown, facts.get("size"), path)
    except OSError as error:
        raise DataError(
            Diagnostic(
                str(folder),
                f"the copy of {shown} cannot be written: {error.strerror or error}",
                expected="a folder with space for it",
                hint="Set XDG_CACHE_HOME to a larger disk.",
                code="table-store",
            )
        ) from error
    return path


def _version(shown: str, facts: Mapping[str, Any]) -> str:
    known = {name: str(facts[name]) for name in _VALIDATORS if facts.get(name)}
    return json.dumps([shown, facts.get("size"), known], sort_keys=True)


def _is_versioned(facts: Mapping[str, Any]) -> bool:
    return any(facts.get(name) for name in _VALIDATORS)


def _fetch(
    file_system: Any, name: str, shown: str, size: int | None, path: Path
) -> None:
    start = time.monotonic()
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with new.open("wb") as copy:
            _read(shown, lambda: _copy(file_system, name, copy, size))
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
    print(
        f"data: fetched {shown}, {path.stat().st_size / 1e6:,.0f} MB in "
        f"{time.monotonic() - start:.1f} s, to {path}",
        file=sys.stderr,
    )


def _copy(file_system: Any, name: str, copy: Any, size: int | None) -> None:
    """Appends what a copy still lacks; a further try goes on where the last stopped."""
    with file_system.open(name, "rb", block_size=_BLOCK) as source:
        try:
            source.seek(copy.tell())
        except (OSError, ValueError):  # A server without ranges.
            copy.seek(0)
            copy.truncate()
        while block := source.read(_BLOCK):
            copy.write(block)
    copy.flush()
    if size is not None and copy.tell() != size:
        reason = f"{copy.tell():,} of {size:,} bytes were read"
        if copy.tell() > size:
            copy.seek(0)
            copy.truncate()
        raise OSError(errno.ECONNRESET, reason)


def _read(shown: str, read: Callable[[], Result]) -> Result:
    """Calls a read, again after errors that may not last.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: it cannot be read.
    """

    def numbered() -> Result:
        try:
            return read()
        except FileNotFoundError:
            raise
        except Exception as error:
            # Libraries of stores have errors of their own.
            if (number := _errno(error)) is None:
                raise
            raise OSError(number, str(error)) from error

    try:
        return read_retried(shown, numbered)
    except (FileNotFoundError, DataError):
        raise
    except Exception as error:
        first = str(error).strip().partition("\n")[0] or type(error).__name__
        raise DataError(
            Diagnostic(
                shown,
                f"cannot be read: {first}",
                expected="a file that this process can read",
                hint="Check the URL, and the credentials of its store.",
                code="data-read",
            )
        ) from error


def _errno(error: Exception) -> int | None:
    """The number of an error; None if it has none, and lasts."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    status = getattr(error, "status", None)
    if status is None:
        status = getattr(error, "code", None)
    with contextlib.suppress(TypeError, ValueError):
        if int(status) >= 500 or int(status) in _BUSY:  # type: ignore[arg-type]
            return errno.EAGAIN
        return None
    names = {each.__name__ for each in type(error).__mro__}
    if names & set(_TIMEOUTS):
        return errno.ETIMEDOUT
    return errno.ECONNRESET if names & set(_BROKEN) else None


def _missing(key: str, problem: str, hint: str = "") -> DataError:
    return DataError(Diagnostic(key, problem, hint=hint, code="missing-file"))
