"""Imports without a package that other packages use if it is installed."""

import contextlib
import sys
from collections.abc import Iterator

__all__ = ["without"]


@contextlib.contextmanager
def without(package: str) -> Iterator[None]:
    """Imports in its block find that a package is not installed.

    It stays importable afterwards, and a package that is already imported stays.

    Args:
        package: name of a top-level package.

    >>> with without("antigravity"):
    ...     import antigravity
    Traceback (most recent call last):
    ModuleNotFoundError: import of antigravity halted; None in sys.modules
    """
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if sys.modules.get(package, ...) is None:
            del sys.modules[package]
