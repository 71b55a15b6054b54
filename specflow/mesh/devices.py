"""Device meshes: devices in a grid with named axes."""

import contextlib
import math
import os
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import Mesh
from jaxlib.version import __version__ as jaxlib_version
from numpy.typing import NDArray

from specflow.config.sections.mesh import BATCH_AXES, AxesConfig
from specflow.diagnostics.errors import ConfigError, Diagnostic

__all__ = [
    "Device",
    "arrange_devices",
    "batch_parts",
    "build_mesh",
    "check_batch_size",
    "is_local",
    "pretend_devices",
]

Device: TypeAlias = Any
"""A `jax.Device`, or an object with its attributes."""

_MESH_ERRORS = (NotImplementedError, ValueError, AssertionError, TypeError)
"""Errors of JAX for sizes that do not factor along the sides of a TPU slice."""

_PATIENCE = "--xla_cpu_collective_call_terminate_timeout_seconds"
_PATIENT = ("0.10.", "0.11.", "0.12.")
"""Versions of jaxlib that know the flag: one that does not ends the process."""


def pretend_devices(count: int) -> None:
    """Splits the CPU into `count` pretended devices, to try meshes on a laptop.

    They share its cores, so on a busy machine some begin a collective long after the
    others, and XLA would end the process after 40 seconds: it waits ten minutes, unless
    `XLA_FLAGS` has its own number.

    Raises:
        ConfigError: JAX is already initialized with another number.
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
    _begin_with_patience()


def _begin_with_patience() -> None:
    """Initializes JAX, and so XLA, which reads its flags once."""
    flags = os.environ.get("XLA_FLAGS")
    if _PATIENCE in (flags or "") or not jaxlib_version.startswith(_PATIENT):
        return
    os.environ["XLA_FLAGS"] = f"{flags or ''} {_PATIENCE}=600".lstrip()
    try:
        with contextlib.suppress(RuntimeError):  # Later uses raise it too.
            jax.local_devices(backend="cpu")
    finally:
        # Names of programs in caches, and of machines, have the flags in them.
        os.environ["XLA_FLAGS"] = flags or ""
        if flags is None:
            del os.environ["XLA_FLAGS"]


def build_mesh(
    axes: AxesConfig,
    devices: Sequence[Device] | None = None,
    *,
    slices: int | None = None,
) -> Mesh:
    """Builds the mesh with these axes; an axis of -1 takes the remaining devices.

    If all sizes are given, they may use fewer devices than there are: the first ones of
    each slice.

    Args:
        axes: size of each axis.
        devices: devices to arrange; by default all devices of all processes.
        slices: number of TPU slices, joined by the data-center network; None: read from
            the devices. Devices without slices, as on CPU, form equal groups.

    Raises:
        ConfigError: the sizes do not fit the number of devices or slices.

    >>> build_mesh(AxesConfig(data=1)).size
    1
    """
    uses_all = devices is None
    devices = list(jax.devices() if devices is None else devices)
    sizes = _axis_sizes(axes, devices, can_pretend=uses_all)
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
    mesh = Mesh(arrange_devices(sizes.values(), groups), tuple(sizes))
    if uses_all:
        _check_processes(mesh)
    return mesh


def _check_processes(mesh: Mesh) -> None:
    """Checks that every process has a device on the mesh."""
    idle = {device.process_index for device in jax.devices()}
    idle -= {device.process_index for device in mesh.devices.flat}
    if idle:
        raise ConfigError(
            Diagnostic(
                "mesh.axes",
                f"takes {mesh.size} of {jax.device_count()} devices, and none of "
                f"process {', '.join(map(str, sorted(idle)))}",
                expected="axes that take devices of every process",
                hint="An axis of -1 takes the remaining devices.",
                code="mesh-processes",
            )
        )


def _axis_sizes(
    axes: AxesConfig, devices: Sequence[Device], *, can_pretend: bool
) -> dict[str, int]:
    """Resolves the size of each axis, replacing -1.

    Args:
        axes: from the config.
        devices: available devices.
        can_pretend: whether a CPU could pretend more devices.
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
        product = " x ".join(
            f"{name} {size}" for name, size in sizes.items() if size > 1
        )
        is_cpu = can_pretend and devices[0].platform == "cpu"
        raise ConfigError(
            Diagnostic(
                "mesh.axes",
                f"{product} needs {needed} devices, and there are {len(devices)}",
                expected=f"sizes that multiply to at most {len(devices)}",
                hint=f"Try mesh.pretend_devices={needed} to pretend them on this CPU."
                if is_cpu
                else "",
                code="mesh-devices",
            )
        )
    return sizes


