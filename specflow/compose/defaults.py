"""Defaults lists: which files Hydra merges, in which order, and who chose them."""

import dataclasses
import re
from collections.abc import Iterable
from pathlib import Path

import yaml
from hydra._internal.defaults_list import create_defaults_list
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from specflow.compose.documents import load, yaml_fault
from specflow.compose.folders import Folders
from specflow.compose.grammar import no_such_choice
from specflow.compose.provenance import Origin
from specflow.compose.repository import DefaultsLists
from specflow.errors import ConfigError, Fault, nearest

__all__ = [
    "ROOT",
    "Merge",
    "Wish",
    "chosen_by",
    "defaults_list",
    "first_line",
    "read_defaults",
]

ROOT = "config"
"""Name of the root config, in whatever folder it is found."""


@dataclasses.dataclass(frozen=True)
class Merge:
    """What Hydra's defaults list comes to."""

    files: tuple[tuple[Path, str], ...]
    """(file, dotted package it is merged into), in order."""
    choices: dict[str, str]
    """Config group -> what was chosen, of every group that has a choice."""


@dataclasses.dataclass(frozen=True)
class Wish:
    """An entry of a file's defaults list."""

    group: str
    choice: str
    override: bool
    """Whether it changes a choice that stands elsewhere."""
    origin: Origin


def defaults_list(choices: Iterable[Override], folders: Folders) -> Merge:
    """What Hydra would merge for these choices.

    Raises:
        ConfigError: a config is not found, or a defaults list is wrong.
    """
    try:
        found = create_defaults_list(
            DefaultsLists(folders),
            config_name=ROOT,
            overrides_list=list(choices),
            prepend_hydra=False,
            skip_missing=False,
        )
    except ConfigError:
        raise  # A file that cannot be read.
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        raise ConfigError(composition_fault(error, folders)) from None
    except (AssertionError, ValueError) as error:
        # Hydra checks the form of defaults lists with bare assertions too.
        raise ConfigError(composition_fault(error, folders)) from None
    chosen = reversed(found.overrides.known_choices.items())
    return Merge(
        files=tuple(
            (file, default.package or "")
            for default in found.defaults
            if (file := folders.file(str(default.config_path)))
        ),
        choices={group: choice for group, choice in chosen if choice},
    )


def read_defaults(node: yaml.MappingNode, shown: str) -> list[Wish]:
    """The entries of a file's defaults list that choose in a group."""
    wishes = []
    for key, entries in node.value:
        if key.value != "defaults" or not isinstance(entries, yaml.SequenceNode):
            continue
        for entry in entries.value:
            if not isinstance(entry, yaml.MappingNode):
                continue
            for group, choice in entry.value:
                words = str(group.value).split()
                mark = group.start_mark
                wishes.append(
                    Wish(
                        group=words[-1].lstrip("/"),
                        choice=str(choice.value),
                        override="override" in words[:-1],
                        origin=Origin(shown, mark.line + 1, mark.column + 1),
                    )
                )
    return wishes


def chosen_by(group: str, choice: str, wishes: Iterable[Wish]) -> Origin | None:
    """The entry that chose; one that overrides goes before one that only begins."""
    of_group = [wish for wish in wishes if wish.group == group]
    fitting = [wish for wish in of_group if wish.choice == choice] or of_group
    ordered = sorted(fitting, key=lambda wish: not wish.override)
    return ordered[0].origin if ordered else None


def composition_fault(error: Exception, folders: Folders) -> Fault:
    """What Hydra could not compose, in the form of all other faults."""
    if isinstance(error, yaml.YAMLError):
        mark = getattr(error, "problem_mark", None)
        file = Path(mark.name) if mark else Path("a config")
        return yaml_fault(error, folders.shown(file))
    text = str(error)
    told = re.match(r"In '(?P<config>[^']*)': (?P<rest>.*)", text, re.DOTALL)
    config, rest = (told["config"], told["rest"]) if told else ("", text)
    file = folders.file(config) if config else None
    shown = folders.shown(file) if file else "command line"
    missing = getattr(error, "missing_cfg_file", None)
    if missing:
        group, _, choice = str(missing).rpartition("/")
        options = folders.choices(group) or list(getattr(error, "options", None) or ())
        asked = _asked_for(group, folders, choice=choice)
        return no_such_choice(group, choice, options, asked or shown)
    unmatched = re.match(r"Could not (?:override|delete) '([^'=@]*)", rest)
    if unmatched:
        group = unmatched[1]
        near = nearest(group, folders.groups())
        return Fault(
            group,
            "is in no defaults list, so there is nothing to change",
            mend=f"Add it with +{group}=..." if folders.is_group(group) else near,
            origin=_asked_for(group, folders) if file else shown,
            code="defaults",
        )
    return Fault(shown, first_line(Exception(rest)), code="composition")


def _asked_for(group: str, folders: Folders, *, choice: str = "") -> str:
    """The entry of a defaults list that asks for something; Hydra does not tell."""
    for file in folders.files():
        try:
            wishes = read_defaults(load(file, "").node, folders.shown(file))
        except ConfigError:
            continue
        for wish in wishes:
            if wish.group == group and choice in ("", wish.choice):
                return wish.origin.exact
    return ""


def first_line(error: Exception) -> str:
    """What an error of Hydra or OmegaConf says, without the lines of its internals."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
