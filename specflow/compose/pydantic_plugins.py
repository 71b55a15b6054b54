"""Pydantic without the plugins that are installed beside it."""

import contextlib
import sys
from collections.abc import Iterator
from types import ModuleType

__all__ = ["no_plugins"]


@contextlib.contextmanager
def no_plugins() -> Iterator[None]:
    """Spares the search for Pydantic plugins through everything that is installed.

    It takes as long as the whole validation, and importing what it searches with a
    third of that; they have nothing to do with the configuration. Models of the user's
    own, built later, get their plugins as ever.
    """
    name = "pydantic.plugin._loader"
    loader = sys.modules.get(name)
    none = sys.modules[name] = ModuleType(name)
    vars(none)["get_plugins"] = tuple
    try:
        yield
    finally:
        del sys.modules[name]
        if loader is not None:
            sys.modules[name] = loader
