"""What outside packages bring: components by name, and folders of configs.

A package says so by entry points (`[project.entry-points."specflow.models"]`); to have
installed it is to trust it. This is the one place that loads what an entry point names.
Nothing is looked up before a config names what specflow does not know, so that whoever
uses no plugin pays nothing.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specflow.diagnostics import user_code
from specflow.diagnostics.errors import ConfigError, Diagnostic

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["FOLDERS", "Plugin", "brought_folders", "load", "names", "plugin"]

FOLDERS = "specflow.conf"
"""The group of entry points that name folders of configs."""


@dataclasses.dataclass(frozen=True, slots=True)
class Plugin:
    """What one package declares by one name."""

    group: str
    name: str
    value: str
    """What the entry point names: `module:object`, or `package.folder`."""
    package: str
    """The distribution, as it is installed."""
    version: str

    def __str__(self) -> str:
        return f"{self.package} {self.version}"


def names(group: str) -> tuple[str, ...]:
    """The names that installed packages declare in a group, sorted; imports none."""
    return tuple(sorted(_declared(group)))


def plugin(group: str, name: str) -> Plugin | None:
    """What declares a name in a group; none if nothing does.

    Raises:
        ConfigError: two packages declare it.

    >>> plugin("specflow.models", "no_such_model")
    """
    found = _declared(group).get(name, ())
    if len(found) < 2:
        return found[0] if found else None
    packages = [str(one) for one in found]
    raise ConfigError(
        Diagnostic(
            name,
            f"is declared by {' and by '.join(packages)}, both as {group}",
            expected="one package for each name",
            hint="Uninstall one of them, or ask its authors for another name.",
            code="plugin-twice",
        )
    )


def load(found: Plugin) -> Any:
    """The object that a plugin's entry point names; its module is imported.

    Raises:
        ConfigError: it cannot be imported, or is not there.
    """
    module, _, path = found.value.partition(":")
    try:
        user_code.claim(module.strip())
        value: Any = import_module(module.strip())
        for part in filter(None, path.strip().split(".")):
            value = getattr(value, part)
    except (Exception, SystemExit) as error:
        # Importing runs code of others, which may fail in any way.
        reason = f"{type(error).__name__}: {error}".rstrip(": ")
        raise ConfigError(
            Diagnostic(
                found.name,
                f"{found.value} of {found} cannot be imported: {reason}",
                hint=f"Mend or upgrade {found.package}, and install what it needs.",
                code="plugin-import",
                cause=error,
            )
        ) from error
    return value


@cache
def brought_folders() -> Mapping[Path, Path]:
    """The folders of configs that installed packages bring.

    Nothing of a package is imported to find its folder.

    Returns:
        Folder -> where its package lies, sorted by the names of entry points.

    Raises:
        ConfigError: a folder that is declared is not there.
    """
    found = [one for name in names(FOLDERS) for one in _declared(FOLDERS)[name]]
    return dict(map(_folder, found))


def _folder(found: Plugin) -> tuple[Path, Path]:
    package, *inner = found.value.split(".")
    for place in _places(package):
        folder = Path(place, *inner)
        if folder.is_dir():
            return folder, Path(place).parent
    raise ConfigError(
        Diagnostic(
            FOLDERS,
            f"{found.value} of {found} is no folder",
            expected="package.folder, with model/mine.yaml say in it",
            hint=f"Mend or upgrade {found.package}.",
            code="plugin-import",
        )
    )


def _places(package: str) -> Iterable[str]:
    from importlib.util import find_spec

    spec = find_spec(package) if package.isidentifier() else None
    return (spec.submodule_search_locations or ()) if spec else ()


@cache
def _declared(group: str) -> dict[str, tuple[Plugin, ...]]:
    """Name -> the packages that declare it."""
    # Slow to import, and to ask.
    from importlib.metadata import entry_points

    found: dict[str, set[Plugin]] = {}
    for entry in entry_points(group=group):
        for one in _as_plugin(entry):
            found.setdefault(one.name, set()).add(one)
    return {
        name: tuple(sorted(several, key=str)) for name, several in sorted(found.items())
    }


def _as_plugin(entry: "EntryPoint") -> Iterator[Plugin]:
    if entry.dist is not None and entry.name.isidentifier():
        package, version = entry.dist.name, entry.dist.version
        yield Plugin(entry.group, entry.name, entry.value, package, version)