def _slices(devices: Sequence[Device], expected: int | None) -> list[list[Device]]:
    """Groups devices by slice."""
    by_slice: dict[int, list[Device]] = {}
    for device in devices:
        by_slice.setdefault(getattr(device, "slice_index", 0) or 0, []).append(device)
    groups = [by_slice[index] for index in sorted(by_slice)]
    if expected is None or expected == len(groups):
        return groups
    size, rest = divmod(len(devices), expected)
    if len(groups) > 1 or rest:
        actual = (
            f"the devices are in {len(groups)} slices"
            if len(groups) > 1
            else f"{len(devices)} devices do not divide by it"
        )
        raise ConfigError(
            Diagnostic(
                "mesh.slices",
                f"got {expected}, but {actual}",
                code="mesh-slices",
                expected="as many slices as there are, or null",
            )
        )
    return [
        list(devices[start : start + size]) for start in range(0, len(devices), size)
    ]


def arrange_devices(
    sizes: Iterable[int], groups: Sequence[Sequence[Device]]
) -> NDArray[Any]:
    """Arranges devices in a grid, with neighbors close on the network.

    Args:
        sizes: of each axis; the first axis spans the slices.
        groups: devices of each slice.
    """
    first, *others = sizes
    shape = (first // len(groups), *others)
    count = math.prod(shape)
    return np.concatenate([_grid(shape, list(group)[:count]) for group in groups])


def _grid(shape: tuple[int, ...], devices: list[Device]) -> NDArray[Any]:
    """Arranges the devices of one slice, in their own order if JAX has none."""
    try:
        return mesh_utils.create_device_mesh(shape, devices)
    except _MESH_ERRORS:
        return np.asarray(devices).reshape(shape)


def is_local(mesh: Mesh) -> bool:
    """Returns whether neighbors on the mesh are close on the network."""
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
    except _MESH_ERRORS:
        return False
    return True


def batch_parts(mesh: Mesh) -> int:
    """Returns the number of shards of a batch."""
    return math.prod(mesh.shape.get(axis, 1) for axis in BATCH_AXES)


def check_batch_size(size: int, mesh: Mesh, *, key: str, micro_steps: int = 1) -> None:
    """Checks that a batch divides into equal shards.

    Args:
        size: rows of a batch.
        mesh: shards the batch over its data and fsdp axes.
        key: config key of the size, for the message.
        micro_steps: micro-batches that the batch is split into first.

    Raises:
        ConfigError: it does not divide; the nearest sizes that do are named.
    """
    parts = batch_parts(mesh) * micro_steps
    if size % parts:
        below, above = size // parts * parts, -(-size // parts) * parts
        near = f"{below} or {above}" if below else str(above)
        factors = [f"{a} {mesh.shape[a]}" for a in BATCH_AXES if a in mesh.shape]
        if micro_steps > 1:
            factors.insert(0, f"{micro_steps} micro-steps")
        product = " x ".join(factors)
        raise ConfigError(
            Diagnostic(
                key,
                f"got {size}, which {product} does not divide",
                expected=f"a multiple of {parts}, such as {near}",
                code="batch-divides",
            )
        )
