"""YAML and overrides to one validated experiment; the only room that knows Hydra.

Names are loaded when they are first touched: the shell's completion stands in this room
too, and has no time for Hydra.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from specflow.compose.overrides import Composed, compose
    from specflow.compose.show import lines

__all__ = ["Composed", "compose", "lines"]

_HOME = {"Composed": "overrides", "compose": "overrides", "lines": "show"}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"specflow.compose.{_HOME[name]}"), name)
    raise AttributeError(f"module 'specflow.compose' has no attribute {name!r}")
