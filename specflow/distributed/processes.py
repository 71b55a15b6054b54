"""Initialization of JAX as one of several processes."""

import dataclasses
import os
from typing import Any

import jax

from specflow.config.sections.mesh import COORDINATOR, COUNT, INDEX, ProcessesConfig
from specflow.diagnostics.errors import ConfigError, Diagnostic
from specflow.distributed import failure, rendezvous, slurm
from specflow.distributed.relay import relay
from specflow.distributed.rendezvous import is_loopback, meet

__all__ = ["Place", "cancel_start", "place", "start_processes"]

_PODS = ("gcetpu", "gketpu")
"""JAX's names of the TPU clusters that give each process its index."""
_TIMEOUT_S = 300.0
_SHUTDOWN_S = 20
"""Seconds that a process that exits waits for the others, which may be lost."""


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """The index of this process, the number of processes, and their coordinator."""

    coordinator: str
    """`host:port` of process 0."""
    count: int
    index: int
    timeout_s: float = _TIMEOUT_S
    devices: tuple[int, ...] | None = None
    """Indices of its own devices among the visible ones; None: all of them."""
    pod: bool = False
    """True if read from a TPU pod, whose environment JAX reads itself."""


def start_processes(
    config: ProcessesConfig | None, *, pretended: int | None = None
) -> int | None:
    """Initializes JAX as one of several processes, if it is, and failure detection.

    Args:
        config: `mesh.processes`.
        pretended: CPU devices to pretend, in all processes together.

    Returns:
        CPU devices to pretend in this process.

    Raises:
        ConfigError: the index of this process is unknown; the devices to pretend do not
            divide evenly over the processes.
        MachineError: a process did not arrive; it is named.
    """
    here = place(config)
    if here is None or here.count == 1:
        return pretended
    if pretended is not None and pretended % here.count:
        near = max(1, pretended // here.count) * here.count
        raise ConfigError(
            Diagnostic(
                "mesh.pretend_devices",
                f"got {pretended}, which does not divide evenly over {here.count} "
                "processes",
                expected=f"a multiple of {here.count}, such as {near}",
                code="mesh-processes",
            )
        )
    if not jax.distributed.is_initialized():
        links = meet(
            here.coordinator,
            index=here.index,
            count=here.count,
            timeout_s=here.timeout_s,
        )
        failure.listen(here.index, links)
        settings: dict[str, Any] = {"coordinator_address": here.coordinator}
        if here.index:
            address = relay(here.coordinator, timeout_s=here.timeout_s)
            settings["coordinator_address"] = address
        if not here.pod:
            settings |= {
                "num_processes": here.count,
                "process_id": here.index,
                "local_device_ids": here.devices,
                "cluster_detection_method": "deactivate",
            }
            if is_loopback(here.coordinator):
                settings["coordinator_bind_address"] = here.coordinator
        # It would catch SIGTERM and ignore it.
        jax.config.update("jax_enable_preemption_service", False)
        jax.distributed.initialize(
            **settings,
            initialization_timeout=max(1, int(here.timeout_s)),
            shutdown_timeout_seconds=_SHUTDOWN_S,
        )
    return None if pretended is None else pretended // here.count


def cancel_start(config: ProcessesConfig | None, why: str, status: int) -> None:
    """Notifies the other processes, if there are any, that this one cannot start.

    Args:
        config: `mesh.processes`.
        why: the problem.
        status: exit status of all processes.
    """
    try:
        here = place(config)
    except ConfigError:
        return
    if here is None or here.count == 1 or jax.distributed.is_initialized():
        return
    rendezvous.cancel_start(
        here.coordinator,
        index=here.index,
        count=here.count,
        why=f"process {here.index} failed: {why}",
        status=status,
    )


def place(config: ProcessesConfig | None) -> Place | None:
    """Returns the place of this process; None if it is the only one.

    Read from the environment of `specflow launch`, the config, or the cluster, in this
    order.

    Raises:
        ConfigError: the config names several processes, and no index of this one.
    """
    variables = {name: os.environ.get(name) for name in (COORDINATOR, COUNT, INDEX)}
    timeout_s = _TIMEOUT_S if config is None else config.timeout
    if all(variables.values()):
        count, index = int(variables[COUNT] or 1), int(variables[INDEX] or 0)
        return Place(variables[COORDINATOR] or "", count, index, timeout_s)
    if config is None or config.coordinator is None or config.count is None:
        return _task(timeout_s) or _host_of_pod(timeout_s)
    index = config.index if config.index is not None else _index(variables[INDEX])
    if index is None or not 0 <= index < config.count:
        problem = f"got {index}"
        if index is None:
            problem = f"is null, and {INDEX} is not set"
        raise ConfigError(
            Diagnostic(
                "mesh.processes.index",
                problem,
                expected=f"0 to {config.count - 1}, different in each process",
                code="mesh-processes",
            )
        )
    return Place(config.coordinator, config.count, index, timeout_s)


def _index(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None


def _task(timeout_s: float) -> Place | None:
    task = slurm.task()
    if task is None or task.count == 1:
        return None
    return Place(
        task.coordinator, task.count, task.index, timeout_s, devices=task.devices
    )


def _host_of_pod(timeout_s: float) -> Place | None:
    """Returns the place that JAX reads from a TPU pod's environment."""
    # `initialize` detects it, but raises where there is no cluster, and no public
    # function of JAX checks for one.
    from jax._src.clusters import ClusterEnv

    for cluster in ClusterEnv._cluster_types:
        if cluster.name in _PODS and cluster.is_env_present():
            count = cluster.get_process_count()
            if count == 1:
                return None
            port = os.environ.get("JAX_COORDINATOR_PORT")
            return Place(
                cluster.get_coordinator_address(int(timeout_s), port),
                count,
                cluster.get_process_id(),
                timeout_s,
                pod=True,
            )
    return None
