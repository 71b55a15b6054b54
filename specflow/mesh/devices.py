"""The devices as a grid with named axes."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import Mesh

from specflow.config.sections.mesh import BATCH_AXES, AxesConfig
from specflow.diagnostics.errors import ConfigError, Diagnostic

__all__ = [
    "batch_parts",
    "build_mesh",
    "check_batch_size",
    "is_local",
    "lay_out",
    "pretend_devices",
]

_REFUSALS = (NotImplementedError, ValueError, AssertionError, TypeError)
"""What JAX raises where sizes do not factor along the sides of a TPU slice."""


def pretend_devices(count: int) -> None:
    """Pretends that the CPU is `count` devices, for trying meshes out on a laptop.

    Raises:
        ConfigError: JAX already started with another number.
    """
    try:
        jax.config.update("jax_num_cpu_devices", count)
    except RuntimeError as error:
        if len(jax.local_devices(backend="cpu")) == count:
            return
        raise ConfigError(
            Diagnostic(
                "mesh.pretend_devices",
                f"got {count}, but JAX already runs with {jax.device_count('cpu')}",
                hint="Set it before the first use of JAX in the process.",
                code="mesh-devices",
            )
        ) from error


def build_mesh(
    axes: AxesConfig,
    devices: Sequence[Any] | None = None,
    *,
    slices: int | None = None,
) -> Mesh:
    """The mesh with these axes; an axis of -1 takes the devices that are left.

    Axes whose sizes are all given may use fewer devices than there are: the first ones,
    of each slice.

    Args:
        axes: size of each axis.
        devices: what to lay out; all devices of the process by default.
        slices: groups of devices that the data-centre network joins; None: as the
            devices say. Where they say nothing, as on CPU, equal groups are pretended.

    Raises:
        ConfigError: the sizes do not fit the number of devices or slices.

    >>> build_mesh(AxesConfig(data=1)).size
    1
    """
    everywhere = devices is None
    devices = list(jax.devices() if devices is None else devices)
    sizes = _filled(axes, devices, pretends=everywhere)
    groups = _slices(devices, slices)
    if len(groups) > 1 and sizes["data"] % len(groups):
        if slices is not None:
            raise ConfigError(
                Diagnostic(
                    "mesh.slices",
                    f"got {slices}, and mesh.axes.data is {sizes['data']}",
                    expected="a data axis that spans the slices: a multiple of "
                    f"{slices}",
                    code="mesh-slices",
                )
            )
        groups = [devices]
    mesh = Mesh(lay_out(sizes.values(), groups), tuple(sizes))
    if everywhere:
        _check_processes(mesh)
    return mesh


def _check_processes(mesh: Mesh) -> None:
    """Refuses a mesh that has no device of some process."""
    idle = {device.process_index for device in jax.devices()}
    idle -= {device.process_index for device in mesh.devices.flat}
    if idle:
        raise ConfigError(
            Diagnostic(
                "mesh.axes",
                f"takes {mesh.size} of {jax.device_count()} devices, and none of "
                f"process {', '.join(map(str, sorted(idle)))}",
                expected="axes that take devices of every process",
                hint="An axis of -1 takes what is left.",
                code="mesh-processes",
            )
        )


def _filled(
    axes: AxesConfig, devices: Sequence[Any], *, pretends: bool
) -> dict[str, int]:
    """The size of each axis, that of -1 as well.

    Args:
        axes: as they are given.
        devices: what there is.
        pretends: whether a CPU could pretend to be more of them.
    """
    sizes = axes.sizes()
    given = math.prod(size for size in sizes.values() if size != -1)
    free = [name for name, size in sizes.items() if size == -1]
    if free and len(devices) % given:
        raise ConfigError(
            Diagnostic(
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
        cpu = pretends and devices[0].platform == "cpu"
        raise ConfigError(
            Diagnostic(
                "mesh.axes",
                f"{asked} needs {needed} devices, and there are {len(devices)}",
                expected=f"sizes that multiply to at most {len(devices)}",
                hint=f"Try mesh.pretend_devices={needed} to pretend them on this CPU."
                if cpu
                else "",
                code="mesh-devices",
            )
        )
    return sizes


def _slices(devices: Sequence[Any], wanted: int | None) -> list[list[Any]]:
    """The devices of each slice."""
    found: dict[int, list[Any]] = {}
    for device in devices:
        found.setdefault(getattr(device, "slice_index", 0) or 0, []).append(device)
    groups = [found[index] for index in sorted(found)]
    if wanted is None or wanted == len(groups):
        return groups
    size, rest = divmod(len(devices), wanted)
    if len(groups) > 1 or rest:
        there = (
            f"the devices lie in {len(groups)} slices"
            if len(groups) > 1
            else f"{len(devices)} devices do not divide by it"
        )
        raise ConfigError(
            Diagnostic(
                "mesh.slices",
                f"got {wanted}, but {there}",
                code="mesh-slices",
                expected="as many slices as there are, or null",
            )
        )
    return [
        list(devices[start : start + size]) for start in range(0, len(devices), size)
    ]


def lay_out(sizes: Iterable[int], groups: Sequence[Sequence[Any]]) -> Any:
    """A grid of devices, neighbours on it near each other on the network.

    Args:
        sizes: of each axis; the first one spans the groups.
        groups: devices of each slice.
    """
    first, *others = sizes
    shape = (first // len(groups), *others)
    count = math.prod(shape)
    return np.concatenate([_grid(shape, list(group)[:count]) for group in groups])


def _grid(shape: tuple[int, ...], devices: list[Any]) -> Any:
    """The devices of one slice; in their own order where JAX knows none."""
    try:
        return mesh_utils.create_device_mesh(shape, devices)
    except _REFUSALS:
        return np.asarray(devices).reshape(shape)


def is_local(mesh: Mesh) -> bool:
    """Whether neighbours on the mesh are known to be near each other on the network."""
    devices = list(mesh.devices.flat)
    if devices[0].platform != "tpu":
        return True
    groups = _slices(devices, None)
    data, *others = mesh.devices.shape
    if data % len(groups):
        return False
    try:
        for group in groups:
            mesh_utils.create_device_mesh((data // len(groups), *others), group)
    except _REFUSALS:
        return False
    return True


def batch_parts(mesh: Mesh) -> int:
    """Into how many parts the mesh cuts a batch."""
    return math.prod(mesh.shape.get(axis, 1) for axis in BATCH_AXES)


def check_batch_size(size: int, mesh: Mesh, *, key: str, micro_steps: int = 1) -> None:
    """Checks that a batch can be cut into equal parts.

    Args:
        size: rows of a batch.
        mesh: every device gets as many.
        key: of the size, for the message.
        micro_steps: parts that are computed one after the other.

    Raises:
        ConfigError: it cannot; the nearest sizes that fit are named.
    """
    parts = batch_parts(mesh) * micro_steps
    if size % parts:
        below, above = size // parts * parts, -(-size // parts) * parts
        near = f"{below} or {above}" if below else str(above)
        cuts = [f"{a} {mesh.shape[a]}" for a in BATCH_AXES if a in mesh.shape]
        if micro_steps > 1:
            cuts.insert(0, f"{micro_steps} micro-steps")
        cut = " x ".join(cuts)
        raise ConfigError(
            Diagnostic(
                key,
                f"got {size}, which {cut} does not divide",
                expected=f"a multiple of {parts}, such as {near}",
                code="batch-divides",
            )
        )
