"""Which process of several this one is, and JAX started as one of them."""

import dataclasses
import os
from typing import Any

import jax

from specflow.config.sections.mesh import COORDINATOR, COUNT, INDEX, ProcessesConfig
from specflow.diagnostics.errors import ConfigError, Diagnostic
from specflow.distributed import failure, rendezvous, slurm
from specflow.distributed.relay import relay
from specflow.distributed.rendezvous import is_loopback, meet

__all__ = ["Place", "call_off", "place", "start_processes"]

_PODS = ("gcetpu", "gketpu")
"""What JAX calls the clusters of TPUs that tell each process who it is."""
_TIMEOUT_S = 300.0
_SHUTDOWN_S = 20
"""How long a process that ends waits for the others: one of them may have died."""


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """This process among all."""

    coordinator: str
    """`host:port` of the first one."""
    count: int
    index: int
    timeout_s: float = _TIMEOUT_S
    devices: tuple[int, ...] | None = None
    """Which of the devices that it sees are its own; None: all of them."""
    pod: bool = False
    """Whether a TPU pod says so, which JAX asks for more than this."""


def start_processes(
    config: ProcessesConfig | None, *, pretended: int | None = None
) -> int | None:
    """Starts JAX as one of several processes, if it is one, and has `alarm` listen.

    Args:
        config: `mesh.processes`.
        pretended: CPU devices to pretend, in all processes together.

    Returns:
        CPU devices to pretend in this one.

    Raises:
        ConfigError: nothing says which process this is; the devices to pretend do not
            divide over the processes.
        MachineError: a process did not come; it is named.
    """
    here = place(config)
    if here is None or here.count == 1:
        return pretended
    if pretended is not None and pretended % here.count:
        near = max(1, pretended // here.count) * here.count
        raise ConfigError(
            Diagnostic(
                "mesh.pretend_devices",
                f"got {pretended}, which {here.count} processes do not share evenly",
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
        told: dict[str, Any] = {"coordinator_address": here.coordinator}
        if here.index:
            address = relay(here.coordinator, timeout_s=here.timeout_s)
            told["coordinator_address"] = address
        if not here.pod:
            told |= {
                "num_processes": here.count,
                "process_id": here.index,
                "local_device_ids": here.devices,
                "cluster_detection_method": "deactivate",
            }
            if is_loopback(here.coordinator):
                told["coordinator_bind_address"] = here.coordinator
        # It would take SIGTERM for itself, and do nothing about it.
        jax.config.update("jax_enable_preemption_service", False)
        jax.distributed.initialize(
            **told,
            initialization_timeout=max(1, int(here.timeout_s)),
            shutdown_timeout_seconds=_SHUTDOWN_S,
        )
    return None if pretended is None else pretended // here.count


def call_off(config: ProcessesConfig | None, why: str, status: int) -> None:
    """Tells the other processes that this one cannot come, if there are others.

    Args:
        config: `mesh.processes`.
        why: what it failed of.
        status: its exit status, with which they end too.
    """
    try:
        here = place(config)
    except ConfigError:
        return
    if here is None or here.count == 1 or jax.distributed.is_initialized():
        return
    rendezvous.call_off(
        here.coordinator,
        index=here.index,
        count=here.count,
        why=f"process {here.index} failed: {why}",
        status=status,
    )


def place(config: ProcessesConfig | None) -> Place | None:
    """Where this process stands: what `specflow launch` says, what the config says,
    what the cluster says, in this order; None where there is but one.

    Raises:
        ConfigError: nothing says which of them it is.
    """
    said = {name: os.environ.get(name) for name in (COORDINATOR, COUNT, INDEX)}
    timeout_s = _TIMEOUT_S if config is None else config.timeout
    if all(said.values()):
        count, index = int(said[COUNT] or 1), int(said[INDEX] or 0)
        return Place(said[COORDINATOR] or "", count, index, timeout_s)
    if config is None or config.coordinator is None or config.count is None:
        return _task(timeout_s) or _host_of_pod(timeout_s)
    index = config.index if config.index is not None else _index(said[INDEX])
    if index is None or not 0 <= index < config.count:
        got = f"got {index}" if index is not None else f"is null, and {INDEX} not set"
        raise ConfigError(
            Diagnostic(
                "mesh.processes.index",
                got,
                expected=f"0 to {config.count - 1}, another one in each process",
                code="mesh-processes",
            )
        )
    return Place(config.coordinator, config.count, index, timeout_s)


def _index(said: str | None) -> int | None:
    return int(said) if said is not None and said.isdecimal() else None


def _task(timeout_s: float) -> Place | None:
    found = slurm.task()
    if found is None or found.count == 1:
        return None
    return Place(
        found.coordinator, found.count, found.index, timeout_s, devices=found.devices
    )


def _host_of_pod(timeout_s: float) -> Place | None:
    """What JAX makes of a TPU pod's environment."""
    # JAX detects in `initialize`, which fails where there is nothing to detect: whether
    # there is, it says nowhere public.
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
