"""Defaults lists: the files that Hydra merges, their order, and their origins."""

import dataclasses
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import yaml
from hydra._internal.defaults_list import create_defaults_list
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from specflow.compose.read.config_folders import Folders
from specflow.compose.read.defaults_cycles import cycle_diagnostic, entries_of
from specflow.compose.read.defaults_places import (
    asked_for,
    document_of,
    place_of_text,
    read_defaults,
)
from specflow.compose.read.documents import yaml_diagnostic
from specflow.compose.read.hydra_errors import hydra_diagnostic
from specflow.compose.read.hydra_packages import no_plugin
from specflow.compose.read.hydra_repository import DefaultsLists
from specflow.compose.read.package_headers import header_diagnostic
from specflow.compose.read.unknown_choices import (
    nearest_choice,
    no_such_choice,
    no_such_group,
)
from specflow.config.experiment import ExperimentConfig
from specflow.diagnostics.errors import (
    ConfigError,
    Diagnostic,
    did_you_mean,
    nearest,
)

__all__ = [
    "ROOT",
    "Merge",
    "defaults_list",
    "first_line",
]

ROOT = "config"
"""Name of the root config, in any folder."""

_CHOSEN = "is already chosen"
_HYDRAS = (HydraException, OmegaConfBaseException, yaml.YAMLError)


@dataclasses.dataclass(frozen=True)
class Merge:
    """Files and choices that result from Hydra's defaults list."""

    files: tuple[tuple[Path, str], ...]
    """(file, dotted package into which it is merged), in order."""
    choices: dict[str, str]
    """Config group -> its choice, for every group that has one."""
    diagnostics: tuple[Diagnostic, ...] = ()
    """Problems of choices and files; the nearest choice is used where there is one."""
    unknown: frozenset[str] = frozenset()
    """Groups with an unknown choice for which no nearest one is used."""


