"""Files that are whole or not there: atomic writes, and former versions kept."""

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

__all__ = ["replacing", "reported", "set_aside", "write_text"]


@contextlib.contextmanager
def reported(path: Path, *, setting: str = "output.dir") -> Iterator[None]:
    """Turns the system's refusals into an `OutputError` that names the file.

    Args:
        path: the file or folder.
        setting: what the user can set to write elsewhere.

    Raises:
        OutputError: the block met an `OSError`: no space, no permission, ...
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
    """A path to write to; what is written there becomes `path` once the block succeeds.

    Readers see the former file or the whole new one, whenever the process dies. A link
    is followed: the file that it names is replaced. Mode, owner and group of a former
    file stay; where the system does not let a new file have them, or keeps the folder
    from being changed, the former file is overwritten instead, at the end of the block.
    Other hard links to the former file keep its content.

    What is no regular file (a pipe, a device, `/dev/fd/N`) is written into directly:
    the path is `path` itself, and a block that fails has written what it has.

    Args:
        path: the file; it need not exist.
        setting: what the user can set to write elsewhere, for messages.

    Yields:
        The path to write to: an empty file, or `path`. Open it to append, so that a
        file behind a descriptor keeps what is in it.

    Raises:
        OutputError: the file cannot be written; the former one is still there.
    """
    with reported(path, setting=setting):
        former = _status(path)
        if _is_descriptor(path) or not (former is None or S_ISREG(former.st_mode)):
            yield path
            return
        target = Path(os.path.realpath(path))
        if former is not None and not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        temporary = _temporary(target, exists=former is not None)
        try:
            yield temporary
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            _put(temporary, target, former)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


_DESCRIPTORS = re.compile(r"/dev/fd|/proc/\d+(/task/\d+)?/fd")
_IN_PLACE = (errno.EACCES, errno.EBUSY, errno.EPERM, errno.EROFS, errno.EXDEV)
"""What the system says where a file can be overwritten and not replaced."""


def _status(path: Path) -> os.stat_result | None:
    """Of what a path leads to; None if there is nothing yet."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _is_descriptor(path: Path) -> bool:
    """Whether a path names an open file of a process, as `/dev/stdout` does."""
    for _ in range(40):
        if _DESCRIPTORS.fullmatch(os.path.realpath(path.parent)):
            return True
        if not path.is_symlink():
            return False
        path = path.parent / os.readlink(path)
    return False


def _temporary(target: Path, *, exists: bool) -> Path:
    """A new empty file beside the target, or where the system keeps such files."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        temporary.unlink(missing_ok=True)
        # Whom the former file was hidden from must not read this one meanwhile.
        mode = 0o600 if exists else 0o666
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
        return temporary
    except OSError as error:
        if not exists or error.errno not in _IN_PLACE:
            raise
    handle, name = tempfile.mkstemp(prefix=".specflow-")
    os.close(handle)
    return Path(name)


def _put(temporary: Path, target: Path, former: os.stat_result | None) -> None:
    """Has a file take the place of the former one, by its name or by its content."""
    try:
        if former is not None:
            new = temporary.stat()
            if (new.st_uid, new.st_gid) != (former.st_uid, former.st_gid):
                os.chown(temporary, former.st_uid, former.st_gid)
            temporary.chmod(S_IMODE(former.st_mode))
        temporary.replace(target)
    except OSError as error:
        if former is None or error.errno not in _IN_PLACE:
            raise
        shutil.copyfile(temporary, target)


def write_text(path: Path, text: str) -> None:
    """Writes a text file whole or not at all.

    Raises:
        OutputError: the file cannot be written; the former one is still there.
    """
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def set_aside(path: Path, *, keep: bool = False) -> Path | None:
    """Moves (or copies) a file to the first free of `<stem>.1<suffix>`, `.2`, ...

    Args:
        path: file that a newer one is about to replace.
        keep: copy, so that `path` itself is never missing.

    Returns:
        Where the former version is now, or None if there was none.

    Raises:
        OutputError: the file cannot be moved.
    """
    if not path.exists():
        return None
    number = 1
    while (former := path.with_name(f"{path.stem}.{number}{path.suffix}")).exists():
        number += 1
    if keep:
        with replacing(former) as temporary:
            shutil.copyfile(path, temporary)
    else:
        with reported(former):
            path.rename(former)
    return former
