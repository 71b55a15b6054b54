"""The folder of what can be made again: compiled programs, digests, stores of rows."""

import os
from pathlib import Path

__all__ = ["user_cache"]


def user_cache(name: str) -> Path | None:
    """A folder of specflow in the user's cache; it may not exist yet.

    Args:
        name: of the folder.

    Returns:
        None if the user's cache is unknown: a user id without a home.
    """
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return None if base.startswith("~") else Path(base) / "specflow" / name
