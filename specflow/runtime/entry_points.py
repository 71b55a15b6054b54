"""Entry points of installed packages: components by name, and folders of configs.

A package declares them in `[project.entry-points."specflow.models"]` and the like; to
install it is to trust it. This is the only module that loads what an entry point names.
Nothing is looked up before a name is met that specflow does not know, so plugins cost
nothing where none is used.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specflow.diagnostics import user_code
from specflow.diagnostics.errors import ConfigError, Diagnostic
from specflow.runtime import distribution

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = [
    "FOLDERS",
    "Plugin",
    "brought_folders",
    "load",
    "names",
    "plugin",
    "stale_metadata",
]

FOLDERS = "specflow.conf"
"""The group of entry points that name folders of configs."""


@dataclasses.dataclass(frozen=True, slots=True)
class Plugin:
    """An entry point of an installed package."""

    group: str
    name: str
    value: str
    """The entry point's value: `module:object`, or `package.folder`."""
    package: str
    """Name of the distribution that declares it."""
    version: str

    @property
    def is_own(self) -> bool:
        """Whether the distribution is specflow's."""
        return self.package == distribution.NAME

    def __str__(self) -> str:
        return f"{self.package} {self.version}"


def names(group: str) -> tuple[str, ...]:
    """Names that installed packages declare in a group, sorted; imports none."""
    return tuple(sorted(_declared(group)))


def plugin(group: str, name: str) -> Plugin | None:
    """The entry point of a name in a group; None if no package declares it.

    Raises:
        ConfigError: two packages declare it, none of which is specflow: other packages
            cannot take the names of specflow's own.

    >>> plugin("specflow.models", "no_such_model")
    """
    plugins = _declared(group).get(name, ())
    plugins = tuple(plugin for plugin in plugins if plugin.is_own) or plugins
    if len(plugins) < 2:
        return plugins[0] if plugins else None
    packages = [str(plugin) for plugin in plugins]
    raise ConfigError(
        Diagnostic(
            name,
            f"is declared by {' and by '.join(packages)}, both as {group}",
            expected="one package for each name",
            hint="Uninstall one of them, or ask its authors for another name.",
            code="plugin-twice",
        )
    )


def stale_metadata(group: str, name: str, *, where: str) -> Diagnostic | None:
    """Reports an entry point of specflow's own that its installed metadata lacks.

    The metadata of an editable install are those of the day it was installed, and the
    code is today's. Call it once `plugin` has found nothing.

    Args:
        group: group of entry points.
        name: the name that was looked up in it.
        where: key of the config, or option, that has the name.

    Returns:
        The diagnostic; None if this is no clone, or its `pyproject.toml` does not
        declare the name.
    """
    import tomllib  # Read only on the way to an error.

    clone = Path(__file__).parents[2]
    try:
        project = tomllib.loads((clone / "pyproject.toml").read_text())["project"]
        declared = name in project["entry-points"][group]
    except (OSError, KeyError, ValueError):
        return None
    if not declared or project.get("name") != distribution.NAME:
        return None
    return Diagnostic(
        where,
        f"got {name!r}, which pyproject.toml declares in {group} and the installed "
        f"metadata of {distribution.NAME} do not: they are older than the code",
        hint=f"Run pip install -e . again in {clone}.",
        code="installation",
    )


def load(plugin: Plugin) -> Any:
    """Imports the object that an entry point names.

    Raises:
        ConfigError: it cannot be imported, or its module lacks it.
    """
    module, _, path = plugin.value.partition(":")
    try:
        if not plugin.is_own:
            user_code.claim(module.strip())
        value: Any = import_module(module.strip())
        for part in filter(None, path.strip().split(".")):
            value = getattr(value, part)
    except (Exception, SystemExit) as error:
        # Importing runs code of others, which may fail in any way.
        reason = f"{type(error).__name__}: {error}".rstrip(": ")
        raise ConfigError(
            Diagnostic(
                plugin.name,
                f"{plugin.value} of {plugin} cannot be imported: {reason}",
                hint=f"Fix or upgrade {plugin.package}, and install what it needs.",
                code="plugin-import",
                cause=error,
            )
        ) from error
    return value


@cache
def brought_folders() -> Mapping[Path, Path]:
    """The folders of configs that installed packages bring.

    No package is imported to find its folder.

    Returns:
        Folder -> the directory its package is installed in, sorted by the names of
        entry points.

    Raises:
        ConfigError: a declared folder does not exist.
    """
    plugins = [plugin for name in names(FOLDERS) for plugin in _declared(FOLDERS)[name]]
    return dict(map(_folder, plugins))


def _folder(plugin: Plugin) -> tuple[Path, Path]:
    package, *inner = plugin.value.split(".")
    for location in _locations(package):
        folder = Path(location, *inner)
        if folder.is_dir():
            return folder, Path(location).parent
    raise ConfigError(
        Diagnostic(
            FOLDERS,
            f"{plugin.value} of {plugin} is not a folder",
            expected="package.folder, with model/mine.yaml say in it",
            hint=f"Fix or upgrade {plugin.package}.",
            code="plugin-import",
        )
    )


def _locations(package: str) -> Iterable[str]:
    """The directories of a package, which is not imported."""
    from importlib.util import find_spec

    spec = find_spec(package) if package.isidentifier() else None
    return (spec.submodule_search_locations or ()) if spec else ()


@cache
def _declared(group: str) -> dict[str, tuple[Plugin, ...]]:
    """Name -> the entry points of that name, one a package that declares it."""
    # Slow to import, and to ask.
    from importlib.metadata import entry_points

    plugins: dict[str, set[Plugin]] = {}
    for entry in entry_points(group=group):
        for plugin in _as_plugin(entry):
            plugins.setdefault(plugin.name, set()).add(plugin)
    return {
        name: tuple(sorted(same_name, key=str))
        for name, same_name in sorted(plugins.items())
    }


def _as_plugin(entry: "EntryPoint") -> Iterator[Plugin]:
    if entry.dist is not None and entry.name.isidentifier():
        package, version = entry.dist.name, entry.dist.version
        yield Plugin(entry.group, entry.name, entry.value, package, version)
