"""Numbers that a training step reports besides its loss."""

import dataclasses
from typing import Self

import jax
import numpy as np

from specflow.executor.array_types import Tree

__all__ = ["StepMetrics"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class StepMetrics:
    """Gradient norm and learning rates of a step, packed into one array.

    Every output array of a step costs time on CPU, whatever its size.

    >>> numbers = StepMetrics(("gradient_norm",), np.array([[2.0], [0.5]], np.float32))
    >>> numbers.at(1)
    {'gradient_norm': 0.5}
    """

    names: tuple[str, ...] = dataclasses.field(metadata={"static": True})
    values: Tree
    """float32[names]; of stacked batches float32[steps, names]."""

    def at(self, index: int) -> dict[str, float]:
        """Reads the numbers of one stacked batch from the device."""
        if not self.names:
            return {}
        row = np.asarray(self.values)[index]
        return dict(zip(self.names, row.tolist(), strict=True))

    def stacked(self, count: int) -> Self:
        """Allocates zeros for `count` stacked batches, on the host."""
        values = np.zeros((count, len(self.names)), np.float32) if self.names else ()
        return dataclasses.replace(self, values=values)
