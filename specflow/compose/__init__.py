"""YAML and overrides to one validated experiment; the only room that knows Hydra."""

from specflow.compose.overrides import Composed, compose
from specflow.compose.show import lines

__all__ = ["Composed", "compose", "lines"]
