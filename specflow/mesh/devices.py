"""The devices as a grid with named axes."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from specflow.config.mesh import BATCH_AXES, AxesConfig
from specflow.errors import ConfigError, Fault

__all__ = ["batch_parts", "build_mesh", "check_batch_size", "pretend_devices"]


def pretend_devices(count: int) -> None:
    """Pretends that the CPU is `count` devices, for trying meshes out on a laptop.

    Raises:
        ConfigError: JAX already started with another number.
    """
    try:
        jax.config.update("jax_num_cpu_devices", count)
    except RuntimeError as error:
        if jax.device_count("cpu") == count:
            return
        raise ConfigError(
            Fault(
                "mesh.pretend_devices",
                f"got {count}, but JAX already runs with {jax.device_count('cpu')}",
                mend="Set it before the first use of JAX in the process.",
                code="mesh-devices",
            )
        ) from error


def build_mesh(axes: AxesConfig, devices: Sequence[Any] | None = None) -> Mesh:
    """The mesh with these axes; an axis of -1 takes the devices that are left.

    Axes whose sizes are all given may use fewer devices than there are: the first ones.

    Args:
        axes: size of each axis.
        devices: what to lay out; all devices of the process by default.

    Raises:
        ConfigError: the sizes do not fit the number of devices.

    >>> build_mesh(AxesConfig(data=1)).size
    1
    """
    devices = list(jax.devices() if devices is None else devices)
    sizes = axes.sizes()
    given = math.prod(size for size in sizes.values() if size != -1)
    free = [name for name, size in sizes.items() if size == -1]
    if free and len(devices) % given:
        raise ConfigError(
            Fault(
                f"mesh.axes.{free[0]}",
                f"got -1, but {len(devices)} devices do not divide by {given}",
                expected=f"the other axes to multiply to a divisor of {len(devices)}",
                code="mesh-devices",
            )
        )
    for name in free:
        sizes[name] = len(devices) // given
    needed = math.prod(sizes.values())
    if needed > len(devices):
        asked = " x ".join(f"{name} {size}" for name, size in sizes.items() if size > 1)
        cpu = devices[0].platform == "cpu"
        raise ConfigError(
            Fault(
                "mesh.axes",
                f"{asked} needs {needed} devices, and there are {len(devices)}",
                expected=f"sizes that multiply to at most {len(devices)}",
                mend=f"Try mesh.pretend_devices={needed} to pretend them on this CPU."
                if cpu
                else "",
                code="mesh-devices",
            )
        )
    grid = np.asarray(devices[:needed]).reshape(tuple(sizes.values()))
    return Mesh(grid, tuple(sizes))


def batch_parts(mesh: Mesh) -> int:
    """Into how many parts the mesh cuts a batch."""
    return math.prod(mesh.shape[axis] for axis in BATCH_AXES)


def check_batch_size(size: int, mesh: Mesh, *, key: str) -> None:
    """Checks that the mesh can cut a batch into equal parts.

    Raises:
        ConfigError: it cannot; the nearest sizes that fit are named.
    """
    parts = batch_parts(mesh)
    if size % parts:
        below, above = size // parts * parts, -(-size // parts) * parts
        near = f"{below} or {above}" if below else str(above)
        cut = " x ".join(f"{axis} {mesh.shape[axis]}" for axis in BATCH_AXES)
        raise ConfigError(
            Fault(
                key,
                f"got {size}, which {cut} does not divide",
                expected=f"a multiple of {parts}, such as {near}",
                code="batch-divides",
            )
        )
