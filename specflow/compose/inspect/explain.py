"""Explanation of a config key: meaning, accepted values, value and its origins."""

import dataclasses
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, get_origin

from specflow.compose.draft import Draft, draft
from specflow.compose.inspect.section_docs import about, fields_about
from specflow.compose.inspect.section_fields import EXPERIMENT, Place
from specflow.compose.key_hints import key_hint
from specflow.compose.merge.default_sections import fold_defaults
from specflow.compose.merge.layer_history import LayerValue, RecordingMerger
from specflow.compose.read.config_folders import Folders, about_file, folders
from specflow.compose.read.override_grammar import format_value, read
from specflow.compose.section_types import ROOT, Slot, fields_of, in_words, label
from specflow.config.base import TARGET, Config, Target
from specflow.config.experiment import ExperimentConfig
from specflow.diagnostics.errors import (
    ConfigError,
    Diagnostic,
    did_you_mean,
    nearest,
)
from specflow.runtime.plain_tree import ABSENT, value_at

__all__ = ["TO_COME", "Explanation", "explain"]

_OWN = {
    "run": "Run directory whose config is the base of the composed experiment.",
    "trust": "Packages of your own in which `_target_` and `model_fn` may resolve. "
    "Only the command line and the project file may set it; a config may not.",
}
_OF_ALL = ("composition", "defaults", "missing-file", "sweep", "syntax", "yaml")
"""Codes of problems after which the value of any key is unknown."""
_LAUNCHERS, _OF_LAUNCHER = "hydra/launcher", "hydra.launcher"
_MOST = 24
"""Number of names up to which all are listed beside a suggestion."""
TO_COME = "???"
"""Marker of a value that must still be set, as in YAML."""


@dataclasses.dataclass(frozen=True)
class Explanation:
    """Facts about a key; those that do not apply are empty."""

    key: str
    about: str = ""
    takes: str = ""
    """Accepted values, described as in error messages."""
    defaults: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    """Default, as written in YAML -> the kinds of section that have it."""
    value: Any = ABSENT
    """Value in this experiment."""
    layers: list[LayerValue] = dataclasses.field(default_factory=list)
    """Values that layers set, with their origins, the last writer first."""
    fields: dict[str, tuple[Any, str]] = dataclasses.field(default_factory=dict)
    """For a section: key -> (value here or default, meaning)."""
    of: str = ""
    """Name of the section that has these fields."""
    choices: dict[str, str] = dataclasses.field(default_factory=dict)
    """Choice -> its meaning."""
    diagnostics: list[Diagnostic] = dataclasses.field(default_factory=list)
    """Problems of the key in this experiment."""


def explain(
    key: str, overrides: Iterable[str] = (), *, config_dirs: Sequence[str | Path] = ()
) -> Explanation:
    """Explains a key: by itself, or in the experiment that overrides compose.

    Args:
        key: dotted, such as `optimizer.lr`; empty for the whole experiment, or for what
            the only override that chooses from a group chooses.
        overrides: as on the command line; without any, no experiment is composed, and
            the key is explained for every kind of section that has it.
        config_dirs: the user's own config folders.

    Raises:
        ConfigError: there is no such key, or no such experiment.

    >>> explain("mesh.axes.fsdp").takes
    'a whole number >= -1'
    >>> lines = ["experiment=digits", "optimizer.lr=3e-4"]
    >>> explanation = explain("optimizer.lr", lines)
    >>> explanation.value, [(one.value, str(one.origin)) for one in explanation.layers]
    (0.0003, [(0.0003, 'override optimizer.lr=3e-4'),
              (0.002, 'conf/experiment/digits.yaml:17'),
              (0.001, 'conf/optimizer/adamw.yaml:4')])
    >>> explanation = explain("", ["optimizer=sgd"])
    >>> explanation.key, explanation.fields["momentum"]
    ('optimizer=sgd', (None, 'Decay rate of the momentum; null: none.'))
    """
    search_folders, lines = folders(config_dirs), tuple(overrides)
    if not key and (group := _only_group(lines, search_folders)):
        explanation = explain(group, lines, config_dirs=config_dirs)
        return _of_choice(explanation)
    path = tuple(key.split(".")) if key else ()
    if key in _OWN:
        return Explanation(key, _OWN[key])
    if f"{key.replace('/', '.')}.".startswith(f"{_OF_LAUNCHER}.") or (
        not key and lines and all(line.startswith(_LAUNCHERS) for line in lines)
    ):
        return _of_launcher(key or _OF_LAUNCHER, lines, search_folders)
    if path[:1] == ("hydra",):
        raise ConfigError(_setting_of_hydra(key))
    if key not in ExperimentConfig.model_fields and search_folders.is_group(key):
        return Explanation(
            key,
            "Config group: selects the file that is merged.",
            choices=_files(key, search_folders),
        )
    if not lines:
        return _by_itself(path, search_folders)
    merger = RecordingMerger(path)
    composed = draft(lines, search_folders, merger=merger)
    if composed.guessed:  # A substituted choice was not requested.
        raise ConfigError(*composed.guessed)
    return _in_experiment(path, composed, merger, search_folders)


