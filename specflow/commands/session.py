"""JAX as a command needs it: pretended devices, and compiled programs kept."""

import os
from pathlib import Path

import jax

from specflow.commands.quiet import hush_checkpoint_threads
from specflow.config.mesh import MeshConfig
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
    """
    hush_checkpoint_threads()
    if mesh.pretend_devices is not None:
        pretend_devices(mesh.pretend_devices)
    if jax.config.values["jax_compilation_cache_dir"] is None:
        jax.config.update("jax_compilation_cache_dir", str(cache_directory()))
        # Small programs count too: they are what a first step waits for.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
