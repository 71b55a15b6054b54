"""Where each parameter goes on the mesh, by which rule, and what a device holds."""

import dataclasses
import math
from typing import Any, Self

import jax

from specflow.contract import Mode
from specflow.data import Data
from specflow.estimator import TPUEstimator
from specflow.mesh import Placement
from specflow.runtime.formatting import columns, human, short

__all__ = ["ParameterTable", "bytes_per_device"]

_MOST_SHOWN = 6


@dataclasses.dataclass(frozen=True)
class ParameterTable:
    """The state on its mesh, as `check` shows it; nothing is allocated."""

    mesh: dict[str, int]
    """Size of each axis."""
    params: dict[str, Any]
    """Parameter path -> shape, dtype and sharding."""
    placements: dict[str, Placement]
    """Parameter path -> where it goes, and why."""
    bytes_per_device: dict[str, int]
    """What a device holds of the parameters, the optimizer's state and the rest."""
    frozen_statistics: tuple[str, ...] = ()
    """Batch statistics that do not move, since no parameter of their layer trains."""

    @classmethod
    def of(cls, estimator: TPUEstimator, data: Data) -> Self:
        """The table of what training would start from."""
        state = estimator.abstract_state(data.train)
        batch = estimator.batch_form(data.train, Mode.TRAIN)
        trees = {
            "parameters": state.params,
            "optimizer": state.opt_state,
            "state": state.model_state,
        }
        return cls(
            dict(estimator.partitioner.mesh.shape),
            dict(state.params),
            estimator.program.placements(),
            {
                name: sum(map(bytes_per_device, jax.tree.leaves(tree)))
                for name, tree in trees.items()
            },
            estimator.program.tracer.optimizer(*batch).frozen_statistics,
        )

    def __str__(self) -> str:
        rows = [("parameter", "array", "placement", "rule", "bytes a device")]
        for path, array in self.params.items():
            placement = self.placements[path]
            axes = ", ".join("+".join(along) or "-" for along in placement.axes)
            rule, held = placement.rule or "-", f"{bytes_per_device(array):,}"
            rows.append((path, short(array), f"({axes})", rule, held))
        axes = " x ".join(f"{name} {size}" for name, size in self.mesh.items()
                          if size > 1)  # fmt: skip
        count = sum(math.prod(array.shape) for array in self.params.values())
        split = sum(
            not placement.is_replicated for placement in self.placements.values()
        )
        cost = ", ".join(
            f"{name} {human(held)}" for name, held in self.bytes_per_device.items()
        )
        return (
            f"{columns(rows, right=(4,))}\n\n"
            f"mesh        {axes or 'single device'} "
            f"({math.prod(self.mesh.values())} devices)\n"
            f"parameters  {count:,} numbers in {len(self.params)} arrays, {split} of "
            "them split\n"
            f"a device    {cost}{self._frozen()}"
        )

    def _frozen(self) -> str:
        names = self.frozen_statistics
        if not names:
            return ""
        more = len(names) - _MOST_SHOWN
        listed = ", ".join(names[:_MOST_SHOWN]) + (f", {more} more" if more > 0 else "")
        return (
            f"\nfrozen      {len(names)} batch statistics, as no parameter of their "
            f"layers trains: {listed}"
        )

    def to_plain(self) -> dict[str, Any]:
        """The same for tools: `mesh`, `parameters` and so on."""
        parameters = [
            {
                "parameter": path,
                "array": short(array),
                "placement": [list(along) for along in self.placements[path].axes],
                "rule": self.placements[path].rule or None,
                "bytes_per_device": bytes_per_device(array),
            }
            for path, array in self.params.items()
        ]
        return {
            "mesh": self.mesh,
            "parameters": parameters,
            "bytes_per_device": self.bytes_per_device,
            "frozen_statistics": [*self.frozen_statistics],
        }


def bytes_per_device(array: Any) -> int:
    """Bytes of an abstract array on each device that holds a part of it."""
    return math.prod(array.sharding.shard_shape(array.shape)) * array.dtype.itemsize