def _only_group(lines: Sequence[str], folders: Folders) -> str:
    """Returns the section that one override chooses, if no other chooses one."""
    request, _ = read(lines, folders)
    groups = [
        one.key_or_group
        for one in request.choices
        if one.key_or_group in ExperimentConfig.model_fields
        and not one.is_delete()
        and isinstance(one.value(), str)
    ]
    return groups[0] if len(groups) == 1 else ""


def _of_choice(explanation: Explanation) -> Explanation:
    """Explains the choice of a section, without the choices beside it."""
    choice = f"{explanation.key}={explanation.layers[0].value}"
    return dataclasses.replace(
        explanation,
        key=choice,
        about=explanation.choices.get(choice) or explanation.about,
        takes="",
        defaults={},
        choices={},
    )


def _of_launcher(key: str, lines: Sequence[str], folders: Folders) -> Explanation:
    """Explains what runs the trials of a sweep: the one that an override chooses."""
    # It loads Hydra's plugins.
    from specflow.compose.inspect.explain_launcher import launcher_fields, launchers

    chosen = [line.partition("=")[2] for line in lines if line.startswith(_LAUNCHERS)]
    name = chosen[-1] if chosen else "specflow"
    choices = launchers(folders)
    if name not in choices:
        near = did_you_mean(nearest(name, choices), prefix=f"{_LAUNCHERS}=")
        problem, hint = f"no choice named '{name}'", f"Choices: {', '.join(choices)}."
        origin = f"override {_LAUNCHERS}={name}"
        raise ConfigError(
            Diagnostic(
                _LAUNCHERS,
                problem,
                hint=f"{near} {hint}".strip(),
                origin=origin,
                code="unknown-choice",
            )
        )
    fields = launcher_fields(name, folders)
    option = key[len(_OF_LAUNCHER) + 1 :]
    if not option:
        return Explanation(
            key,
            "Runs the trials of `train -m`; no part of the config that a run records.",
            fields=fields,
            of=f"{_LAUNCHERS}={name}, set by {_OF_LAUNCHER}.KEY=VALUE",
            choices=choices,
        )
    if option not in fields:
        hint = f"Options: {', '.join(fields) or 'none'}."
        near = did_you_mean(nearest(option, fields), prefix=f"{_OF_LAUNCHER}.")
        problem = f"no such option of {_LAUNCHERS}={name}"
        hint = f"{near} {hint}".strip()
        raise ConfigError(Diagnostic(key, problem, hint=hint, code="unknown-key"))
    default, text = fields[option]
    kinds = [f"{_LAUNCHERS}={name}"]
    return Explanation(key, text, defaults={format_value(default): kinds})


def _setting_of_hydra(key: str) -> Diagnostic:
    return Diagnostic(
        key,
        "is of Hydra, whose documentation has it: https://hydra.cc",
        f"a key of an experiment, or {_OF_LAUNCHER}, which runs the trials of a sweep",
        code="unknown-key",
    )


