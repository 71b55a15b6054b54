"""Descriptions of TPU slices that are not attached, for ahead-of-time compilation."""

from collections.abc import Sequence
from typing import Any

from jax.experimental import topologies

from specflow.mesh.devices import Device
from specflow.runtime.chips import CHIPS, TPUS, Chip, Topology, chip_of, parse

__all__ = ["CHIPS", "TPUS", "Chip", "Topology", "chip_of", "devices_of", "parse"]


def devices_of(topology: Topology) -> Sequence[Device]:
    """Returns the devices of a topology, to compile for; programs cannot run on them.

    Args:
        topology: one slice, or several; devices of several have a `slice_index`.

    Raises:
        RuntimeError: libtpu is not installed, or does not support the topology.
    """
    options: dict[str, Any] = {}
    if topology.chip.name == "v4":
        # One JAX device for both cores of a chip, as is the default of v5p.
        options["chip_config_name"] = "megacore"
    if topology.shape == (1, 1):
        options["chips_per_host_bounds"] = [1, 1, 1]
    if topology.slices > 1:
        options["num_slices"] = topology.slices
    description = topologies.get_topology_desc(
        platform="tpu", topology_name=topology.name, **options
    )
    return description.devices
