"""Validation without Pydantic's search for installed plugins."""

import contextlib
import sys
from collections.abc import Iterator
from types import ModuleType

__all__ = ["no_plugins"]


@contextlib.contextmanager
def no_plugins() -> Iterator[None]:
    """Context in which Pydantic does not search the installed packages for plugins.

    The search takes as long as the whole validation, and the imports that it needs a
    third of that; plugins do not affect the configuration. Models that the user builds
    later get their plugins as usual.
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
