"""JAX as a command needs it: processes, pretended devices, compiled programs kept."""

import functools
import os
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax

from specflow.commands.quiet_logs import hush_checkpoint_threads
from specflow.config.sections.mesh import MeshConfig
from specflow.diagnostics.errors import Diagnostic, MachineError, SpecflowWarning
from specflow.diagnostics.rendering import line
from specflow.distributed import collectives
from specflow.mesh import idle_tasks, pretend_devices, start_processes
from specflow.runtime.distribution import version_of
from specflow.runtime.plain_tree import settings

if TYPE_CHECKING:
    from specflow.compose import Composed

__all__ = ["cache_directory", "prepare", "start"]


def cache_directory() -> Path | None:
    """Where compiled programs are kept between runs: `<user's cache>/specflow/xla`.

    None where nothing says where the user's cache is: a user id without a home.
    """
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return None if base.startswith("~") else Path(base) / "specflow" / "xla"


def start(composed: "Composed") -> None:
    """Sets JAX up for an experiment; see `prepare`."""
    prepare(composed.config.mesh, composed.tree)


def prepare(mesh: MeshConfig, tree: Mapping[str, Any]) -> None:
    """Sets JAX up, and what prints beside it; before its first use in the process.

    Compiled programs are kept unless `JAX_COMPILATION_CACHE_DIR` or
    `JAX_ENABLE_COMPILATION_CACHE` say otherwise.

    Of several processes the first one speaks for all on standard output.

    Args:
        mesh: the devices, and the processes that have them.
        tree: what must be the same in all processes.

    Raises:
        ConfigError: JAX already runs with another number of devices; nothing says which
            of several processes this is; one has another config, and is named.
        MachineError: there is no device of the kind that was asked for; a process did
            not come.
    """
    hush_checkpoint_threads()
    warnings.showwarning = _show
    pretended = start_processes(mesh.processes, pretended=mesh.pretend_devices)
    if jax.distributed.is_initialized():
        collectives.check_equal("config", _shared_settings(tree))
        collectives.check_equal("version of packages", _versions())
    else:
        _warning_idle_tasks()
    if pretended is not None:
        pretend_devices(pretended)
    if jax.config.values["jax_compilation_cache_dir"] is None:
        _keep_programs(cache_directory())
    _find_devices()
    if jax.distributed.is_initialized():
        _speak_first()
        found = jax.local_devices()
        facts = {"kind of devices": found[0].device_kind, "devices": len(found)}
        collectives.check_equal("devices", facts)


_PACKAGES = ("flax", "jax", "jaxlib", "numpy", "optax", "orbax-checkpoint", "specflow")
"""What decides which program is computed, and what is written."""


def _versions() -> dict[str, str | None]:
    return {name: version_of(name) for name in _PACKAGES}


_show_other = warnings.showwarning


def _show(message: Warning | str, *where: Any, **options: Any) -> None:
    """Shows a warning of specflow's own as its errors are shown."""
    if isinstance(message, SpecflowWarning):
        print(line(message.diagnostic, kind="warning"), file=sys.stderr)
    else:
        _show_other(message, *where, **options)


def _keep_programs(directory: Path | None) -> None:
    if directory is None:
        _warning_no_cache()
        return
    jax.config.update("jax_compilation_cache_dir", str(directory))
    # Small programs count too: they are what a first step waits for.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


@functools.cache
def _warning_no_cache() -> None:
    if not jax.config.values["jax_enable_compilation_cache"]:
        return
    warning = Diagnostic(
        "compile cache",
        "no home folder is known for this user, so compiled programs are not kept",
        hint="Set XDG_CACHE_HOME or JAX_COMPILATION_CACHE_DIR to keep them.",
        code="home-unknown",
    )
    print(line(warning, kind="warning"), file=sys.stderr)


@functools.cache
def _warning_idle_tasks() -> None:
    if count := idle_tasks():
        warning = Diagnostic(
            "slurm",
            f"this job has {count} tasks, and this process computes alone",
            expected="srun before the command, which starts it once for each task",
            code="tasks-idle",
        )
        print(line(warning, kind="warning"), file=sys.stderr)


@functools.cache
def _speak_first() -> None:
    """Leaves standard output to process 0; on CPU, to what Python writes there.

    Gloo, by which processes on CPUs talk, would write its own lines between.
    """
    sys.stdout.flush()
    if collectives.is_process_zero():
        if jax.default_backend() != "cpu" or sys.__stdout__ is None:
            return
        buffer: Any = sys.__stdout__.buffer
        # In place: who holds on to the stream still writes where it went.
        getattr(buffer, "raw", buffer).__init__(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _shared_settings(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Returns dotted key -> value of all that must be equal in every process.

    The number of the process may differ, and so may the directory: all processes use
    that of process 0, and the name of a sweep's directory contains the time.
    """
    return {
        key: value
        for key, value in settings(tree)
        if not f"{key}.".startswith(("mesh.processes.", "output.dir."))
    }


def _find_devices() -> None:
    """Has JAX look for its devices, and says so if there are none.

    Raises:
        MachineError: there are none.
    """
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:
        asked = os.environ.get("JAX_PLATFORMS", "")
        reason = str(error).partition(" (set JAX_PLATFORMS")[0]
        raise MachineError(
            Diagnostic(
                f"JAX_PLATFORMS={asked}" if asked else "devices",
                reason or "JAX knows no such device here",
                expected="a machine with such a device, and JAX installed for it",
                hint="JAX_PLATFORMS=cpu runs on the CPU.",
                code="no-device",
            )
        ) from error
