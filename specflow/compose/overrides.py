"""Composes one experiment: YAML, then overrides, then validation, then targets."""

import dataclasses
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from specflow.compose.check.targets import bind, resolve_targets
from specflow.compose.draft import draft
from specflow.compose.merge.component_changes import Dropped
from specflow.compose.read.config_folders import folders
from specflow.compose.read.documents import dump
from specflow.compose.rerun import RUN_CONFIG
from specflow.compose.show import leaf_paths
from specflow.compose.start_folder import from_start, recorded_start
from specflow.config.experiment import ExperimentConfig
from specflow.diagnostics.errors import ConfigError
from specflow.runtime.project_file import import_folder

__all__ = ["Composed", "compose"]

_SUPPLIED = {
    "model": {"rngs"},
    "optimizer": {"learning_rate"},
    "output": {"name", "input_fn"},
}
"""Arguments that the framework hands to a target itself, by word."""


@dataclasses.dataclass(frozen=True)
class Composed:
    """An experiment as composed: what it is, and who said so."""

    config: ExperimentConfig
    """Validated; its targets are bound."""
    tree: dict[str, Any]
    """The same as plain values, every default folded in."""
    origins: dict[str, str]
    """Dotted leaf -> `conf/optimizer/adamw.yaml:4`, `override ...` or `default`."""
    places: dict[str, str]
    """The same with columns, as faults name them: `conf/optimizer/adamw.yaml:4:1`."""
    choices: dict[str, str]
    """Config group -> what was chosen, `+` before a group that was added."""
    choice_origins: dict[str, str]
    """Config group -> who chose."""
    deletions: tuple[str, ...] = ()
    """The overrides that took something away, as they were typed."""
    run: str | None = None
    """The run directory whose config was the base (`run=DIR`)."""
    trust: tuple[str, ...] = ()
    """The user's own packages in which targets were allowed to resolve."""
    overrides: tuple[str, ...] = ()
    """The overrides as they were typed."""
    dropped: tuple[Dropped, ...] = ()
    """Fields of files that a later layer made void."""
    started_in: str | None = None
    """The folder in which the base run was started, if its manifest says so."""
    config_dirs: tuple[Path, ...] = ()
    """The user's own folders of configs."""

    def yaml(self) -> str:
        """The tree as YAML: the base on which `run=DIR` composes again."""
        return dump(self.tree)


def compose(
    overrides: Iterable[str] = (),
    *,
    config_dirs: Sequence[str | Path] = (),
    trust: Iterable[str] = (),
    started_in: str | Path | None = None,
) -> Composed:
    """Composes, validates and binds one experiment; reads files, runs nothing.

    Args:
        overrides: lines as on the command line: `experiment=digits`,
            `optimizer.lr=3e-4`, `~key`, `trust=my_package`, `run=DIR` for the config of
            a run as the base.
        config_dirs: the user's own folders, searched before the shipped one.
        trust: the user's own packages in which `_target_` and `model_fn` may resolve.
        started_in: the folder from which relative paths count; by default the working
            directory.

    Raises:
        ConfigError: everything that is wrong, at once.

    >>> composed = compose(["experiment=digits", "optimizer.lr=3e-4"])
    >>> composed.config.optimizer.lr, composed.origins["optimizer.lr"]
    (0.0003, 'override optimizer.lr=3e-4')
    >>> composed.choices["mesh"], composed.choice_origins["model"]
    ('data', 'conf/experiment/digits.yaml:5')
    """
    lines = tuple(overrides)
    found = folders(config_dirs)
    made = draft(lines, found)
    request, layers, choices = made.request, made.layers, made.choices
    trusted = (*trust, *request.trust)
    if trusted and (folder := import_folder()) not in sys.path:
        sys.path.insert(0, folder)
    targets, wrong = resolve_targets(
        made.tree, layers.origins, trust=trusted, supplied=_SUPPLIED
    )
    diagnostics = [*made.diagnostics, *wrong]
    if diagnostics or made.config is None:
        error = ConfigError(*diagnostics)
        # Where other processes wait for this one, as far as that is known.
        mesh = made.tree.get("mesh")
        error.processes = mesh.get("processes") if isinstance(mesh, dict) else None
        raise error
    run, run_config, run_folder = request.run, "", None
    if run is not None:
        run_config, run_folder = (
            found.shown(Path(run) / RUN_CONFIG),
            recorded_start(run),
        )
    config = from_start(
        made.config,
        layers.origins,
        folder=str(started_in or os.getcwd()),
        run_config=run_config,
        run_folder=run_folder,
    )
    bind(config, targets)
    full = config.model_dump(by_alias=True)
    setters = {".".join(path): layers.origins.leaf(path) for path in leaf_paths(full)}
    return Composed(
        config=config,
        tree=full,
        origins={key: str(origin) for key, origin in setters.items()},
        places={key: origin.exact for key, origin in setters.items()},
        choices=choices,
        choice_origins={group: str(made.chosen_by(group)) for group in choices},
        deletions=tuple(
            str(override.input_line)
            for override in (*request.choices, *request.values)
            if override.is_delete()
        ),
        run=run,
        trust=trusted,
        overrides=lines,
        dropped=tuple(layers.dropped),
        started_in=run_folder,
        config_dirs=found.paths[:-1],
    )
