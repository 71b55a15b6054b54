"""Defaults lists: which files Hydra merges, in which order, and who chose them."""

import dataclasses
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import yaml
from hydra._internal.defaults_list import create_defaults_list
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from specflow.compose.provenance import Origin
from specflow.compose.read.config_folders import Folders
from specflow.compose.read.defaults_cycles import circle_diagnostic, entries_of
from specflow.compose.read.documents import yaml_diagnostic
from specflow.compose.read.hydra_errors import hydra_diagnostic
from specflow.compose.read.hydra_packages import no_plugin
from specflow.compose.read.hydra_repository import DefaultsLists
from specflow.compose.read.override_grammar import no_such_choice, no_such_group
from specflow.compose.read.package_headers import header_diagnostic
from specflow.compose.read.salvage import salvage
from specflow.config.experiment import ExperimentConfig
from specflow.diagnostics.errors import ConfigError, Diagnostic, did_you_mean, nearest

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

_HYDRAS = (HydraException, OmegaConfBaseException, yaml.YAMLError)


@dataclasses.dataclass(frozen=True)
class Merge:
    """What Hydra's defaults list comes to."""

    files: tuple[tuple[Path, str], ...]
    """(file, dotted package it is merged into), in order."""
    choices: dict[str, str]
    """Config group -> what was chosen, of every group that has a choice."""
    diagnostics: tuple[Diagnostic, ...] = ()
    """What could not be merged; the near miss stands in for it, if there is one."""
    unknown: frozenset[str] = frozenset()
    """Groups in which nothing stands in for what was chosen."""


@dataclasses.dataclass(frozen=True)
class Wish:
    """An entry of a file's defaults list."""

    group: str
    choice: str
    override: bool
    """Whether it changes a choice that stands elsewhere."""
    origin: Origin


def defaults_list(choices: Iterable[Override], folders: Folders) -> Merge:
    """What Hydra would merge for these choices; it stops at the first fault, we do not.

    Raises:
        ConfigError: a file cannot be read, or a defaults list is wrong in a way that
            leaves nothing to go on with.
    """
    repository, asked = DefaultsLists(folders), list(choices)
    diagnostics: list[Diagnostic] = []
    while True:
        try:
            found = create_defaults_list(
                repository,
                config_name=ROOT,
                overrides_list=asked,
                prepend_hydra=False,
                skip_missing=False,
            )
            strays = [
                str(default.config_path)
                for default in found.defaults
                if _is_no_section(default.package or "")
            ]
            if not _read_as_global(repository, strays, folders, diagnostics):
                break
        except ConfigError as error:  # A file that cannot be read.
            raise ConfigError(*diagnostics, *error.diagnostics) from None
        except RecursionError:
            if any(repository.instead.values()):  # What was meant leads back, perhaps.
                repository.instead = dict.fromkeys(repository.instead, "")
                repository.forget()
                continue
            raise ConfigError(
                *diagnostics, circle_diagnostic(ROOT, asked, folders)
            ) from None
        # Hydra checks the form of defaults lists with bare assertions too.
        except (*_HYDRAS, AssertionError, ValueError) as error:
            told = re.match(r"In '([^']*)'", str(error))
            if told and _read_as_global(repository, [told[1]], folders, diagnostics):
                continue
            diagnostics.append(
                composition_diagnostic(error, folders, asked, repository.files())
            )
            if not _go_on(repository, asked, error, diagnostics):
                raise ConfigError(*diagnostics) from None
    chosen = reversed(found.overrides.known_choices.items())
    return Merge(
        files=tuple(
            (file, default.package or "")
            for default in found.defaults
            if (file := repository.file(str(default.config_path)))
        ),
        choices={group: choice for group, choice in chosen if choice},
        diagnostics=tuple(diagnostics),
        unknown=frozenset(
            config.rpartition("/")[0]
            for config, instead in repository.instead.items()
            if not instead
        ),
    )


def _read_as_global(
    repository: DefaultsLists,
    configs: Iterable[str],
    folders: Folders,
    diagnostics: list[Diagnostic],
) -> bool:
    """Reads configs at the root that do not ask for it; returns whether there are any.

    What an experiment says is judged as it was meant, beside the missing header.
    """
    wrong = {
        config: diagnostic
        for config in configs
        if config not in repository.at_root
        and (diagnostic := header_diagnostic(config, folders))
    }
    if wrong:
        diagnostics += wrong.values()
        repository.at_root |= set(wrong)
        repository.forget()
    return bool(wrong)


def _is_no_section(package: str) -> bool:
    root = package.split(".")[0]
    return bool(root) and root not in ExperimentConfig.model_fields


