"""Packages that a search needs, named before its first trial."""

import importlib.util
from typing import Any

from specflow.config.sections.sweep import SweepConfig
from specflow.diagnostics.errors import ConfigError, Diagnostic

__all__ = ["check_requirements"]

_EXTRA = "pip install 'specflow-jax[sweep]'"
_OF_SAMPLERS = {"cmaes": ("cmaes",), "gp": ("torch", "scipy"), "qmc": ("scipy",)}
_DRIVERS = {
    "postgresql": ("psycopg", "pip install 'psycopg[binary]'"),
    "postgresql+psycopg": ("psycopg", "pip install 'psycopg[binary]'"),
    "postgresql+psycopg2": ("psycopg2", "pip install psycopg2-binary"),
    "mysql": ("MySQLdb", "pip install mysqlclient"),
    "mysql+pymysql": ("pymysql", "pip install pymysql"),
}


def check_requirements(sweep: SweepConfig, origins: dict[str, str]) -> None:
    """Refuses a search whose packages are missing, and storages of unknown kind.

    Args:
        sweep: the search.
        origins: key -> origin of its value.

    Raises:
        ConfigError: something is missing; all at once.
    """
    sampler: Any = sweep.sampler
    missing: list[Diagnostic] = []

    def require(package: str, where: str, value: str, hint: str) -> None:
        if importlib.util.find_spec(package) is None:
            problem = f"{value} needs the package {package}, which is not installed"
            origin = origins.get(where, "")
            missing.append(
                Diagnostic(
                    where, problem, hint=hint, origin=origin, code="package-missing"
                )
            )

    require("optuna", "sweep", "a search", f"{_EXTRA}; lists and grids need nothing.")
    for package in _OF_SAMPLERS.get(sampler.name, ()):
        hint = "pip install torch." if package == "torch" else f"{_EXTRA}."
        require(package, "sweep.sampler.name", sampler.name, hint)
    scheme, is_url, _ = sweep.storage.partition("://")
    if not is_url and sweep.storage not in ("sqlite", "journal"):
        missing.append(_unknown_storage(sweep.storage, origins))
    elif scheme == "postgres":
        missing.append(_unknown_storage("a URL of postgres://", origins))
    elif scheme in _DRIVERS:
        package, hint = _DRIVERS[scheme]
        require(package, "sweep.storage", scheme, f"{hint}.")
    if missing:
        raise ConfigError(*missing)


def _unknown_storage(value: str, origins: dict[str, str]) -> Diagnostic:
    origin = origins.get("sweep.storage", "")
    return Diagnostic(
        "sweep.storage",
        f"got {value}",
        "sqlite, journal or the URL of a database, such as "
        "postgresql://user@host/database",
        # The override has the password.
        origin="" if "://" in origin else origin,
        code="sweep",
    )
