"""The distribution `specflow-jax`, whose import package is `specflow`.

The distribution `specflow` on PyPI is another project with a package and a command of
the same names; pip overwrites one with the other silently. Every import of specflow
looks for it, so slow imports are deferred.
"""

import os
import sys
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from specflow.diagnostics.errors import Diagnostic

__all__ = ["NAME", "stranger", "version", "version_of", "warn", "was_warned"]

NAME = "specflow-jax"
_FORMER = "specflow"
_OURS = "TPUEstimatorSpec"
"""Text in the metadata of this project's distribution, under either name."""
_warned = False


def version() -> str | None:
    """Returns the installed version, or None when running from a source tree."""
    # Slow to import.
    from importlib.metadata import PackageNotFoundError, metadata

    for name in (NAME, _FORMER):
        try:
            about = metadata(name)
        except PackageNotFoundError:
            continue
        if name == NAME or _OURS in str(about["Summary"]):
            return about["Version"]
    return None


def version_of(package: str) -> str | None:
    """Returns the version of an installed distribution; `specflow` means this one."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    if package == "specflow":
        return version()
    try:
        return installed(package)
    except PackageNotFoundError:
        return None


@cache
def stranger() -> "Diagnostic | None":
    """Returns a diagnostic if the other project is installed on the import path.

    Takes about 0.1 ms: only names of folders are compared.
    """
    here = os.path.abspath(__file__)
    for _ in range(3):
        here = os.path.dirname(here)
    sites = [path for path in sys.path if path.endswith("-packages")]
    for folder in dict.fromkeys([here, *sites]):
        for name in _entries(folder):
            if _is_of_former_name(name) and not _is_ours(os.path.join(folder, name)):
                return _overwritten(name.split("-")[1].removesuffix(".dist"), folder)
    return None


def warn() -> None:
    """Warns once if the other project's distribution is installed."""
    global _warned
    if not _warned and (diagnostic := stranger()) is not None:
        import warnings

        _warned = True
        warnings.warn(str(diagnostic), stacklevel=3)


def was_warned() -> bool:
    """Returns True if `warn` has warned."""
    return _warned


def _overwritten(version: str, folder: str) -> "Diagnostic":
    from specflow.diagnostics.errors import Diagnostic

    return Diagnostic(
        "specflow",
        f"the distribution specflow {version}, another project, is installed in "
        f"{folder}: it and {NAME} overwrite each other's files and command",
        hint=f"Run pip uninstall specflow, and install this one again: pip install "
        f"--force-reinstall --no-deps {NAME}, or -e . in its clone.",
        code="installation",
    )


def _entries(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _is_of_former_name(name: str) -> bool:
    return name[:9] in ("specflow-", "Specflow-") and name.endswith(
        (".dist-info", ".egg-info")
    )


def _is_ours(folder: str) -> bool:
    """Returns True for a distribution of this project under its former name."""
    try:
        with open(os.path.join(folder, "METADATA"), encoding="utf-8") as file:
            return _OURS in file.read(4_000)
    except OSError:
        return True  # Partly uninstalled: its project is unknown.
