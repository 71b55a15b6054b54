"""What every test starts from: eight pretended CPU devices, and no rank promotion."""

import os
import shutil
import tempfile

os.environ["JAX_PLATFORMS"] = "cpu"
# What one worker, or a program that a test starts, has compiled serves all others.
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
_cache = None
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    _cache = os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp()

import jax

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_addoption(parser):
    parser.addoption(
        "--update-golden", action="store_true", help="rewrite the files of tests/golden"
    )


def pytest_unconfigure():
    if _cache is not None:
        shutil.rmtree(_cache, ignore_errors=True)
