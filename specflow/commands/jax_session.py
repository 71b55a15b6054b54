"""JAX set up for a command: processes, devices, compile cache, output streams."""

import functools
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax

from specflow.config.base import Config
from specflow.config.sections.mesh import MeshConfig
from specflow.diagnostics.errors import Diagnostic, MachineError, SpecflowWarning
from specflow.diagnostics.rendering import line
from specflow.distributed import collectives
from specflow.mesh import idle_tasks, pretend_devices, start_processes
from specflow.output.run.package_versions import PROGRAM_PACKAGES, package_versions
from specflow.runtime.plain_tree import settings

if TYPE_CHECKING:
    from specflow.compose import Composed

__all__ = ["cache_directory", "prepare", "show_warnings", "start"]

_PER_PROCESS = ("mesh.processes.", "output.dir.")
"""Keys that may differ between processes: the index of the process, and the directory,
which process 0 broadcasts (the name of a sweep's directory contains the time)."""


def cache_directory() -> Path | None:
    """Directory of the compile cache: `<user's cache>/specflow/xla`.

    None if the user's cache is unknown: a user id without a home.
    """
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return None if base.startswith("~") else Path(base) / "specflow" / "xla"


def start(composed: "Composed") -> None:
    """Sets JAX up for an experiment; see `prepare`."""
    prepare(composed.config.mesh, composed.config)


def prepare(mesh: MeshConfig, config: Config) -> None:
    """Sets up JAX, before its first use in the process, and the output streams.

    Compiled programs are cached on disk unless `JAX_COMPILATION_CACHE_DIR` or
    `JAX_ENABLE_COMPILATION_CACHE` set something else. Only process 0 of several writes
    to standard output.

    Args:
        mesh: the devices, and the processes that own them.
        config: must be the same in all processes.

    Raises:
        ConfigError: JAX already runs with another number of devices; the index of this
            process is unknown; the config of a process differs.
        MachineError: there is no device of the requested kind; a process did not join.
    """
    show_warnings()
    pretended = start_processes(mesh.processes, pretended=mesh.pretend_devices)
    if jax.distributed.is_initialized():
        shared = {
            key: value
            for path, value in settings(config.model_dump(by_alias=True))
            if not f"{(key := '.'.join(path))}.".startswith(_PER_PROCESS)
        }
        versions = package_versions(PROGRAM_PACKAGES)
        collectives.check_equal("config", shared)
        collectives.check_equal("version of packages", versions)
    else:
        _warn_of_idle_tasks()
    if pretended is not None:
        pretend_devices(pretended)
    if jax.config.values["jax_compilation_cache_dir"] is None:
        _cache_programs(cache_directory())
    _find_devices()
    if jax.distributed.is_initialized():
        _silence_other_processes()
        devices = jax.local_devices()
        facts = {"kind of devices": devices[0].device_kind, "devices": len(devices)}
        collectives.check_equal("devices", facts)


def show_warnings() -> None:
    """Shows warnings of specflow in the form of its errors, from now on."""
    warnings.showwarning = _show_warning


_show_other_warning = warnings.showwarning


def _show_warning(message: Warning | str, *where: Any, **options: Any) -> None:
    """Shows a warning of specflow in the form of its errors."""
    if isinstance(message, SpecflowWarning):
        print(line(message.diagnostic, kind="warning"), file=sys.stderr)
    else:
        _show_other_warning(message, *where, **options)


def _cache_programs(directory: Path | None) -> None:
    if directory is None:
        _warn_of_no_cache()
        return
    jax.config.update("jax_compilation_cache_dir", str(directory))
    # Small programs as well: the first step waits for them.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


@functools.cache
def _warn_of_no_cache() -> None:
    if not jax.config.values["jax_enable_compilation_cache"]:
        return
    warning = Diagnostic(
        "compile cache",
        "the home folder of this user is unknown, so compiled programs are not cached",
        hint="Set XDG_CACHE_HOME or JAX_COMPILATION_CACHE_DIR to cache them.",
        code="home-unknown",
    )
    print(line(warning, kind="warning"), file=sys.stderr)


@functools.cache
def _warn_of_idle_tasks() -> None:
    if count := idle_tasks():
        warning = Diagnostic(
            "slurm",
            f"this job has {count} tasks, and this process computes alone",
            expected="srun before the command, which starts it once for each task",
            code="tasks-idle",
        )
        print(line(warning, kind="warning"), file=sys.stderr)


@functools.cache
def _silence_other_processes() -> None:
    """Closes standard output of all processes but 0; on CPU, to all but Python there.

    Gloo, the transport of collectives on CPU, writes lines of its own to it.
    """
    sys.stdout.flush()
    if collectives.is_process_zero():
        if jax.default_backend() != "cpu" or sys.__stdout__ is None:
            return
        buffer: Any = sys.__stdout__.buffer
        # In place: objects that hold the stream keep writing to the same file.
        getattr(buffer, "raw", buffer).__init__(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _find_devices() -> None:
    """Initializes JAX's backend.

    Raises:
        MachineError: there is no device of the requested kind.
    """
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:
        requested = os.environ.get("JAX_PLATFORMS", "")
        reason = str(error).partition(" (set JAX_PLATFORMS")[0]
        raise MachineError(
            Diagnostic(
                f"JAX_PLATFORMS={requested}" if requested else "devices",
                reason or "JAX finds no such device",
                expected="a machine with such a device, and JAX installed for it",
                hint="JAX_PLATFORMS=cpu runs on the CPU.",
                code="no-device",
            )
        ) from error
