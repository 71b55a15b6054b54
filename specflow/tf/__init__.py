"""TensorFlow-shaped API: heads, canned estimators, streaming metrics and optimizers.

Names of sections (`optimizer=tf_adam`) are declared by entry points of specflow's own
distribution, as those of a plugin are.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from specflow.tf import canned, heads, metrics, optimizers

__all__ = ["canned", "heads", "metrics", "optimizers"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return import_module(f"specflow.tf.{name}")
    raise AttributeError(f"module 'specflow.tf' has no attribute {name!r}")
