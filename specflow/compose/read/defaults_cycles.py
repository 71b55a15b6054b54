"""Defaults lists that lead back to themselves, which Hydra follows without end."""

from collections.abc import Iterable, Iterator
from typing import Any

import yaml
from hydra.core.override_parser.types import Override

from specflow.compose.provenance import Origin
from specflow.compose.read.config_folders import Folders
from specflow.compose.read.salvage import salvage
from specflow.diagnostics.errors import ConfigError, Diagnostic

__all__ = ["circle_diagnostic", "entries_of"]

Step = tuple[str, Origin]
"""Config that an entry of a defaults list names, and the entry."""


def circle_diagnostic(
    root: str, choices: Iterable[Override], folders: Folders
) -> Diagnostic:
    """The entries that form a circle, and where they stand.

    Args:
        root: the config with which composing begins.
        choices: of the command line.
        folders: where configs lie.
    """
    chosen = [f"{one.key_or_group}/{one.value()}" for one in choices]
    for start in (root, *chosen):
        circle = _circle([(start, Origin("command line"))], folders, set())
        if circle:
            break
    else:
        problem = "its defaults list leads back to itself"
        return Diagnostic(root, problem, origin="command line", code="composition")
    (named, entry), *others = circle
    told = []
    for config, origin in others:
        told.append(f"{named} names {config} ({origin.exact})")
        named = config
    return Diagnostic(
        circle[-1][0],
        f"names {circle[0][0] if others else 'itself'} in its defaults list",
        expected=f"no cycle: {', '.join(told)}" if told else "",
        hint="Remove one of these entries." if told else "Remove this entry.",
        origin=entry.exact,
        code="composition",
    )


def _circle(steps: list[Step], folders: Folders, done: set[str]) -> list[Step]:
    """The steps from a config back to it, of the first circle that is met."""
    here = steps[-1][0]
    before = [config for config, _ in steps[:-1]]
    if here in before:
        return steps[before.index(here) + 1 :]
    if here in done:
        return []
    for step in entries_of(here, folders):
        if circle := _circle([*steps, step], folders, done):
            return circle
    done.add(here)
    return []


def entries_of(config: str, folders: Folders) -> Iterator[Step]:
    """The configs that a file's defaults list merges, each with its entry."""
    file = folders.file(config)
    if file is None:
        return
    shown = folders.shown(file)
    try:
        node = salvage(file, shown).document.node
    except ConfigError:
        return
    for key, entries in node.value:
        if key.value == "defaults" and isinstance(entries, yaml.SequenceNode):
            for entry in entries.value:
                mark = entry.start_mark
                origin = Origin(shown, mark.line + 1, mark.column + 1)
                yield from ((name, origin) for name in _named(entry, config))


def _named(entry: Any, config: str) -> Iterator[str]:
    """The configs that an entry names, from the root of the folders."""
    group = config.rpartition("/")[0]
    inner: Any
    if isinstance(entry, yaml.ScalarNode) and entry.value != "_self_":
        yield _absolute(entry.value, group)
    pairs: Any = entry.value if isinstance(entry, yaml.MappingNode) else ()
    for key, value in pairs:
        *words, name = str(key.value).split() or [""]
        if "override" in words:
            continue  # What it names is merged elsewhere.
        inner = value.value if isinstance(value, yaml.SequenceNode) else [value]
        for choice in inner:
            yield f"{_absolute(name, group)}/{choice.value}"


def _absolute(name: str, group: str) -> str:
    """A config, or a group, as Hydra finds it from inside a group."""
    name = name.split("@")[0].removesuffix(".yaml")
    return name.lstrip("/") if name.startswith("/") or not group else f"{group}/{name}"
