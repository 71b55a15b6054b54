"""Atomic writes of files, and numbered backups of earlier versions."""

import contextlib
import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from stat import S_IMODE, S_ISREG

from specflow.diagnostics.errors import Diagnostic, OutputError

__all__ = ["remove_tree", "replacing", "reported", "set_aside", "write_text"]


@contextlib.contextmanager
def reported(path: Path, *, setting: str = "output.dir") -> Iterator[None]:
    """Converts an `OSError` to an `OutputError` that names the file.

    Args:
        path: the file or folder.
        setting: config key or option that chooses another path.

    Raises:
        OutputError: the block raised an `OSError`: no space, no permission, ...
    """
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(
            Diagnostic(
                str(path),
                f"cannot be written: {error.strerror or error}",
                hint="Free disk space or fix the permissions, or choose another "
                f"{setting}; what was written before is unchanged.",
                code="output-unwritable",
            )
        ) from error


@contextlib.contextmanager
def replacing(path: Path, *, setting: str = "output.dir") -> Iterator[Path]:
    """Replaces a file atomically: yields a temporary path, renamed after the block.

    Readers see the earlier file or the complete new one, also if the process is killed.
    Links are followed: the file that they name is replaced. Mode, owner and group of
    the earlier file are kept; if the system does not allow that, or the folder is not
    writable, the earlier file is overwritten in place at the end of the block. Other
    hard links to the earlier file keep its content.

    Anything but a regular file (a pipe, a device, `/dev/fd/N`) is written directly: the
    yielded path is `path` itself, and a block that fails leaves its partial output.

    Args:
        path: the file; it need not exist.
        setting: config key or option that chooses another path, for messages.

    Yields:
        The path to write to: an empty file, or `path`. Open it to append, so that a
        file behind a descriptor keeps its content.

    Raises:
        OutputError: the file cannot be written; the earlier one is unchanged.
    """
    with reported(path, setting=setting):
        earlier = _status(path)
        if _is_descriptor(path) or not (earlier is None or S_ISREG(earlier.st_mode)):
            yield path
            return
        target = Path(os.path.realpath(path))
        if earlier is not None and not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        temporary = _temporary(target, exists=earlier is not None)
        try:
            yield temporary
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            _put(temporary, target, earlier)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


_DESCRIPTORS = re.compile(r"/dev/fd|/proc/\d+(/task/\d+)?/fd")
_IN_PLACE = (errno.EACCES, errno.EBUSY, errno.EPERM, errno.EROFS, errno.EXDEV)
"""Errors of a file that can be overwritten but not replaced."""


def _status(path: Path) -> os.stat_result | None:
    """Status of the file that a path leads to; None if there is none."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _is_descriptor(path: Path) -> bool:
    """Returns whether a path names an open file of a process, as `/dev/stdout`."""
    for _ in range(40):
        if _DESCRIPTORS.fullmatch(os.path.realpath(path.parent)):
            return True
        if not path.is_symlink():
            return False
        path = path.parent / os.readlink(path)
    return False


def _temporary(target: Path, *, exists: bool) -> Path:
    """Creates an empty file beside the target, or in the system's temporary folder."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        temporary.unlink(missing_ok=True)
        # Users without access to the earlier file must not read this one meanwhile.
        mode = 0o600 if exists else 0o666
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
        return temporary
    except OSError as error:
        if not exists or error.errno not in _IN_PLACE:
            raise
    handle, name = tempfile.mkstemp(prefix=".specflow-")
    os.close(handle)
    return Path(name)


def _put(temporary: Path, target: Path, earlier: os.stat_result | None) -> None:
    """Replaces the earlier file by the new one: renames it, or copies its content."""
    try:
        if earlier is not None:
            new = temporary.stat()
            if (new.st_uid, new.st_gid) != (earlier.st_uid, earlier.st_gid):
                os.chown(temporary, earlier.st_uid, earlier.st_gid)
            temporary.chmod(S_IMODE(earlier.st_mode))
        temporary.replace(target)
    except OSError as error:
        if earlier is None or error.errno not in _IN_PLACE:
            raise
        shutil.copyfile(temporary, target)


def write_text(path: Path, text: str) -> None:
    """Writes a text file atomically.

    Raises:
        OutputError: the file cannot be written; the earlier one is unchanged.
    """
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def remove_tree(path: Path) -> None:
    """Removes a folder with its files, also while another process does the same.

    Raises:
        OSError: a file cannot be removed.
    """
    while path.exists():
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(path)


def set_aside(path: Path, *, keep: bool = False) -> Path | None:
    """Moves (or copies) a file to the first free of `<stem>.1<suffix>`, `.2`, ...

    Args:
        path: file that a newer one will replace.
        keep: copy, so that `path` itself always exists.

    Returns:
        New path of the earlier version, or None if there was none.

    Raises:
        OutputError: the file cannot be moved.
    """
    if not path.exists():
        return None
    number = 1
    while (earlier := path.with_name(f"{path.stem}.{number}{path.suffix}")).exists():
        number += 1
    if keep:
        with replacing(earlier) as temporary:
            shutil.copyfile(path, temporary)
    else:
        with reported(earlier):
            path.rename(earlier)
    return earlier