def _by_itself(path: tuple[str, ...], folders: Folders) -> Explanation:
    places = [EXPERIMENT]
    for at, name in enumerate(path):
        inner = [place for outer in places for place in outer.inside(name)]
        if not inner:
            raise ConfigError(_no_such_key(path[: at + 1], places, folders))
        places = inner
    first = next((place for place in places if place.about), places[0])
    sections = first.sections
    only = sections[0] if len(sections) == 1 else None
    defaults: dict[str, list[str]] = {}
    for place in places:
        if place.owner is not None and place.default != {}:
            kinds = defaults.setdefault(_as_written(place.default), [])
            kinds.append(label(place.owner))
    return Explanation(
        ".".join(path),
        first.about,
        _takes(first),
        {} if first.is_name else {text: sorted(of) for text, of in defaults.items()},
        fields=_fields(only, ABSENT) if only else {},
        of=label(only) if only else "",
        choices=_choices(path, first, folders),
    )


def _in_experiment(
    path: tuple[str, ...], composed: Draft, merger: RecordingMerger, folders: Folders
) -> Explanation:
    tree: Any = fold_defaults(composed.tree, ROOT)
    if composed.config is not None:
        tree = composed.config.model_dump(by_alias=True)
    place, value = EXPERIMENT, tree
    for at, name in enumerate(path):
        section = place.slot.section(value)
        inner = value_at(value, (name,))
        child = place.slot.child(name, value)
        if (
            section
            and issubclass(section, Target)
            and child is None
            and inner is not ABSENT
        ):
            of = f"An argument of {value[TARGET]}."
            value, seen = value_at(tree, path), merger.values[::-1]
            return Explanation(".".join(path), of, value=value, layers=seen)
        if child is None or (section is None and inner is ABSENT):
            raise ConfigError(_not_here(path[: at + 1], place, value, folders, tree))
        place, value = Place(child, section, name, place), inner
    if value is ABSENT:
        value = place.default  # Validation failed, so defaults are not filled in.
    section = place.slot.section(value)
    key, entries = ".".join(path), _entries(place.slot, value)
    default = place.default if place.owner else {}
    whole = section is None and not entries  # Otherwise the fields show the value.
    return Explanation(
        key,
        place.about,
        _takes(place),
        {} if default == {} or place.is_name else {_as_written(default): []},
        value=value if whole else _kind(place.slot, value),
        layers=_chosen(path, composed) or _written(merger, place.slot, whole=whole),
        fields=_fields(section, value) if section else entries,
        of=label(section) if section else "",
        choices=_choices(path, place, folders),
        diagnostics=[
            diagnostic
            for diagnostic in composed.diagnostics
            if _concerns(diagnostic, key)
        ],
    )


def _concerns(diagnostic: Diagnostic, key: str) -> bool:
    """Returns whether a problem concerns a key, or the composition of its value."""
    where, path = f"{diagnostic.where}.", f"{key}."
    here = not key or where.startswith(path) or path.startswith(where)
    return here or diagnostic.where == "experiment" or diagnostic.code in _OF_ALL


def _takes(place: Place) -> str:
    """Describes the accepted values; names of kinds are listed as choices."""
    if place.is_name:
        return "one of the names below"
    text = in_words(place.slot)
    return re.sub(r" \([^()]*\)", "", text) if _inner(place.slot).kinds else text


def _inner(slot: Slot) -> Slot:
    """Returns the slot of the items of a mapping or list, at any depth, or the slot."""
    while not slot.kinds and (child := slot.child("0", None)) is not None:
        slot = child
    return slot


def _kind(slot: Slot, value: Any) -> Any:
    """Returns the name of a section's kind, or `ABSENT`."""
    section = slot.section(value) if slot.kinds else None
    return label(section) if section else ABSENT


def _written(merger: RecordingMerger, slot: Slot, *, whole: bool) -> list[LayerValue]:
    if whole:
        return merger.values[::-1]
    return [
        LayerValue(one.origin, _kind(slot, one.value))
        for one in reversed(merger.values)
    ]


def _chosen(path: tuple[str, ...], composed: Draft) -> list[LayerValue]:
    """Returns the choice of a config group and the choices that it overrides."""
    group = ".".join(path)
    key = next((one for one in composed.choices if one.lstrip("+") == group), None)
    if key is None:
        return []
    chosen = LayerValue(composed.chosen_by(key), composed.choices[key])
    defaults_entries = sorted(
        (entry for entry in composed.merger.defaults_entries if entry.group == group),
        key=lambda entry: entry.override,
    )
    before = [
        LayerValue(entry.origin, None if entry.choice == "null" else entry.choice)
        for entry in reversed(defaults_entries)
    ]
    return [chosen, *(one for one in before if one.origin != chosen.origin)]


