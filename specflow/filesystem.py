"""Paths as users write them."""

import os
from pathlib import Path

from specflow.errors import ConfigError, Fault, nearest_of

__all__ = ["absence_hint", "expanded"]


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
            Fault(
                where,
                f"'{written}': there is no user {user}"
                if user
                else f"'{written}': no home folder is known for this user",
                expected="a path",
                mend=f"A file whose name begins with ~ is written './{written}'."
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
    if (near := nearest_of(written.stem, beside)) is not None:
        return f"Did you mean {near}{written.suffix}?"
    if written.is_absolute():
        return ""
    return "A relative path is one from the working directory."
