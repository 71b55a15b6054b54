"""Devices of slices that are not here: what a TPU's compiler needs to know of them."""

from collections.abc import Sequence
from typing import Any

from jax.experimental import topologies

from specflow.runtime.chips import CHIPS, TPUS, Chip, Topology, chip_of, parse

__all__ = ["CHIPS", "TPUS", "Chip", "Topology", "chip_of", "devices_of", "parse"]


def devices_of(topology: Topology) -> Sequence[Any]:
    """The devices of a slice, for a mesh to compile for; nothing runs on them.

    Args:
        topology: one slice, or several: its devices then have a `slice_index`.

    Raises:
        RuntimeError: libtpu is not installed, or does not know the slice.
    """
    options: dict[str, Any] = {}
    if topology.chip.name == "v4":
        # Both cores of a chip are one device to JAX, as v5p's are by default.
        options["chip_config_name"] = "megacore"
    if topology.shape == (1, 1):
        options["chips_per_host_bounds"] = [1, 1, 1]
    if topology.slices > 1:
        options["num_slices"] = topology.slices
    found = topologies.get_topology_desc(
        platform="tpu", topology_name=topology.name, **options
    )
    return found.devices