def _go_on(
    repository: DefaultsLists,
    choices: list[Override],
    error: Exception,
    diagnostics: Sequence[Diagnostic],
) -> bool:
    """Takes what is wrong out of Hydra's way; returns whether that can be done."""
    repository.forget()
    missing, *before = (
        str(getattr(error, "missing_cfg_file", "") or ""),
        *diagnostics[:-1],
    )
    if missing and missing not in repository.instead:
        group, _, choice = missing.rpartition("/")
        others = _others(missing, error, repository.get_group_options(group))
        near = nearest(choice, others)
        repository.instead[missing] = f"{group}/{near}" if near else ""
        return True
    told = diagnostics[-1]
    wrong = [one for one in choices if f"override {one.input_line}" == told.origin]
    if wrong:
        choices.remove(wrong[0])
    else:
        repository.left_out.add(told.where)
    return told.code == "defaults" and told not in before


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


def composition_diagnostic(
    error: Exception,
    folders: Folders,
    choices: Iterable[Override] = (),
    files: Collection[Path] = (),
) -> Diagnostic:
    """What Hydra could not compose, in the form of all other faults.

    Args:
        error: of Hydra's.
        folders: where configs lie.
        choices: of the command line.
        files: that Hydra has read; all by default.
    """
    if isinstance(error, yaml.YAMLError):
        mark = getattr(error, "problem_mark", None)
        file = Path(mark.name) if mark else Path("a config")
        return yaml_diagnostic(error, folders.shown(file))
    text = str(error)
    told = re.match(r"In '(?P<config>[^']*)': (?P<rest>.*)", text, re.DOTALL)
    config, rest = (told["config"], told["rest"]) if told else ("", text)
    file = folders.file(config) if config else None
    shown = folders.shown(file) if file else "command line"
    missing = getattr(error, "missing_cfg_file", None)
    if missing:
        group, _, choice = str(missing).rpartition("/")
        asked = (
            (_typed(group, choices) if group.startswith("hydra/") else "")
            or _entry(config, str(missing), folders)
            or _asked_for(group, folders, files, choice=choice)
            or shown
        )
        if group.startswith("hydra/"):
            options = [*(getattr(error, "options", None) or ())]
            return no_plugin(group, choice, options, asked)
        if group and not (folders.is_group(group) or group.startswith("hydra/")):
            return no_such_group(group, folders, asked)
        others = _others(str(missing), error, folders.choices(group))
        return no_such_choice(group, choice, folders.choices(group), asked, others)
    if of_hydra := hydra_diagnostic(error, folders, choices):
        return of_hydra
    undeleted = re.match(r"Could not delete '([^'=@]*)=([^']*)'", rest)
    if undeleted:
        group, choice = undeleted.groups()
        return Diagnostic(
            group,
            f"{choice} is not chosen, so there is nothing to delete",
            hint=f"~{group} deletes the current choice.",
            origin=_typed(group, choices) or shown,
            code="defaults",
        )
    unmatched = re.match(
        r"Could not (?:override|delete) '([^'=@]*)"
        r"|Invalid Defaults List override .*\sNo earlier Group Default for '([^'@]*)",
        rest,
    )
    if unmatched:
        group = unmatched[1] or unmatched[2]  # Hydra 1.3, or 1.4.
        near = did_you_mean(nearest(group, folders.groups()))
        return Diagnostic(
            group,
            "is in no defaults list, so there is no choice to change",
            hint=f"Add it with +{group}=..." if folders.is_group(group) else near,
            origin=_typed(group, choices)
            or (file and _asked_for(group, folders, files))
            or shown,
            code="defaults",
        )
    line = first_line(Exception(rest))
    for override in choices:
        key, typed = override.key_or_group, str(override.input_line)
        twice = (f"Multiple values for {key}.", f"{key} appears more than once")
        if f"'{typed}'" in line or line.startswith(twice):
            # Hydra's advice is for files.
            told = line.partition(". ")[0]
            origin = f"override {typed}"
            return Diagnostic(
                key, told, "", f"Choose with {key}=...", origin, "defaults"
            )
    return Diagnostic(shown, line, code="composition")


def _others(missing: str, error: Exception, choices: Iterable[str]) -> list[str]:
    """The choices of a group, but for the one whose defaults list names another."""
    told = re.match(r"In '([^']*)'", str(error))
    asking = told[1] if told else ""
    group = missing.rpartition("/")[0]
    return [choice for choice in choices if f"{group}/{choice}" != asking]


def _entry(config: str, named: str, folders: Folders) -> str:
    """The entry by which a config's defaults list names another."""
    entries = entries_of(config, folders)
    return next((origin.exact for name, origin in entries if name == named), "")


def _typed(group: str, choices: Iterable[Override]) -> str:
    """The override that chooses in a group."""
    lines = (str(one.input_line) for one in choices if one.key_or_group == group)
    return next((f"override {line}" for line in lines), "")


def _asked_for(
    group: str, folders: Folders, files: Collection[Path], *, choice: str = ""
) -> str:
    """The entry of a defaults list that asks for something; Hydra does not tell."""
    for file in files or folders.files():
        shown = folders.shown(file)
        try:
            node = salvage(file, shown).document.node
        except ConfigError:
            continue
        for wish in read_defaults(node, shown):
            if wish.group == group and choice in ("", wish.choice):
                return wish.origin.exact
    return ""


def first_line(error: Exception) -> str:
    """What an error of Hydra or OmegaConf says, without the lines of its internals."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
