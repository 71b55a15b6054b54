"""Descriptions of devices that are not attached, for ahead-of-time compilation."""

from collections.abc import Sequence
from typing import Any

import jax
from jax.experimental import topologies

from specflow.mesh.devices import Device
from specflow.runtime.chips import CHIPS, GPUS, TPUS, Chip, chip_of
from specflow.runtime.gpu_targets import target_config
from specflow.runtime.topologies import Topology, parse

__all__ = [
    "CHIPS",
    "GPUS",
    "TPUS",
    "Chip",
    "Topology",
    "chip_of",
    "devices_of",
    "parse",
]


def devices_of(topology: Topology, **versions: tuple[int, int]) -> Sequence[Device]:
    """Returns the devices of a topology, to compile for; programs cannot run on them.

    Args:
        topology: a slice or node, or several; devices of several slices have a
            `slice_index`, devices of nodes a `process_index`.
        versions: of the libraries that a GPU's programs will run with: `cudnn`, `cuda`.

    Raises:
        RuntimeError: libtpu or the CUDA plug-in is not installed, or does not support
            the topology.
    """
    if topology.chip.is_gpu:
        jax.devices()  # Finds the plug-ins.
        description = topologies.get_topology_desc(
            platform="cuda",
            target_config=target_config(topology.chip, **versions),
            topology=f"1x{topology.slices}x{topology.shape[0]}",
        )
        return description.devices
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
