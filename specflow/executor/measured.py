"""Numbers that training reports of a step beside its loss."""

import dataclasses
from typing import Any, Self

import jax
import numpy as np

__all__ = ["Measured"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Measured:
    """The gradient norm and learning rates of a step, in one array.

    Each array that leaves a step costs time on CPU, whatever its size.

    >>> numbers = Measured(("gradient_norm",), np.array([[2.0], [0.5]], np.float32))
    >>> numbers.at(1)
    {'gradient_norm': 0.5}
    """

    names: tuple[str, ...] = dataclasses.field(metadata={"static": True})
    values: Any
    """float32[names]; of stacked batches float32[batches, names]."""

    def at(self, index: int) -> dict[str, float]:
        """The numbers of one of the stacked batches, read from the device."""
        if not self.names:
            return {}
        row = np.asarray(self.values)[index]
        return dict(zip(self.names, row.tolist(), strict=True))

    def stacked(self, count: int) -> Self:
        """Room for those of `count` batches: zeros, on the host."""
        values = np.zeros((count, len(self.names)), np.float32) if self.names else ()
        return dataclasses.replace(self, values=values)
