"""Paths as users write them."""

import os
from pathlib import Path

from specflow.diagnostics.errors import ConfigError, Diagnostic, did_you_mean, nearest

__all__ = ["absence_hint", "check_output_file", "check_output_folder", "expanded"]


def expanded(path: str | os.PathLike[str], where: str = "path") -> Path:
    """A path that a user wrote, `~` and `~user` at its start replaced by that home.

    Args:
        path: as it was written; `./~x` is a file of that name.
        where: what it was written as, for messages.

    Returns:
        The path. What it gives may be given to it again.

    Raises:
        ConfigError: there is no such user, or nobody knows the home.

    >>> expanded("~/runs/x") == Path.home() / "runs/x", str(expanded("runs/~x"))
    (True, 'runs/~x')
    """
    written = os.fspath(path)
    full = os.path.expanduser(written)
    if written.startswith("~") and full == written:
        user = written[1:].partition(os.sep)[0]
        raise ConfigError(
            Diagnostic(
                where,
                f"'{written}': there is no user {user}"
                if user
                else f"'{written}': no home folder is known for this user",
                expected="a path",
                hint=f"A file whose name begins with ~ is written './{written}'."
                if user
                else "Set HOME, or write the whole path.",
                code="home-unknown",
            )
        )
    found = Path(full)
    # Path drops the ./ that told such a name from a home.
    return found.absolute() if str(found).startswith("~") else found


def absence_hint(path: str | os.PathLike[str]) -> str:
    """A hint for a path where nothing is: the near miss beside it, and where it starts.

    >>> absence_hint("nowhere/a.npz")
    'A relative path is one from the working directory.'
    >>> absence_hint("/nowhere/a.npz")
    ''
    """
    written = Path(path)
    try:  # Of the same suffix, which alone makes no two names alike.
        beside = [one.stem for one in written.parent.glob(f"*{written.suffix}")]
    except (OSError, ValueError):
        beside = []
    if (near := nearest(written.stem, beside)) is not None:
        return did_you_mean(f"{near}{written.suffix}")
    if written.is_absolute():
        return ""
    return "A relative path is one from the working directory."


def check_output_file(path: str | os.PathLike[str], where: str) -> None:
    """Refuses a path where no file can be, whatever the disk and the permissions.

    Args:
        path: as it was written.
        where: what it was written as, for messages.

    Raises:
        ConfigError: it is a folder, or there is no folder to write it into.
    """
    file = expanded(path, where)
    # `os.path` takes what may not be looked at for absent; writing it tells why.
    if os.path.isdir(file):
        problem = f"'{path}' is a folder"
    elif os.path.exists(file) or os.path.isdir(
        folder := os.path.dirname(os.path.realpath(file))
    ):
        return
    else:
        folder = os.path.dirname(file) if not file.is_symlink() else folder
        what = "is no folder" if os.path.exists(folder) else "is not there"
        problem = f"'{path}' cannot be written: the folder '{folder}' {what}"
    raise ConfigError(
        Diagnostic(
            where,
            problem,
            expected="a file in a folder that is there",
            hint="Make the folder first, or choose another file.",
            origin="command line" if where.startswith("--") else "",
            code="output-path",
        )
    )


def check_output_folder(
    path: str | os.PathLike[str], where: str, code: str = "output-path"
) -> None:
    """Refuses a path where no folder can be made: it is a file, or lies in one.

    Args:
        path: as it was written; it and the folders around it need not exist.
        where: what it was written as, for messages.
        code: of the fault.

    Raises:
        ConfigError: it is a file, or lies in one.

    >>> check_output_folder("nowhere/deep", "output.dir")
    """
    folder = expanded(path, where)
    around = (folder, *folder.absolute().parents)
    there = next(one for one in around if os.path.exists(one))
    if os.path.isdir(there):
        return
    inside = "" if there == folder else f" lies in '{there}', which"
    raise ConfigError(
        Diagnostic(
            where,
            f"'{path}'{inside} is a file",
            expected="a directory",
            hint=f"Choose another {where}.",
            origin="command line" if where.startswith("--") else "",
            code=code,
        )
    )
