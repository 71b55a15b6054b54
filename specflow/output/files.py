"""Files that are whole or not there: atomic writes, and former versions kept."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from specflow.errors import Fault, OutputError

__all__ = ["replacing", "reported", "set_aside", "write_text"]


@contextlib.contextmanager
def reported(path: Path) -> Iterator[None]:
    """Turns the system's refusals into an `OutputError` that names the file.

    Raises:
        OutputError: the block met an `OSError`: no space, no permission, ...
    """
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(
            Fault(
                str(path),
                f"cannot be written: {error.strerror or error}",
                mend="Make room or mend the permissions, or choose another output.dir; "
                "what was written before is untouched.",
                code="output-unwritable",
            )
        ) from error


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path that takes the place of `path` once the block has succeeded.

    Readers see the former file or the whole new one, whenever the process dies.

    Raises:
        OutputError: the file cannot be written; the former one is still there.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with reported(path):
            yield temporary
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


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
