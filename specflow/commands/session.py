"""JAX as a command needs it: pretended devices, and compiled programs kept."""

import os
from pathlib import Path

import jax

from specflow.commands.quiet import hush_checkpoint_threads
from specflow.config.mesh import MeshConfig
from specflow.errors import Fault, MachineError
from specflow.mesh import pretend_devices

__all__ = ["cache_directory", "start"]


def cache_directory() -> Path:
    """Where compiled programs are kept between runs: `<user's cache>/specflow/xla`."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "specflow" / "xla"


def start(mesh: MeshConfig) -> None:
    """Sets JAX up, and what prints beside it; before its first use in the process.

    Compiled programs are kept unless `JAX_COMPILATION_CACHE_DIR` or
    `JAX_ENABLE_COMPILATION_CACHE` say otherwise.

    Raises:
        ConfigError: JAX already runs with another number of devices.
        MachineError: there is no device of the kind that was asked for.
    """
    hush_checkpoint_threads()
    if mesh.pretend_devices is not None:
        pretend_devices(mesh.pretend_devices)
    if jax.config.values["jax_compilation_cache_dir"] is None:
        jax.config.update("jax_compilation_cache_dir", str(cache_directory()))
        # Small programs count too: they are what a first step waits for.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    _find_devices()


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
            Fault(
                f"JAX_PLATFORMS={asked}" if asked else "devices",
                reason or "JAX knows no such device here",
                expected="a machine with such a device, and JAX installed for it",
                mend="JAX_PLATFORMS=cpu runs on the CPU.",
                code="no-device",
            )
        ) from error
