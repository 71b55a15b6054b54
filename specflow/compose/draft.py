"""Experiments composed and validated, with no target resolved."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from specflow.compose.check.hydra_options import option_diagnostics, sweep_options
from specflow.compose.check.pydantic_errors import no_section
from specflow.compose.check.suppressed import Doubts
from specflow.compose.check.validate import validate
from specflow.compose.merge.config_merger import ConfigMerger
from specflow.compose.provenance import Origin
from specflow.compose.read.config_folders import Folders
from specflow.compose.read.defaults_list import defaults_list
from specflow.compose.read.defaults_places import chosen_by
from specflow.compose.read.override_grammar import Request, format_value, read
from specflow.compose.rerun import RUN_CONFIG, since
from specflow.config.experiment import ExperimentConfig
from specflow.diagnostics.errors import ConfigError, Diagnostic
from specflow.runtime.filesystem import is_file, is_folder

__all__ = ["Draft", "draft"]

_GUESSED = ("defaults", "unknown-choice", "yaml")


@dataclasses.dataclass(frozen=True)
class Draft:
    """Result of composing a command's overrides, valid or not."""

    request: Request
    merger: ConfigMerger
    choices: dict[str, str]
    """Config group -> its choice; an added group has the prefix `+`."""
    tree: dict[Any, Any]
    """Plain values, with interpolations resolved and without defaults."""
    config: ExperimentConfig | None
    """The experiment, with targets not bound; None if it is invalid."""
    diagnostics: list[Diagnostic]
    """All problems except those of targets, which are not checked."""
    guessed: tuple[Diagnostic, ...] = ()
    """Those after which a substitute was used: the nearest choice, or a file without
    its invalid blocks."""

    def chosen_by(self, group: str) -> Origin:
        """Returns the origin of the choice in a group."""
        for override in reversed(self.request.choices):
            if override.get_key_element().lstrip("+") == group.lstrip("+"):
                return Origin.override(str(override.input_line))
        by = chosen_by(group, self.choices[group], self.merger.defaults_entries)
        return by or Origin("default")


def draft(
    lines: Iterable[str], folders: Folders, *, merger: ConfigMerger | None = None
) -> Draft:
    """Composes and validates overrides; imports nothing that they name.

    Args:
        lines: overrides, as on the command line.
        folders: config folders.
        merger: merges into this one; an empty one by default.

    Raises:
        ConfigError: nothing can be validated: a file is missing, or cannot be read.

    >>> from specflow.compose.read.config_folders import folders
    >>> result = draft(["mesh=fsdp", "seed=-1"], folders())
    >>> result.tree["mesh"]["axes"], str(result.chosen_by("mesh"))
    ({'data': 1, 'fsdp': -1}, 'override mesh=fsdp')
    >>> print(*result.diagnostics)
    seed: got -1 (override seed=-1). Expected a whole number >= 0.
    """
    request, diagnostics = read(lines, folders)
    diagnostics += _sweep_diagnostics(request)
    request = request.singles()
    merger = ConfigMerger() if merger is None else merger
    merger.unknown_groups |= request.unknown
    try:
        choices = _merge(merger, request, folders)
    except ConfigError as error:
        raise ConfigError(*diagnostics, *error.diagnostics) from None
    emptied = [
        no_section(key, one.by, one.origin.exact)
        for key, one in merger.restore_emptied()
    ]
    tree = merger.resolve()
    diagnostics += [*merger.diagnostics, *emptied]
    reported = {
        diagnostic.where
        for diagnostic in merger.diagnostics
        if diagnostic.where and diagnostic.code not in _GUESSED
    }
    guessed = tuple(
        diagnostic for diagnostic in diagnostics if diagnostic.code in _GUESSED
    )
    doubts = Doubts.of(merger, request)
    config, invalid = validate(
        tree,
        merger.origins,
        groups=folders.groups(),
        doubtful=doubts.sections,
        reported=reported,
    )
    diagnostics += [
        doubts.with_cause(diagnostic)
        for diagnostic in invalid
        if not doubts.cover(diagnostic)
    ]
    if request.run is not None:
        line = f"run={format_value(request.run)}"
        diagnostics = since(
            diagnostics, request.run, lambda: _diagnostics_of(line, folders)
        )
    return Draft(request, merger, choices, tree, config, diagnostics, guessed)


