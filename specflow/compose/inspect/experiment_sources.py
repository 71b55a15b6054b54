"""An experiment by any name that it has: a run, a file, a choice, overrides."""

import dataclasses
import json
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from specflow.compose.check.validate import validate
from specflow.compose.draft import draft
from specflow.compose.merge.layers import Layers
from specflow.compose.provenance import Origins
from specflow.compose.read.config_folders import Folders, folders
from specflow.compose.read.override_grammar import spell
from specflow.compose.rerun import RUN_CONFIG
from specflow.compose.show import leaf_paths
from specflow.config.experiment import ExperimentConfig
from specflow.diagnostics.errors import ConfigError, Diagnostic, did_you_mean, nearest

__all__ = ["Side", "read_side"]


@dataclasses.dataclass(frozen=True)
class Side:
    """An experiment as data: nothing that it names is looked at."""

    name: str
    """As it was named on the command line."""
    tree: dict[str, Any]
    """Plain values, every default folded in."""
    origins: Mapping[str, str]
    """Dotted leaf -> who set it."""


def read_side(name: str, *, config_dirs: Sequence[str | Path] = ()) -> Side:
    """Reads an experiment.

    Args:
        name: a run directory; a file of a config group, such as
            `my_conf/experiment/mine.yaml`, or one that holds a whole config; the name
            of an experiment; or overrides, in one text.
        config_dirs: the user's own folders of configs.

    Raises:
        ConfigError: there is nothing by that name, or it is no sound experiment.

    >>> side = read_side("experiment=digits seed=3")
    >>> side.tree["seed"], side.origins["seed"]
    (3, 'override seed=3')
    """
    found, path = folders(config_dirs), Path(os.path.expanduser(name))
    if "=" in name:
        return _composed(name, shlex.split(name), found)
    if path.is_file() and path.name != RUN_CONFIG:
        return _of_file(name, path, found)
    if name in found.choices("experiment") and not (path / RUN_CONFIG).is_file():
        return _composed(name, [f"experiment={name}"], found)
    run = path.parent if path.name == RUN_CONFIG else path
    if not run.is_dir():
        raise ConfigError(_no_such_side(name, found))
    side = _composed(name, [f"run={spell(str(run))}"], found)
    # Who set a value when it ran tells more than the line of the run's own record.
    return dataclasses.replace(side, origins={**side.origins, **_recorded(run)})


def _composed(name: str, lines: Sequence[str], found: Folders) -> Side:
    made = draft(lines, found)
    return _side(name, made.config, made.diagnostics, made.layers.origins)


def _of_file(name: str, path: Path, found: Folders) -> Side:
    group = path.absolute().parent
    if found.is_group(group.name):
        own = Folders((group.parent, *found.paths))
        return _composed(name, [f"{group.name}={path.stem}"], own)
    layers = Layers()
    layers.merge_data(path, found.shown(path))
    config, diagnostics = validate(layers.resolve(), layers.origins)
    return _side(name, config, [*layers.diagnostics, *diagnostics], layers.origins)


def _side(
    name: str,
    config: ExperimentConfig | None,
    diagnostics: Sequence[Diagnostic],
    origins: Origins,
) -> Side:
    if diagnostics or config is None:
        raise ConfigError(*diagnostics)
    tree = config.model_dump(by_alias=True)
    told = {".".join(path): str(origins.leaf(path)) for path in leaf_paths(tree)}
    return Side(name, tree, told)


def _recorded(run: Path) -> dict[str, str]:
    """Who set each value, as a run has noted it; empty if it has not."""
    try:
        noted = json.loads((run / "origins.json").read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return {}
    pairs = noted.items() if isinstance(noted, dict) else ()
    return {key: value for key, value in pairs if isinstance(value, str)}


def _no_such_side(name: str, found: Folders) -> Diagnostic:
    experiments = found.choices("experiment")
    near = did_you_mean(nearest(name, experiments))
    return Diagnostic(
        name,
        "is not a run, a file or an experiment",
        "a run directory, a YAML file, the name of an experiment, or overrides",
        f"{near} Experiments: {', '.join(experiments)}.".strip(),
        "command line",
        "unknown-choice",
    )
