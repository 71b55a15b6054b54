"""What every test starts from: eight pretended CPU devices, and no rank promotion."""

import gc
import os

os.environ["JAX_PLATFORMS"] = "cpu"

import hypothesis
import jax
import pytest
from jax.lib import __version__ as jaxlib_version

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")
# Most of what XLA does for speed is left out: tests compile thousands of programs and
# run each for some steps, in this process and in those that they start; a fixture is
# for those that are to compile as a user's.
jax.config.update("jax_disable_most_optimizations", True)
QUICKLY = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
# The older of two ways to write a fusion as code takes half the time, and programs as
# small as these are not worth cutting up. A flag that XLA does not know ends the
# process, so they are given to versions that were seen to know them.
flags = [os.environ.get("XLA_FLAGS", "")]
if jaxlib_version.startswith(("0.10.", "0.11.", "0.12.")):
    # On a busy machine eight devices may begin a collective more than a minute apart.
    flags.append("--xla_cpu_collective_call_terminate_timeout_seconds=600")
if jaxlib_version.startswith("0.10."):
    flags.append("--xla_cpu_use_fusion_emitters=false")
    flags.append("--xla_cpu_parallel_codegen_split_count=1")
if any(flags):
    QUICKLY["XLA_FLAGS"] = " ".join(flags).strip()
AS_GIVEN = {name: os.environ.get(name) for name in QUICKLY}
os.environ.update(QUICKLY)
jax.devices()  # Reads the flags, once.


# The first example compiles, and a machine may be busy.
hypothesis.settings.register_profile(
    "tests", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("tests")


def pytest_addoption(parser):
    parser.addoption(
        "--update-golden", action="store_true", help="rewrite the files of tests/golden"
    )


def pytest_configure(config):
    """What a worker has compiled, or a program that a test starts, serves all others.

    It serves later runs too: compiling is most of the time that the tests take. Nothing
    is taken for something else, as JAX names programs by all that they depend on;
    `--cache-clear` removes it.
    """
    # What commands note of their runs is kept out of the home of whoever tests.
    os.environ["XDG_STATE_HOME"] = str(config.cache.mkdir("state"))
    kept = {
        "JAX_COMPILATION_CACHE_DIR": str(config.cache.mkdir("xla")),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    for name, value in kept.items():
        jax.config.update(name.lower(), _read(os.environ.setdefault(name, value)))


def pytest_collection_finish(session):
    """What was imported and collected stays: no search for garbage goes through it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


@pytest.fixture
def compiled_as_a_users(monkeypatch):
    """What a test starts compiles with all that XLA does for speed."""
    for name, value in AS_GIVEN.items():
        if value is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, value)


def _read(text):
    return int(text) if text.lstrip("-").isdigit() else text
