"""An experiment as it was written: its layers laid and judged, nothing resolved."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from specflow.compose.check.hydra_options import option_diagnostics
from specflow.compose.check.suppressed import Doubts
from specflow.compose.check.validate import validate
from specflow.compose.merge.layers import Layers
from specflow.compose.provenance import Origin
from specflow.compose.read.config_folders import Folders
from specflow.compose.read.defaults_list import chosen_by, defaults_list
from specflow.compose.read.override_grammar import Request, read, spell
from specflow.compose.rerun import RUN_CONFIG, since
from specflow.config.experiment import ExperimentConfig
from specflow.diagnostics.errors import ConfigError, Diagnostic

__all__ = ["Draft", "draft"]

_GUESSED = ("defaults", "unknown-choice", "yaml")


@dataclasses.dataclass(frozen=True)
class Draft:
    """What a command's overrides come to, right or wrong."""

    request: Request
    layers: Layers
    choices: dict[str, str]
    """Config group -> what was chosen, `+` before a group that was added."""
    tree: dict[Any, Any]
    """Plain values, interpolations resolved, defaults left out."""
    config: ExperimentConfig | None
    """Validated, its targets not bound; none if something is wrong."""
    diagnostics: list[Diagnostic]
    """All that is wrong but for targets, which nobody has looked at."""
    guessed: tuple[Diagnostic, ...] = ()
    """Those for which something stands in that was not asked for: another choice, or a
    file without what is no YAML in it."""

    def chosen_by(self, group: str) -> Origin:
        """Who chose in a group of `choices`."""
        for override in reversed(self.request.choices):
            if override.get_key_element().lstrip("+") == group.lstrip("+"):
                return Origin.override(str(override.input_line))
        by = chosen_by(group, self.choices[group], self.layers.wishes)
        return by or Origin("default")


def draft(
    lines: Iterable[str], folders: Folders, *, layers: Layers | None = None
) -> Draft:
    """Lays and judges what overrides ask for; imports nothing that they name.

    Args:
        lines: overrides, as on the command line.
        folders: where configs lie.
        layers: where they are laid; empty ones by default.

    Raises:
        ConfigError: there is nothing to judge: a file is not there, or is no YAML.

    >>> from specflow.compose.read.config_folders import folders
    >>> made = draft(["mesh=fsdp", "seed=-1"], folders())
    >>> made.tree["mesh"]["axes"], str(made.chosen_by("mesh"))
    ({'data': 1, 'fsdp': -1}, 'override mesh=fsdp')
    >>> print(*made.diagnostics)
    seed: got -1 (override seed=-1). Expected a whole number >= 0.
    """
    request, diagnostics = read(lines, folders)
    diagnostics += _sweep_diagnostics(request)
    request = request.singles()
    layers = Layers() if layers is None else layers
    layers.unknown |= request.unknown
    try:
        choices = _lay(layers, request, folders)
    except ConfigError as error:
        raise ConfigError(*diagnostics, *error.diagnostics) from None
    tree = layers.resolve()
    diagnostics += layers.diagnostics
    known = {
        diagnostic.where
        for diagnostic in layers.diagnostics
        if diagnostic.code not in _GUESSED
    }
    guessed = tuple(
        diagnostic for diagnostic in diagnostics if diagnostic.code in _GUESSED
    )
    doubts = Doubts.of(layers, request)
    config, wrong = validate(
        tree, layers.origins, groups=folders.groups(), doubtful=doubts.words
    )
    diagnostics += [
        doubts.told_by(diagnostic)
        for diagnostic in wrong
        if not (_is_below(diagnostic.where, known) or doubts.cover(diagnostic))
    ]
    if request.run is not None:
        line = f"run={spell(request.run)}"
        diagnostics = since(
            diagnostics, request.run, lambda: _diagnostics_of(line, folders)
        )
    return Draft(request, layers, choices, tree, config, diagnostics, guessed)


def _diagnostics_of(run: str, found: Folders) -> list[Diagnostic]:
    """What is wrong with a run, without the overrides of a command."""
    layers = Layers()
    request, _ = read([run], found)
    _lay_run(layers, request, found)
    _, diagnostics = validate(layers.resolve(), layers.origins, groups=found.groups())
    return [*layers.diagnostics, *diagnostics]


def _lay(layers: Layers, request: Request, found: Folders) -> dict[str, str]:
    """Lays all that a request asks for; returns what was chosen."""
    if request.run is None:
        layers.chosen |= {
            found.shown(file)
            for one in request.choices
            if one.key_or_group in ExperimentConfig.model_fields
            and (file := found.file(f"{one.key_or_group}/{one.value()}"))
        }
        merge = defaults_list(request.choices, found)
        for file, package in merge.files:
            layers.lay_file(file, found.shown(file), package)
        layers.diagnostics += merge.diagnostics
        layers.diagnostics += option_diagnostics(request, merge.files, found)
        layers.unknown |= merge.unknown
        added = {
            override.key_or_group for override in request.choices if override.is_add()
        }
        choices = {
            f"+{group}" if group in added else group: choice
            for group, choice in merge.choices.items()
        }
    else:
        choices = _lay_run(layers, request, found)
        layers.diagnostics += option_diagnostics(request, (), found)
    layers.lay_overrides(request.values)
    return choices


def _lay_run(layers: Layers, request: Request, found: Folders) -> dict[str, str]:
    """The config of a run as the base; a chosen group replaces its word as a whole."""
    file = _config_of(str(request.run))
    if not file.is_file():
        raise ConfigError(
            Diagnostic(
                "run",
                f"no run in {request.run}: it has no {RUN_CONFIG}",
                expected="the directory of a finished or stopped run",
                hint="It was made in Python: evaluate, predict and export accept it if "
                "it has an estimator.json. Otherwise evaluate it in Python, with "
                f"Estimator(..., model_dir={str(request.run)!r})."
                if (file.parent / "checkpoints").is_dir()
                else "",
                origin=f"override run={request.run}",
                code="missing-file",
            )
        )
    layers.lay_data(file, found.shown(file))
    # Where a run lies is no part of what it is, and the directory may have moved.
    if isinstance(output := layers.tree.get("output"), dict):
        output.pop("dir", None)
        layers.origins.remove(("output", "dir"))
    choices = {}
    for override in request.choices:
        group, choice = override.key_or_group, str(override.value())
        file = found.file(f"{group}/{choice}")
        if file is None or group not in ExperimentConfig.model_fields:
            layers.diagnostics.append(
                Diagnostic(
                    group,
                    "cannot be chosen when a run is the base",
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


def _is_below(where: str, known: set[str]) -> bool:
    """Whether a fault only repeats what is told of its key or its section."""
    return any(where == key or where.startswith(f"{key}.") for key in known if key)
