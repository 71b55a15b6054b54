"""Cycles of defaults lists, which Hydra would follow without end."""

from collections.abc import Iterable, Iterator
from typing import Any

import yaml
from hydra.core.override_parser.types import Override

from specflow.compose.provenance import Origin
from specflow.compose.read.config_folders import Folders
from specflow.compose.read.valid_blocks import read_valid_blocks
from specflow.diagnostics.errors import ConfigError, Diagnostic, is_slip

__all__ = ["cycle_diagnostic", "entries_of"]

Step = tuple[str, Origin]
"""Config that an entry of a defaults list names, and the origin of the entry."""


def cycle_diagnostic(
    root: str, choices: Iterable[Override], folders: Folders
) -> Diagnostic:
    """Reports the entries that form a cycle, with their places.

    Args:
        root: the config from which composition starts.
        choices: choices on the command line.
        folders: config folders.
    """
    chosen = [f"{one.key_or_group}/{one.value()}" for one in choices]
    for start in (root, *chosen):
        cycle = _cycle([(start, Origin("command line"))], folders, set())
        if cycle:
            break
    else:
        problem = "its defaults list leads back to itself"
        return Diagnostic(root, problem, origin="command line", code="composition")
    (named, entry), *others = cycle
    links = []
    for config, origin in others:
        links.append(f"{named} names {config} ({origin.exact})")
        named = config
    return Diagnostic(
        cycle[-1][0],
        f"names {cycle[0][0] if others else 'itself'} in its defaults list",
        expected=f"no cycle: {', '.join(links)}" if links else "",
        hint="Remove one of these entries." if links else "Remove this entry.",
        origin=entry.exact,
        code="composition",
    )


def _cycle(steps: list[Step], folders: Folders, done: set[str]) -> list[Step]:
    """Returns the steps of the first cycle that is found, or nothing."""
    current = steps[-1][0]
    before = [config for config, _ in steps[:-1]]
    if current in before:
        return steps[before.index(current) + 1 :]
    if current in done:
        return []
    for step in entries_of(current, folders):
        if cycle := _cycle([*steps, step], folders, done):
            return cycle
    done.add(current)
    return []


def entries_of(config: str, folders: Folders) -> Iterator[Step]:
    """Yields the configs that a file's defaults list merges, each with its origin."""
    file = folders.file(config)
    if file is None:
        return
    shown = folders.shown(file)
    try:
        node = read_valid_blocks(file, shown).document.node
    except ConfigError:
        return
    for key, entries in node.value:
        if is_slip(str(key.value), "defaults") and isinstance(
            entries, yaml.SequenceNode
        ):
            for entry in entries.value:
                mark = entry.start_mark
                origin = Origin(shown, mark.line + 1, mark.column + 1)
                yield from ((name, origin) for name in _named(entry, config))


def _named(entry: Any, config: str) -> Iterator[str]:
    """Yields the configs that an entry names, relative to the root of the folders."""
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
    """Resolves a config or group named inside a group, as Hydra does."""
    name = name.split("@")[0].removesuffix(".yaml")
    return name.lstrip("/") if name.startswith("/") or not group else f"{group}/{name}"