def defaults_list(choices: Iterable[Override], folders: Folders) -> Merge:
    """Returns the files that Hydra would merge for these choices, and all problems.

    Hydra stops at the first problem; here each is repaired, and the list made again.

    Raises:
        ConfigError: a file cannot be read, or a defaults list has a problem that
            cannot be repaired.
    """
    asked = list(choices)
    repository = DefaultsLists(folders)
    diagnostics: list[Diagnostic] = []

    def problems(*more: Diagnostic) -> list[Diagnostic]:
        malformed = (one for some in repository.malformed.values() for one in some)
        return [*dict.fromkeys((*malformed, *diagnostics, *more))]

    while True:
        try:
            result = create_defaults_list(
                repository,
                config_name=ROOT,
                overrides_list=asked,
                prepend_hydra=False,
                skip_missing=False,
            )
            strays = [
                str(default.config_path)
                for default in result.defaults
                if _is_no_section(default.package or "")
            ]
            if not _read_as_global(repository, strays, folders, diagnostics):
                break
        except ConfigError as error:  # A file cannot be read.
            raise ConfigError(*problems(*error.diagnostics)) from None
        except RecursionError:
            # A substitute may have made the cycle.
            if any(repository.instead.values()):
                repository.instead = dict.fromkeys(repository.instead, "")
                repository.forget()
                continue
            cycle = cycle_diagnostic(ROOT, asked, folders)
            raise ConfigError(*problems(cycle)) from None
        # Hydra checks the form of defaults lists with bare assertions too.
        except (*_HYDRAS, AssertionError, ValueError) as error:
            in_config = re.match(r"In '([^']*)'", str(error))
            if in_config and _read_as_global(
                repository, [in_config[1]], folders, diagnostics
            ):
                continue
            diagnostics.append(
                composition_diagnostic(error, folders, asked, repository.files())
            )
            if not _repair(repository, asked, error, diagnostics):
                raise ConfigError(*problems()) from None
    chosen = reversed(result.overrides.known_choices.items())
    return Merge(
        files=tuple(
            (file, default.package or "")
            for default in result.defaults
            if (file := repository.file(str(default.config_path)))
        ),
        choices={group: choice for group, choice in chosen if choice},
        diagnostics=tuple(problems()),
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
    """Merges configs without a package header at the root; returns if there are any.

    The missing header is reported, and the values are validated as intended.
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


def _repair(
    repository: DefaultsLists,
    choices: list[Override],
    error: Exception,
    diagnostics: Sequence[Diagnostic],
) -> bool:
    """Repairs the defaults list after an error; returns whether that was possible."""
    repository.forget()
    missing, *before = (
        str(getattr(error, "missing_cfg_file", "") or ""),
        *diagnostics[:-1],
    )
    if missing and missing not in repository.instead:
        group, _, choice = missing.rpartition("/")
        others = _others(missing, error, repository.get_group_options(group))
        near = nearest_choice(choice, others)
        repository.instead[missing] = f"{group}/{near}" if near else ""
        return True
    last = diagnostics[-1]
    refused = [
        override
        for override in choices
        if f"override {override.input_line}" == last.origin
    ]
    if refused:
        choices.remove(refused[0])
        if refused[0].is_add() and "Did you mean" in last.hint:
            choices.append(dataclasses.replace(refused[0], type=OverrideType.CHANGE))
    elif last.problem.startswith(_CHOSEN):
        repository.overriding.add((last.origin.rsplit(":", 2)[0], last.where))
    else:
        repository.left_out.add(last.where)
    return last.code == "defaults" and last not in before


def composition_diagnostic(
    error: Exception,
    folders: Folders,
    choices: Iterable[Override] = (),
    files: Collection[Path] = (),
) -> Diagnostic:
    """Returns an error of Hydra's composition as a diagnostic.

    Args:
        error: raised by Hydra, OmegaConf or the YAML parser.
        folders: config folders.
        choices: overrides of the command line.
        files: files that Hydra has read; by default all.
    """
    if isinstance(error, yaml.YAMLError):
        mark = getattr(error, "problem_mark", None)
        file = Path(mark.name) if mark else Path("a config")
        return yaml_diagnostic(error, folders.shown(file))
    text = str(error)
    in_config = re.match(r"In '(?P<config>[^']*)': (?P<rest>.*)", text, re.DOTALL)
    config, rest = in_config.groups() if in_config else ("", text)
    file = folders.file(config) if config else None
    shown = folders.shown(file) if file else "command line"
    missing = getattr(error, "missing_cfg_file", None)
    if missing:
        group, _, choice = str(missing).rpartition("/")
        asked = (
            (_typed(group, choices) if group.startswith("hydra/") else "")
            or _entry(config, str(missing), folders)
            or asked_for(group, folders, files, choice=choice)
            or shown
        )
        if group.startswith("hydra/"):
            options = [*(getattr(error, "options", None) or ())]
            return no_plugin(group, choice, options, asked)
        if group and not (folders.is_group(group) or group.startswith("hydra/")):
            return no_such_group(group, folders, asked)
        others = _others(str(missing), error, folders.choices(group))
        known = folders.choices(group)
        return no_such_choice(group, choice, known, asked, others, folders=folders)
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
        hint = did_you_mean(nearest(group, folders.groups()))
        typed = _typed(group, choices)
        if folders.is_group(group):
            written = f"- /{group}: ..."
            if not typed and group in ExperimentConfig.model_fields:
                written = ""
            hint = f"Add it with {f'+{group}=...' if typed else written}"
            if not written and not typed:  # A package of its own: /model@other.
                hint = did_you_mean(f"override /{group}")
            root = folders.file(ROOT)
            if typed and "@" in typed:
                hint = did_you_mean(f"{group}={typed.partition('=')[2]}")
            elif typed and root and root.parent != folders.paths[-1]:
                hint = f"Add - {group}: null to the defaults of {folders.shown(root)}."
        return Diagnostic(
            group,
            "is in no defaults list, so there is no choice to change",
            hint=hint,
            origin=typed or (file and asked_for(group, folders, [file])) or shown,
            code="defaults",
        )
    twice = re.match(
        r"Multiple values for ([^.@]+)\.|([^@]+?) appears more than once", rest
    )
    if twice and not _typed(group := twice[1] or twice[2], choices):
        return _chosen_twice(group, folders, files)
    unset = re.match(r"You must specify '([^']*)'", rest)
    if unset:
        return Diagnostic(
            unset[1],
            "is not chosen yet",
            hint=f"Choose with {unset[1]}=...",
            origin=asked_for(unset[1], folders, files, choice="???") or shown,
            code="defaults",
        )
    interpolation = re.match(r"Error resolving interpolation '([^']*)'", rest)
    if interpolation:
        text = interpolation[1]
        text = text[text.index("${") :] if "${" in text else text
        return Diagnostic(
            "defaults",
            f"got {text}",
            "an interpolation of a group that is chosen earlier",
            "Only choices can be interpolated in a defaults list, such as ${model}.",
            place_of_text(text, folders, files) or shown,
            "defaults",
        )
    line = first_line(Exception(rest))
    for override in choices:
        key, typed = override.key_or_group, str(override.input_line)
        twice = (f"Multiple values for {key}.", f"{key} appears more than once")
        if f"'{typed}'" in line or line.startswith(twice):
            # Hydra's advice is for files.
            problem = line.partition(". ")[0]
            origin, hint = f"override {typed}", f"Choose with {key}=..."
            if override.is_add() and isinstance(override.value(), str):
                hint = did_you_mean(f"{key}={override.value()}")
            return Diagnostic(key, problem, "", hint, origin, "defaults")
    return Diagnostic(shown, line, code="composition")


def _others(missing: str, error: Exception, choices: Iterable[str]) -> list[str]:
    """Returns the choices of a group except the file that names the missing one."""
    in_config = re.match(r"In '([^']*)'", str(error))
    asking = in_config[1] if in_config else ""
    group = missing.rpartition("/")[0]
    return [choice for choice in choices if f"{group}/{choice}" != asking]


def _entry(config: str, named: str, folders: Folders) -> str:
    """Returns the place of the entry by which a config names another."""
    entries = entries_of(config, folders)
    return next((origin.exact for name, origin in entries if name == named), "")


def _typed(group: str, choices: Iterable[Override]) -> str:
    """Returns the override that chooses in a group."""
    lines = (str(one.input_line) for one in choices if one.key_or_group == group)
    return next((f"override {line}" for line in lines), "")


def _chosen_twice(group: str, folders: Folders, files: Collection[Path]) -> Diagnostic:
    """Reports an entry that chooses in a group in which another entry has chosen."""
    entries = [
        entry
        for file in files
        if (document := document_of(file, folders)) is not None
        for entry in read_defaults(document.node, folders.shown(file))
        if entry.group == group and not entry.override
    ]
    first, last = (entries[0], entries[-1]) if entries else (None, None)
    return Diagnostic(
        group,
        f"{_CHOSEN}{f' at {first.origin.exact}' if first else ''}",
        hint=f"Write override /{group}: {last.choice}." if last else "",
        origin=last.origin.exact if last else "",
        code="defaults",
    )


def first_line(error: Exception) -> str:
    """Returns the message of a Hydra or OmegaConf error without internal details."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