def _diagnostics_of(run: str, folders: Folders) -> list[Diagnostic]:
    """Returns the problems of a run's config, without the overrides of a command."""
    merger = ConfigMerger()
    request, _ = read([run], folders)
    _merge_run(merger, request, folders)
    _, diagnostics = validate(merger.resolve(), merger.origins, groups=folders.groups())
    return [*merger.diagnostics, *diagnostics]


def _merge(merger: ConfigMerger, request: Request, folders: Folders) -> dict[str, str]:
    """Merges everything a request names; returns the choices."""
    if request.run is None:
        merger.command_line_files |= {
            folders.shown(file)
            for choice in request.choices
            if choice.key_or_group in ExperimentConfig.model_fields
            and (file := folders.file(f"{choice.key_or_group}/{choice.value()}"))
        }
        merged = defaults_list(request.choices, folders)
        files = merged.files
        for file, package in files:
            merger.merge_file(file, folders.shown(file), package)
        merger.diagnostics += merged.diagnostics
        merger.unknown_groups |= merged.unknown
        added = {
            override.key_or_group for override in request.choices if override.is_add()
        }
        choices = {
            f"+{group}" if group in added else group: choice
            for group, choice in merged.choices.items()
        }
    else:
        choices, files = _merge_run(merger, request, folders), ()
    merger.diagnostics += option_diagnostics(request, files, folders)
    merger.sweep_options += sweep_options(files, folders)
    merger.apply_overrides(request.values)
    return choices


def _merge_run(
    merger: ConfigMerger, request: Request, folders: Folders
) -> dict[str, str]:
    """Merges the config of a run as the base; a choice replaces its whole section."""
    file = _config_of(str(request.run))
    if not is_file(file):
        raise ConfigError(
            Diagnostic(
                "run",
                f"no run in {request.run}: it has no {RUN_CONFIG}",
                expected="the directory of a finished or stopped run",
                hint="It was made in Python: evaluate, predict and export accept it if "
                "it has an estimator.json. Otherwise evaluate it in Python, with "
                f"Estimator(..., model_dir={str(request.run)!r})."
                if is_folder(file.parent / "checkpoints")
                else "",
                origin=f"override run={request.run}",
                code="missing-file",
            )
        )
    merger.merge_data(file, folders.shown(file))
    # The directory of a run is not part of its config, and may have moved.
    if isinstance(output := merger.tree.get("output"), dict):
        output.pop("dir", None)
        merger.origins.remove(("output", "dir"))
    choices = {}
    for override in request.choices:
        group, choice = override.key_or_group, str(override.value())
        file = folders.file(f"{group}/{choice}")
        if file is None or group not in ExperimentConfig.model_fields:
            merger.diagnostics.append(
                Diagnostic(
                    group,
                    "cannot be chosen when a run is the base",
                    expected=f"one of {', '.join(ExperimentConfig.model_fields)}",
                    origin=f"override {override.input_line}",
                    code="defaults",
                )
            )
            continue
        merger.remove(group)
        for part, package in defaults_list([override], folders).files:
            if package == group:
                merger.merge_file(part, folders.shown(part), package)
        choices[group] = choice
    return choices


def _config_of(run: str) -> Path:
    return Path(run) / RUN_CONFIG


def _sweep_diagnostics(request: Request) -> list[Diagnostic]:
    return [
        Diagnostic(
            override.key_or_group,
            "names several values",
            expected="one value, or -m to run them all",
            hint=f"A list is written {override.key_or_group}=[a,b].",
            origin=f"override {override.input_line}",
            code="sweep",
        )
        for override in (*request.choices, *request.values)
        if override.is_sweep_override()
    ]
