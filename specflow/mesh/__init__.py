"""Meshes: devices with named axes, rules for parameters, shardings for everything."""

from specflow.mesh.devices import (
    batch_parts,
    build_mesh,
    check_batch_size,
    pretend_devices,
)
from specflow.mesh.partitioner import Partitioner
from specflow.mesh.rules import Placement, place

__all__ = [
    "Partitioner",
    "Placement",
    "batch_parts",
    "build_mesh",
    "check_batch_size",
    "place",
    "pretend_devices",
]
