"""Composes one experiment: YAML, then overrides, then validation, then targets."""

import dataclasses
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from specflow.compose.defaults import chosen_by, defaults_list
from specflow.compose.documents import dump
from specflow.compose.folders import Folders, folders
from specflow.compose.grammar import Request, read
from specflow.compose.layers import Layers
from specflow.compose.provenance import Origin
from specflow.compose.show import leaf_paths
from specflow.compose.targets import bind, resolve_targets
from specflow.compose.validate import validate
from specflow.config.experiment import ExperimentConfig
from specflow.errors import ConfigError, Fault

__all__ = ["Composed", "compose"]

RUN_CONFIG = "config.yaml"
"""The resolved config in a run directory."""

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
    """Dotted leaf -> `conf/optimizer/adamw.yaml:3`, `override ...` or `default`."""
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

    def yaml(self) -> str:
        """The tree as YAML: the base on which `run=DIR` composes again."""
        return dump(self.tree)


def compose(
    overrides: Iterable[str] = (),
    *,
    config_dirs: Sequence[str | Path] = (),
    trust: Iterable[str] = (),
) -> Composed:
    """Composes, validates and binds one experiment; reads files, runs nothing.

    Args:
        overrides: lines as on the command line: `experiment=digits`,
            `optimizer.lr=3e-4`, `~key`, `trust=my_package`, `run=DIR` for the config of
            a run as the base.
        config_dirs: the user's own folders, searched before the shipped one.
        trust: the user's own packages in which `_target_` and `model_fn` may resolve.

    Raises:
        ConfigError: everything that is wrong, at once.

    >>> composed = compose(["experiment=digits", "optimizer.lr=3e-4"])
    >>> composed.config.optimizer.lr, composed.origins["optimizer.lr"]
    (0.0003, 'override optimizer.lr=3e-4')
    >>> composed.choices["mesh"], composed.choice_origins["model"]
    ('data', 'conf/experiment/digits.yaml:4')
    """
    lines = tuple(overrides)
    found = folders(config_dirs)
    request, faults = read(lines, found)
    faults += _sweep_faults(request)
    request = request.singles()
    if any(fault.where == "experiment" for fault in faults):
        # Without its experiment, every other key would be judged against another one.
        raise ConfigError(*faults)
    layers, choices = _layers(request, found)
    tree = layers.resolve()
    faults += layers.faults
    unknown = {fault.where for fault in faults}
    config, wrong = validate(tree, layers.origins, groups=found.groups())
    faults += [fault for fault in wrong if not _is_below(fault.where, unknown)]
    trusted = (*trust, *request.trust)
    if trusted and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    targets, wrong = resolve_targets(
        tree, layers.origins, trust=trusted, supplied=_SUPPLIED
    )
    faults += wrong
    if faults or config is None:
        raise ConfigError(*faults)
    bind(config, targets)
    full = config.model_dump(by_alias=True)
    return Composed(
        config=config,
        tree=full,
        origins={
            ".".join(path): str(layers.origins.leaf(path)) for path in leaf_paths(full)
        },
        choices=choices,
        choice_origins={
            group: str(_chosen_by(group, choice, request, layers))
            for group, choice in choices.items()
        },
        deletions=tuple(
            str(override.input_line)
            for override in (*request.choices, *request.values)
            if override.is_delete()
        ),
        run=request.run,
        trust=trusted,
        overrides=lines,
    )


def _layers(request: Request, found: Folders) -> tuple[Layers, dict[str, str]]:
    """All layers of a request, and what was chosen."""
    layers = Layers()
    if request.run is None:
        merge = defaults_list(request.choices, found)
        for file, package in merge.files:
            layers.lay_file(file, found.shown(file), package)
        added = {
            override.key_or_group for override in request.choices if override.is_add()
        }
        choices = {
            f"+{group}" if group in added else group: choice
            for group, choice in merge.choices.items()
        }
    else:
        choices = _lay_run(layers, request, found)
    layers.lay_overrides(request.values)
    return layers, choices


def _lay_run(layers: Layers, request: Request, found: Folders) -> dict[str, str]:
    """The config of a run as the base; a chosen group replaces its word as a whole."""
    file = Path(str(request.run)) / RUN_CONFIG
    if not file.is_file():
        raise ConfigError(
            Fault(
                "run",
                f"no run in {request.run}: it has no {RUN_CONFIG}",
                expected="the directory of a finished or stopped run",
                origin=f"override run={request.run}",
                code="missing-file",
            )
        )
    layers.lay_data(file, found.shown(file))
    choices = {}
    for override in request.choices:
        group, choice = override.key_or_group, str(override.value())
        file = found.file(f"{group}/{choice}")
        if file is None or group not in ExperimentConfig.model_fields:
            layers.faults.append(
                Fault(
                    group,
                    "cannot be chosen on top of a run",
                    expected=f"one of {', '.join(ExperimentConfig.model_fields)}",
                    origin=f"override {override.input_line}",
                    code="defaults",
                )
            )
            continue
        layers.remove(group)
        for part, package in defaults_list([override], found).files:
            if package == group:
                layers.lay_file(part, found.shown(part), package)
        choices[group] = choice
    return choices


def _chosen_by(group: str, choice: str, request: Request, layers: Layers) -> Origin:
    for override in reversed(request.choices):
        if override.get_key_element().lstrip("+") == group.lstrip("+"):
            return Origin.override(str(override.input_line))
    return chosen_by(group, choice, layers.wishes) or Origin("default")


def _sweep_faults(request: Request) -> list[Fault]:
    return [
        Fault(
            override.key_or_group,
            "names several values",
            expected="one value, or -m to run them all",
            mend=f"A list is written {override.key_or_group}=[a,b].",
            origin=f"override {override.input_line}",
            code="sweep",
        )
        for override in (*request.choices, *request.values)
        if override.is_sweep_override()
    ]


def _is_below(where: str, known: set[str]) -> bool:
    """Whether a fault only repeats what is told of its key or its section."""
    return any(where == key or where.startswith(f"{key}.") for key in known if key)
