"""Composition of one experiment: YAML, overrides, validation, targets."""

import dataclasses
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from specflow.compose.check.foreign_files import output_directory
from specflow.compose.check.input_files import missing_inputs
from specflow.compose.check.sweep_storage import storage_diagnostics
from specflow.compose.check.targets import bind, resolve_targets
from specflow.compose.check.trusted import trust_diagnostics
from specflow.compose.draft import draft
from specflow.compose.merge.component_changes import DroppedField
from specflow.compose.read.config_folders import folders
from specflow.compose.read.documents import dump
from specflow.compose.rerun import RUN_CONFIG
from specflow.compose.start_folder import from_start, recorded_start
from specflow.config.experiment import ExperimentConfig
from specflow.diagnostics.errors import ConfigError
from specflow.runtime.plain_tree import settings
from specflow.runtime.project_file import import_folder

__all__ = ["Composed", "compose"]

_SUPPLIED = {
    "model": {"rngs": False},
    "output.exporters.*": {"name": True, "input_fn": True},
}
"""Section -> argument that the framework passes to its target -> whether it is passed
to a callable that does not take it too."""


@dataclasses.dataclass(frozen=True)
class Composed:
    """A composed experiment and the origins of its values."""

    config: ExperimentConfig
    """Validated; its targets are bound."""
    tree: dict[str, Any]
    """The same as plain values, with every default."""
    origins: dict[str, str]
    """Dotted leaf -> `conf/optimizer/adamw.yaml:4`, `override ...` or `default`."""
    places: dict[str, str]
    """The same with columns, as in diagnostics: `conf/optimizer/adamw.yaml:4:1`."""
    choices: dict[str, str]
    """Config group -> its choice; an added group has the prefix `+`."""
    choice_origins: dict[str, str]
    """Config group -> origin of its choice."""
    deletions: tuple[str, ...] = ()
    """Overrides that delete a key or a choice, as typed."""
    run: str | None = None
    """Run directory whose config is the base (`run=DIR`)."""
    trust: tuple[str, ...] = ()
    """The user's own packages in which targets may resolve."""
    overrides: tuple[str, ...] = ()
    """Overrides as typed."""
    dropped: tuple[DroppedField, ...] = ()
    """Fields of files that a later layer invalidated."""
    sweep_options: tuple[str, ...] = ()
    """Notes about options in files that only sweeps have."""
    started_in: str | None = None
    """Folder in which the base run was started, if its manifest records it."""
    config_dirs: tuple[Path, ...] = ()
    """The user's own config folders."""

    def yaml(self) -> str:
        """Returns the tree as YAML: the base from which `run=DIR` composes again.

        Without `sweep`: a trial is the experiment of a single run with its values.
        """
        return dump({key: part for key, part in self.tree.items() if key != "sweep"})


def compose(
    overrides: Iterable[str] = (),
    *,
    config_dirs: Sequence[str | Path] = (),
    trust: Iterable[str] = (),
    started_in: str | Path | None = None,
    reads_data: bool = False,
) -> Composed:
    """Composes and validates one experiment, and binds its targets; calls none.

    Args:
        overrides: lines as on the command line: `experiment=digits`,
            `optimizer.lr=3e-4`, `~key`, `trust=my_package`, `run=DIR` for the config of
            a run as the base.
        config_dirs: the user's own config folders, searched before the shipped one.
        trust: the user's own packages in which `_target_` and `model_fn` may resolve;
            a path, as `./mine`, is a config folder whose files may name an `output.dir`
            outside the working directory.
        started_in: folder from which relative paths are resolved; by default the
            working directory.
        reads_data: the data will be read: files that do not exist are reported beside
            the errors of the config.

    Raises:
        ConfigError: the experiment is invalid; all problems at once.

    >>> composed = compose(["experiment=digits", "optimizer.lr=3e-4"])
    >>> composed.config.optimizer.lr, composed.origins["optimizer.lr"]
    (0.0003, 'override optimizer.lr=3e-4')
    >>> composed.choices["mesh"], composed.choice_origins["model"]
    ('data', 'conf/experiment/digits.yaml:5')
    """
    lines = tuple(overrides)
    search_folders = folders(config_dirs)
    composed_draft = draft(lines, search_folders)
    request, merger, choices = (
        composed_draft.request,
        composed_draft.merger,
        composed_draft.choices,
    )
    names = tuple(trust)
    trusted_folders = [name for name in names if "/" in name]
    trusted = (*(name for name in names if "/" not in name), *request.trust)
    if trusted and (home := import_folder()) not in sys.path:
        sys.path.insert(0, home)
    targets, wrong = resolve_targets(
        composed_draft.tree,
        merger.origins,
        trust=trusted,
        supplied=_SUPPLIED,
        trusted_by=request.trusted_by,
    )
    wrong += trust_diagnostics(request, import_folder())
    folder = str(started_in or os.getcwd())
    files_of = (search_folders, [*trusted_folders, *request.trusted_folders])
    wrong += output_directory(composed_draft.tree, merger.origins, *files_of, folder)
    wrong += storage_diagnostics(composed_draft.tree, merger.origins, *files_of)
    diagnostics = [*composed_draft.diagnostics, *wrong]
    if diagnostics or composed_draft.config is None:
        if reads_data and request.run is None:
            diagnostics += missing_inputs(composed_draft.tree, merger.origins, folder)
        error = ConfigError(*diagnostics)
        # Other processes may be waiting for this one.
        mesh = composed_draft.tree.get("mesh")
        error.processes = mesh.get("processes") if isinstance(mesh, dict) else None
        raise error
    run, run_config, run_folder = request.run, "", None
    if run is not None:
        run_config, run_folder = (
            search_folders.shown(Path(run) / RUN_CONFIG),
            recorded_start(run),
        )
    config = from_start(
        composed_draft.config,
        merger.origins,
        folder=folder,
        run_config=run_config,
        run_folder=run_folder,
    )
    bind(config, targets)
    full = config.model_dump(by_alias=True)
    if config.sweep is None:
        del full["sweep"]
    setters = {".".join(path): merger.origins.leaf(path) for path, _ in settings(full)}
    inside = {  # Of mappings whose keys no override can spell, such as sweep.space.
        ".".join((*path, str(key))): merger.origins.leaf((*path, str(key)))
        for path, value in settings(full)
        if isinstance(value, dict)
        for key in value
    }
    return Composed(
        config=config,
        tree=full,
        origins={key: str(origin) for key, origin in setters.items()},
        places={key: origin.exact for key, origin in (setters | inside).items()},
        choices=choices,
        choice_origins={
            group: str(composed_draft.chosen_by(group)) for group in choices
        },
        deletions=tuple(
            str(override.input_line)
            for override in (*request.choices, *request.values)
            if override.is_delete()
        ),
        run=run,
        trust=trusted,
        overrides=lines,
        dropped=tuple(merger.dropped),
        sweep_options=tuple(merger.sweep_options),
        started_in=run_folder,
        config_dirs=search_folders.paths[:-1],
    )
