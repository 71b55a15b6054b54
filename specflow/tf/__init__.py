"""The TensorFlow-shaped API: heads and canned estimators under TensorFlow's names."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from specflow.tf import canned, heads

__all__ = ["canned", "heads"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return import_module(f"specflow.tf.{name}")
    raise AttributeError(f"module 'specflow.tf' has no attribute {name!r}")
