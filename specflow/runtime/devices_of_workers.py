"""Cores and GPUs of worker processes on one machine: each has its own."""

import itertools
import os
from pathlib import Path

from specflow.diagnostics.errors import ConfigError, Diagnostic

__all__ = ["CORES", "worker_environments"]

CORES = "SPECFLOW_WORKER_CORES"
"""Environment variable: numbers of the cores that a worker runs on, such as `0,1`."""

_GPUS = "CUDA_VISIBLE_DEVICES"
_DRIVER = Path("/proc/driver/nvidia/gpus")


def worker_environments(workers: int) -> list[dict[str, str]]:
    """Returns the environment variables by which each worker has devices of its own.

    A single worker has all of them. Cores are shared where there are fewer than
    workers; GPUs never are.

    Args:
        workers: number of processes, 1 or more.

    Raises:
        ConfigError: there are GPUs, and fewer than workers.

    >>> worker_environments(1)
    [{}]
    """
    if workers == 1:
        return [{}]
    cores = sorted(os.sched_getaffinity(0))
    gpus = _gpus()
    if gpus and len(gpus) < workers:
        raise ConfigError(
            Diagnostic(
                "hydra.launcher.workers",
                f"got {workers}, and there are {len(gpus)} GPUs",
                expected=f"1 to {len(gpus)}: each worker has GPUs of its own",
                hint="Or JAX_PLATFORMS=cpu.",
                code="sweep",
            )
        )
    environments = []
    for index in range(workers):
        own = cores[index::workers] or [cores[index % len(cores)]]
        environment = {CORES: ",".join(map(str, own))}
        if gpus:
            environment[_GPUS] = ",".join(gpus[index::workers])
        environments.append(environment)
    return environments


def _gpus() -> list[str]:
    """Names of the GPUs that JAX may use, as in CUDA_VISIBLE_DEVICES."""
    if os.environ.get("JAX_PLATFORMS", "").split(",")[0] == "cpu":
        return []
    if (visible := os.environ.get(_GPUS)) is not None:
        # CUDA ignores what follows an invalid name, such as -1.
        names = itertools.takewhile(lambda name: name != "-1", visible.split(","))
        return [name for name in names if name]
    try:
        return [str(index) for index in range(len(list(_DRIVER.iterdir())))]
    except OSError:
        return []
