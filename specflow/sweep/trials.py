"""Trials of a sweep, from the command line and `hydra.sweeper.params`."""

import dataclasses
import itertools
from collections.abc import Iterable, Mapping
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from specflow.compose.provenance import Origin
from specflow.compose.read.config_folders import Folders
from specflow.compose.read.defaults_list import defaults_list
from specflow.compose.read.documents import load, mark_of
from specflow.compose.read.override_grammar import Request, format_value, read
from specflow.diagnostics.errors import ConfigError, Diagnostic

__all__ = ["CHECKED_GRID", "Params", "is_grid", "is_search", "params_of", "trials"]

_PARAMS = ("hydra", "sweeper", "params")
_SEARCH = "hydra_plugins.specflow_sweeper.SpecflowSweeper"
CHECKED_GRID = "hydra_plugins.specflow_sweeper.CheckedGrid"
"""Runs the jobs of Hydra's own sweeper, which are composed and checked already."""
_GRID = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"


@dataclasses.dataclass(frozen=True)
class Params:
    """Overrides in `hydra.sweeper.params`, by which a file defines a sweep."""

    lines: tuple[str, ...] = ()
    """Overrides, as on the command line."""
    origins: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Override -> the place in a file that sets it."""

    def placed(self, diagnostic: Diagnostic) -> Diagnostic:
        """Replaces an override by its place in a file as the origin."""
        line = diagnostic.origin.removeprefix("override ").removeprefix("++")
        place = self.origins.get(line)
        return dataclasses.replace(diagnostic, origin=place) if place else diagnostic


def params_of(config: DictConfig, request: Request, folders: Folders) -> Params | None:
    """Returns the params of a sweep; None without any, or if the sweeper reads them.

    Args:
        config: config that Hydra composed, with its own section.
        request: overrides of the command line, which win over the same keys.
        folders: config folders.
    """
    sweeper: Any = config.hydra.sweeper
    params = sweeper.get("params") if isinstance(sweeper, DictConfig) else None
    values = OmegaConf.to_container(params, resolve=True) if params else {}
    if not values or not isinstance(values, dict):
        return None
    nested = any(isinstance(value, dict | list) for value in values.values())
    if nested and not is_grid(config) and not is_search(config):
        return None  # They are not in the grammar of overrides.
    typed = {one.key_or_group for one in (*request.choices, *request.values)}
    lines = {
        str(key): f"{key}={value if isinstance(value, str) else format_value(value)}"
        for key, value in values.items()
        if str(key).lstrip("+~") not in typed
    }
    places = _places(request, folders)
    origins = {}
    for key, line in lines.items():
        parsed, _ = read([line], folders)
        for written in (line, *map(str.strip, _each(parsed))):
            origins[written.removeprefix("++")] = places.get(key, "")
    return Params(tuple(lines.values()), origins)


def trials(request: Request, folders: Folders) -> list[list[str]]:
    """Returns the overrides of each job of a grid, in the order of Hydra's jobs.

    Raises:
        ConfigError: a sweep has no value.
    """
    values: dict[str, list[str]] = {}
    diagnostics = []
    for override in (*request.choices, *request.values):
        # The later values of a repeated key count.
        values[override.get_key_element().lstrip("+")] = _lines(override)
        if not _lines(override):
            diagnostics.append(_no_values(override, folders))
    if diagnostics:
        raise ConfigError(*diagnostics)
    return [list(lines) for lines in itertools.product(*values.values())]


def is_grid(config: DictConfig) -> bool:
    """Returns whether Hydra's own sweeper runs every combination of the values."""
    return OmegaConf.select(config, "hydra.sweeper._target_") == _GRID


def is_search(config: DictConfig) -> bool:
    """Returns whether the sweeper of specflow searches."""
    return OmegaConf.select(config, "hydra.sweeper._target_") == _SEARCH


def _lines(override: Override) -> list[str]:
    """Returns an override for each job; Hydra expands a glob to the choices."""
    if not override.is_discrete_sweep():
        return [] if override.is_sweep_override() else [str(override.input_line)]
    override.config_loader = GlobalHydra.instance().config_loader()
    key = override.get_key_element()
    return [f"{key}={value}" for value in override.sweep_string_iterator()]


def _each(request: Request) -> Iterable[str]:
    for override in (*request.choices, *request.values):
        yield from _lines(override)


def _no_values(override: Override, folders: Folders) -> Diagnostic:
    group = override.key_or_group
    choices = ", ".join(folders.choices(group)) if folders.is_group(group) else ""
    return Diagnostic(
        group,
        "has no values",
        expected=f"one or more of {choices}" if choices else "one value or more",
        origin=f"override {override.input_line}",
        code="sweep",
    )


def _places(request: Request, folders: Folders) -> dict[str, str]:
    """Returns key of the params -> its last origin: a file, or an override."""
    places: dict[str, str] = {}
    for file, package in defaults_list(request.singles().choices, folders).files:
        if package:
            continue  # Hydra's own section is at the root.
        shown = folders.shown(file)
        document = load(file, shown)
        section: Any = document.content
        for name in _PARAMS:
            section = section.get(name) if isinstance(section, dict) else None
        for key in section if isinstance(section, dict) else ():
            mark = mark_of(document.node, (*_PARAMS, str(key)))
            if mark is not None:
                origin = Origin(shown, mark.line + 1, mark.column + 1)
                places[str(key)] = origin.exact
    prefix = f"{'.'.join(_PARAMS)}."
    for override in request.hydra:
        if override.key_or_group.startswith(prefix):
            key = override.key_or_group.removeprefix(prefix)
            places[key] = f"override {override.input_line}"
    return places
