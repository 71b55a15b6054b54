"""Placement of each parameter on the mesh, its rule, and the bytes of each device."""

import dataclasses
import math
from typing import Any, Self

import jax

from specflow.contract import Mode
from specflow.data import Data
from specflow.estimator import Estimator
from specflow.mesh import Placement
from specflow.runtime.formatting import columns, human, short

__all__ = ["ParameterTable", "bytes_per_device"]

_MAX_LISTED = 6


@dataclasses.dataclass(frozen=True)
class ParameterTable:
    """The training state on its mesh, as `check` prints it; nothing is allocated."""

    mesh: dict[str, int]
    """Size of each axis."""
    params: dict[str, Any]
    """Parameter path -> shape, dtype and sharding."""
    placements: dict[str, Placement]
    """Parameter path -> its sharding and the rule that chose it."""
    bytes_per_device: dict[str, int]
    """Bytes on each device of parameters, optimizer state and model state."""
    frozen_statistics: tuple[str, ...] = ()
    """Batch statistics that are not updated, since no parameter of their layer is
    trained."""

    @classmethod
    def of(cls, estimator: Estimator, data: Data) -> Self:
        """Builds the table of the state that training would start from."""
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
        rows = [("parameter", "array", "sharding", "rule", "bytes per device")]
        for path, array in self.params.items():
            placement = self.placements[path]
            axes = ", ".join("+".join(names) or "-" for names in placement.axes)
            rule, size = placement.rule or "-", f"{bytes_per_device(array):,}"
            rows.append((path, short(array), f"({axes})", rule, size))
        axes = " x ".join(f"{name} {size}" for name, size in self.mesh.items()
                          if size > 1)  # fmt: skip
        devices = math.prod(self.mesh.values())
        count = sum(math.prod(array.shape) for array in self.params.values())
        sharded = sum(
            not placement.is_replicated for placement in self.placements.values()
        )
        sizes = ", ".join(
            f"{name} {human(size)}" for name, size in self.bytes_per_device.items()
        )
        facts = [
            (
                "mesh",
                f"{axes} ({devices} devices)" if axes else "single device",
            ),
            (
                "parameters",
                f"{count:,} in {len(self.params)} arrays, {sharded} sharded",
            ),
            ("per device", sizes),
        ]
        if self.frozen_statistics:
            facts.append(("frozen", self._frozen()))
        return f"{columns(rows, right=(4,))}\n\n{columns(facts)}"

    def _frozen(self) -> str:
        names = self.frozen_statistics
        more = len(names) - _MAX_LISTED
        listed = ", ".join(names[:_MAX_LISTED]) + (f", {more} more" if more > 0 else "")
        return (
            f"{len(names)} batch statistics, as no parameter of their layers is "
            f"trained: {listed}"
        )

    def to_plain(self) -> dict[str, Any]:
        """The table as plain JSON values: `mesh`, `parameters` and so on."""
        parameters = [
            {
                "parameter": path,
                "array": short(array),
                "placement": [list(names) for names in self.placements[path].axes],
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
    """Bytes of an abstract array on each device that holds a shard of it."""
    return math.prod(array.sharding.shard_shape(array.shape)) * array.dtype.itemsize
