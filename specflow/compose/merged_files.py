"""The layers below the overrides: merged files, which trials of a sweep share."""

import contextlib
from collections.abc import Hashable, Iterator
from pathlib import Path

from specflow.compose.check.hydra_options import option_diagnostics, sweep_options
from specflow.compose.merge.config_merger import ConfigMerger
from specflow.compose.read.config_folders import Folders
from specflow.compose.read.defaults_list import defaults_list
from specflow.compose.read.override_grammar import Request
from specflow.compose.rerun import RUN_CONFIG
from specflow.config.experiment import ExperimentConfig
from specflow.diagnostics.errors import ConfigError, Diagnostic
from specflow.runtime.filesystem import is_file, is_folder

__all__ = ["kept_files", "merged_files"]

_kept: dict[Hashable, tuple[ConfigMerger, dict[str, str]]] | None = None
"""What the trials of a sweep share; None: outside one."""


@contextlib.contextmanager
def kept_files() -> Iterator[None]:
    """Merges the files of each set of choices once inside the block.

    The trials of a sweep differ in values more often than in choices, and Hydra's
    defaults list and the files take most of the time of composing. Files that change
    meanwhile are not noticed: the trials are composed of those that were checked.
    """
    global _kept
    former, _kept = _kept, {}
    try:
        yield
    finally:
        _kept = former


def merged_files(
    request: Request, folders: Folders, merger: ConfigMerger | None = None
) -> tuple[ConfigMerger, dict[str, str]]:
    """Merges the files that a request chooses, or the config of the run it names.

    Args:
        request: its values are left to the caller.
        folders: config folders.
        merger: merges into this one; an empty one by default.

    Returns:
        The merger, and config group -> its choice; an added group has the prefix `+`.

    Raises:
        ConfigError: a file is missing, or cannot be read.
    """
    if merger is not None or _kept is None:
        merger = ConfigMerger() if merger is None else merger
        return merger, _merge(merger, request, folders)
    chosen = (*request.hydra, *request.choices)
    lines = tuple(str(override.input_line) for override in chosen)
    key = folders.paths, request.run, lines
    if key not in _kept:
        merger = ConfigMerger()
        _kept[key] = merger, _merge(merger, request, folders)
    merger, choices = _kept[key]
    return merger.copy(), dict(choices)


def _merge(merger: ConfigMerger, request: Request, folders: Folders) -> dict[str, str]:
    """Merges the files of a request; returns the choices."""
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
