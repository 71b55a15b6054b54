"""Versions of the installed packages that a run depends on."""

from collections.abc import Iterable
from functools import cache

from specflow.runtime.distribution import version_of

__all__ = ["PROGRAM_PACKAGES", "RECORDED_PACKAGES", "package_versions"]

RECORDED_PACKAGES = (
    "specflow",
    "flax",
    "grain",
    "hydra-core",
    "jax",
    "jaxlib",
    "libtpu",
    "numpy",
    "omegaconf",
    "optax",
    "pydantic",
    "scikit-learn",
)
"""Packages whose versions a run's manifest records."""

PROGRAM_PACKAGES = (
    "flax",
    "jax",
    "jaxlib",
    "numpy",
    "optax",
    "specflow",
)
"""Packages that determine the compiled program and the checkpoints: the same version in
every process."""


def package_versions(packages: Iterable[str]) -> dict[str, str]:
    """Versions by package; packages that are not installed are left out."""
    versions = {package: _version_of(package) for package in packages}
    return {name: version for name, version in versions.items() if version is not None}


# A process runs what it has imported, whatever is installed meanwhile; metadata takes a
# millisecond a package, which each trial of a sweep would read again.
_version_of = cache(version_of)
