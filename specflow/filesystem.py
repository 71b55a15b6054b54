"""Paths as users write them."""

import os
from pathlib import Path

from specflow.errors import ConfigError, Fault

__all__ = ["expanded"]


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