def _fields(section: type[Config], value: Any) -> dict[str, tuple[Any, str]]:
    """Returns the fields of a section, each with its value or default."""
    texts = fields_about(section)
    fields = {}
    for name, field in section.model_fields.items():
        key = field.alias or name
        if get_origin(field.annotation) is Literal and key == "name":
            continue  # The kind is shown as the value.
        inner = value_at(value, (key,)) if isinstance(value, dict) else ABSENT
        place = Place(Slot.of_field(field), section, key)
        if inner is ABSENT:
            inner = TO_COME if place.is_required else place.default
        kind = _kind(place.slot, inner)
        if place.slot.section(inner) and isinstance(inner, dict):
            inner = kind  # Its fields are explained under its own key.
        fields[key] = (inner, texts.get(key) or place.about)
    return fields


def _entries(slot: Slot, value: Any) -> dict[str, tuple[Any, str]]:
    """Returns the sections in a mapping or a list."""
    items = dict(enumerate(value)) if isinstance(value, list) else value
    if not isinstance(items, dict):
        return {}
    entries = {}
    for key, inner in items.items():
        child = slot.child(key, value)
        section = child.section(inner) if child else None
        if child and section:
            entries[str(key)] = (_kind(child, inner), about(section))
    return entries


def _choices(path: tuple[str, ...], place: Place, folders: Folders) -> dict[str, str]:
    """Returns the choices at a place: files of a group, or names of sections."""
    group = ".".join(path)
    slot = place.around.slot if place.is_name and place.around else place.slot
    if group in ExperimentConfig.model_fields and folders.is_group(group):
        return _files(group, folders, slot)
    members = _inner(slot).members().items()
    return {f"name: {name}": about(kind) for name, kind in members if name != TARGET}


def _files(group: str, folders: Folders, slot: Slot | None = None) -> dict[str, str]:
    kinds = slot.members() if slot else {}
    files = {
        choice: folders.file(f"{group}/{choice}") for choice in folders.choices(group)
    }
    return {
        f"{group}={choice}": (file and about_file(file))
        or (about(kinds[choice]) if choice in kinds else "")
        for choice, file in files.items()
    }


def _as_written(value: Any) -> str:
    return TO_COME if value is ABSENT else format_value(value)


def _no_such_key(
    path: tuple[str, ...], places: list[Place], folders: Folders
) -> Diagnostic:
    """Reports a key that no kind of section has."""
    sections = [section for place in places for section in place.sections]
    known = sorted({key for section in sections for key in fields_of(section)})
    return _diagnostic(path, known, "Fields here", folders)


def _not_here(
    path: tuple[str, ...], place: Place, value: Any, folders: Folders, tree: Any
) -> Diagnostic:
    """Reports a key that this experiment does not have."""
    section = place.slot.section(value)
    if section is None:
        items = range(len(value)) if isinstance(value, list) else (value or ())
        keys = [str(key) for key in items]
        return _diagnostic(path, keys, "Keys here", folders, tree)
    diagnostic = _diagnostic(
        path, fields_of(section), f"Fields of {label(section)}", folders, tree
    )
    others = [label(kind) for kind in place.sections if path[-1] in fields_of(kind)]
    other_kinds = (
        f" {', '.join(others)} {'has' if len(others) == 1 else 'have'} this field."
        if others
        else ""
    )
    return dataclasses.replace(diagnostic, hint=diagnostic.hint + other_kinds)


def _diagnostic(
    path: tuple[str, ...],
    known: list[str],
    listed: str,
    folders: Folders,
    tree: Any = None,
) -> Diagnostic:
    *above, _ = path
    near = key_hint(path, known, tree, groups=folders.groups())
    there = (
        f"{listed}: {', '.join(known)}." if known else f"{'.'.join(above)} has no keys."
    )
    if near and len(known) > _MOST:
        there = ""
    return Diagnostic(
        ".".join(path),
        "no such key",
        hint=f"{near} {there}".strip(),
        origin="command line",
        code="unknown-key",
    )
