"""Reading of experiments named by a run, a file, a choice, or overrides."""

import dataclasses
import json
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from specflow.compose.check.validate import validate
from specflow.compose.draft import draft
from specflow.compose.merge.config_merger import ConfigMerger
from specflow.compose.provenance import Origins
from specflow.compose.read.config_folders import Folders, folders
from specflow.compose.read.override_grammar import format_value
from specflow.compose.rerun import RUN_CONFIG
from specflow.config.experiment import ExperimentConfig
from specflow.diagnostics.errors import ConfigError, Diagnostic, did_you_mean, nearest
from specflow.runtime.plain_tree import settings

__all__ = ["Side", "read_side"]


@dataclasses.dataclass(frozen=True)
class Side:
    """An experiment as data, with no target resolved."""

    name: str
    """Its name on the command line."""
    tree: dict[str, Any]
    """Plain values, with every default."""
    origins: Mapping[str, str]
    """Dotted leaf -> its origin."""


def read_side(name: str, *, config_dirs: Sequence[str | Path] = ()) -> Side:
    """Reads an experiment.

    Args:
        name: a run directory; a file of a config group, such as
            `my_conf/experiment/mine.yaml`, or one that holds a whole config; the name
            of an experiment; or overrides, in one text.
        config_dirs: the user's own config folders.

    Raises:
        ConfigError: the name is unknown, or the experiment is invalid.

    >>> side = read_side("experiment=digits seed=3")
    >>> side.tree["seed"], side.origins["seed"]
    (3, 'override seed=3')
    """
    search_folders, path = folders(config_dirs), Path(os.path.expanduser(name))
    if "=" in name:
        return _composed(name, shlex.split(name), search_folders)
    if path.is_file() and path.name != RUN_CONFIG:
        return _of_file(name, path, search_folders)
    if (
        name in search_folders.choices("experiment")
        and not (path / RUN_CONFIG).is_file()
    ):
        return _composed(name, [f"experiment={name}"], search_folders)
    run = path.parent if path.name == RUN_CONFIG else path
    if not run.is_dir():
        raise ConfigError(_no_such_side(name, search_folders))
    side = _composed(name, [f"run={format_value(str(run))}"], search_folders)
    # The origins that the run recorded say more than the lines of its config.yaml.
    return dataclasses.replace(side, origins={**side.origins, **_recorded(run)})


def _composed(name: str, lines: Sequence[str], folders: Folders) -> Side:
    composed = draft(lines, folders)
    return _side(name, composed.config, composed.diagnostics, composed.merger.origins)


def _of_file(name: str, path: Path, folders: Folders) -> Side:
    group = path.absolute().parent
    if folders.is_group(group.name):
        own = Folders((group.parent, *folders.paths))
        return _composed(name, [f"{group.name}={path.stem}"], own)
    merger = ConfigMerger()
    merger.merge_data(path, folders.shown(path))
    config, diagnostics = validate(merger.resolve(), merger.origins)
    return _side(name, config, [*merger.diagnostics, *diagnostics], merger.origins)


def _side(
    name: str,
    config: ExperimentConfig | None,
    diagnostics: Sequence[Diagnostic],
    origins: Origins,
) -> Side:
    if diagnostics or config is None:
        raise ConfigError(*diagnostics)
    tree = config.model_dump(by_alias=True)
    setters = {".".join(path): str(origins.leaf(path)) for path, _ in settings(tree)}
    return Side(name, tree, setters)


def _recorded(run: Path) -> dict[str, str]:
    """Returns the origins that a run recorded; empty if it has none."""
    try:
        recorded = json.loads((run / "origins.json").read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return {}
    pairs = recorded.items() if isinstance(recorded, dict) else ()
    return {key: value for key, value in pairs if isinstance(value, str)}


def _no_such_side(name: str, folders: Folders) -> Diagnostic:
    experiments = folders.choices("experiment")
    near = did_you_mean(nearest(name, experiments))
    return Diagnostic(
        name,
        "is not a run, a file or an experiment",
        "a run directory, a YAML file, the name of an experiment, or overrides",
        f"{near} Experiments: {', '.join(experiments)}.".strip(),
        "command line",
        "unknown-choice",
    )
