"""Composition of YAML files and overrides into one validated experiment.

The stages are packages: `read` (files, override grammar, defaults lists), `merge`
(layers), `check` (Pydantic, rules, targets), `inspect` (explain, diff, schemas). Only
this package and `sweep` import Hydra. Names are imported on first access, so that a
light module, such as the shell's completion, can import the package without Hydra.
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
