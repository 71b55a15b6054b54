"""Check of `trust=`: what it names must exist, or it has no effect."""

import os
import pkgutil
from collections.abc import Iterator
from importlib.util import find_spec

from specflow.compose.read.override_grammar import Request
from specflow.diagnostics.errors import Diagnostic, did_you_mean, nearest
from specflow.runtime import project_file

__all__ = ["trust_diagnostics"]


def trust_diagnostics(request: Request, folder: str) -> Iterator[Diagnostic]:
    """Yields an error for each package and folder of `trust=` that does not exist.

    Those of the project file are not checked: it may be read where the package is not
    installed. No module is imported.

    Args:
        request: overrides of the command line.
        folder: folder from which trusted packages are imported.
    """
    project = project_file.active()
    known = project.trust if project is not None else ()
    for name in request.trust:
        if name in known or not name.isidentifier() or _is_found(name):
            continue
        modules = [module.name for module in pkgutil.iter_modules([folder])]
        yield Diagnostic(
            "trust",
            f"there is no package {name!r}",
            expected=f"a package that is installed, or in {folder}",
            hint=did_you_mean(nearest(name, [*modules, *known]), prefix="trust="),
            origin=request.trusted_by,
            code="target-untrusted",
        )
    for name in request.trusted_folders:
        above, last = os.path.split(os.path.expanduser(name).rstrip("/"))
        if not os.path.isdir(os.path.join(above, last)):
            near = nearest(last, _folders_in(above))
            yield Diagnostic(
                "trust",
                f"there is no folder {name!r}",
                expected="a folder of configs",
                hint=did_you_mean(near, prefix=f"trust={above}/"),
                origin=request.trusted_by,
                code="target-untrusted",
            )


def _folders_in(path: str) -> list[str]:
    entries = os.scandir(path) if os.path.isdir(path) else ()
    return [entry.name for entry in entries if entry.is_dir()]


def _is_found(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ValueError:
        return True  # A module that is imported and does not say from where.
