"""Places of the entries of defaults lists, which Hydra does not report."""

import dataclasses
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from specflow.compose.provenance import Origin
from specflow.compose.read.config_folders import Folders
from specflow.compose.read.documents import Document
from specflow.compose.read.valid_blocks import read_valid_blocks
from specflow.diagnostics.errors import ConfigError, is_slip

__all__ = [
    "DefaultsEntry",
    "asked_for",
    "chosen_by",
    "document_of",
    "place_of_text",
    "read_defaults",
]


@dataclasses.dataclass(frozen=True)
class DefaultsEntry:
    """An entry of a file's defaults list."""

    group: str
    choice: str
    override: bool
    """True if it changes a choice that another list makes."""
    origin: Origin


def read_defaults(node: yaml.MappingNode, shown: str) -> list[DefaultsEntry]:
    """Returns the entries of a file's defaults list that choose in a group."""
    defaults_entries = []
    for key, entries in node.value:
        if not is_slip(str(key.value), "defaults") or not isinstance(
            entries, yaml.SequenceNode
        ):
            continue
        for entry in entries.value:
            if not isinstance(entry, yaml.MappingNode):
                continue
            for group, choice in entry.value:
                words = str(group.value).split() or [""]
                mark = group.start_mark
                defaults_entries.append(
                    DefaultsEntry(
                        group=words[-1].lstrip("/"),
                        choice=str(choice.value),
                        override="override" in words[:-1],
                        origin=Origin(shown, mark.line + 1, mark.column + 1),
                    )
                )
    return defaults_entries


def chosen_by(
    group: str, choice: str, defaults_entries: Iterable[DefaultsEntry]
) -> Origin | None:
    """Returns the origin of the entry that made a choice, overriding ones first."""
    of_group = [wish for wish in defaults_entries if wish.group == group]
    fitting = [wish for wish in of_group if wish.choice == choice] or of_group
    ordered = sorted(fitting, key=lambda wish: not wish.override)
    return ordered[0].origin if ordered else None


def asked_for(
    group: str, folders: Folders, files: Collection[Path], *, choice: str = ""
) -> str:
    """Finds the entry of a defaults list that makes a choice, as Hydra reports none."""
    for file in files or folders.files():
        document = document_of(file, folders)
        for wish in (
            read_defaults(document.node, folders.shown(file)) if document else ()
        ):
            if wish.group.split("@")[0] == group and choice in ("", wish.choice):
                return wish.origin.exact
    return ""


def place_of_text(text: str, folders: Folders, files: Collection[Path]) -> str:
    """Returns the place of the entry of a defaults list that contains a text."""
    for file in files:
        document, shown = document_of(file, folders), folders.shown(file)
        for key, entries in document.node.value if document else ():
            if is_slip(str(key.value), "defaults"):
                for found in _scalars_with(text, entries):
                    mark = found.start_mark
                    return Origin(shown, mark.line + 1, mark.column + 1).exact
    return ""


def _scalars_with(text: str, node: Any) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.ScalarNode) and text in node.value:
        yield node
    for child in node.value if isinstance(node.value, list) else ():
        for inner in child if isinstance(child, tuple) else (child,):
            yield from _scalars_with(text, inner)


def document_of(file: Path, folders: Folders) -> Document | None:
    try:
        return read_valid_blocks(file, folders.shown(file)).document
    except ConfigError:
        return None
