"""Device meshes, sharding rules, and shardings of parameters, batches and state."""

from specflow.distributed.processes import cancel_start, start_processes
from specflow.distributed.slurm import idle_tasks
from specflow.mesh.devices import (
    arrange_devices,
    batch_parts,
    build_mesh,
    check_batch_size,
    is_local,
    pretend_devices,
)
from specflow.mesh.partitioner import Partitioner
from specflow.mesh.placement_checks import LARGE
from specflow.mesh.sharding_rules import Names, Placement, Rules

__all__ = [
    "LARGE",
    "Names",
    "Partitioner",
    "Placement",
    "Rules",
    "arrange_devices",
    "batch_parts",
    "build_mesh",
    "cancel_start",
    "check_batch_size",
    "idle_tasks",
    "is_local",
    "pretend_devices",
    "start_processes",
]
