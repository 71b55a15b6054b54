"""What a key means, what it takes, what it is here, and who said so."""

import dataclasses
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, get_origin

from specflow.compose.draft import Draft, draft
from specflow.compose.inspect.section_docs import about, fields_about
from specflow.compose.inspect.section_fields import EXPERIMENT, Place
from specflow.compose.merge.default_sections import fold_defaults
from specflow.compose.merge.layer_history import Watched, Written
from specflow.compose.read.config_folders import Folders, about_file, folders
from specflow.compose.read.override_grammar import spell
from specflow.compose.section_types import ROOT, Slot, fields_of, in_words, label
from specflow.config.base import TARGET, Config, Target
from specflow.config.experiment import ExperimentConfig
from specflow.diagnostics.errors import ConfigError, Diagnostic, did_you_mean, nearest
from specflow.runtime.plain_tree import ABSENT, value_at

__all__ = ["TO_COME", "Explanation", "explain"]

_OWN = {
    "run": "Run directory whose config is the base of the composed experiment.",
    "trust": "Packages of your own in which `_target_` and `model_fn` may resolve. "
    "Only the command line and the project file may set it; a config may not.",
}
_OF_ALL = ("composition", "defaults", "missing-file", "sweep", "syntax", "yaml")
"""Codes of faults after which nobody knows what a key would be."""
_MOST = 24
"""Names that are listed beside a near miss."""
TO_COME = "???"
"""A value that must still be given, as in YAML."""


@dataclasses.dataclass(frozen=True)
class Explanation:
    """All that is known of a key; what does not apply is empty."""

    key: str
    about: str = ""
    takes: str = ""
    """What fits, in the words of error messages."""
    defaults: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    """Default, as it is written -> the kinds of section that have it."""
    value: Any = ABSENT
    """What it is in this experiment."""
    layers: list[Written] = dataclasses.field(default_factory=list)
    """Who set it, and over what: the last writer first."""
    fields: dict[str, tuple[Any, str]] = dataclasses.field(default_factory=dict)
    """Of a section: key -> its value here, or its default, and what it means."""
    of: str = ""
    """Whose fields these are."""
    choices: dict[str, str] = dataclasses.field(default_factory=dict)
    """What can be chosen here -> what that is."""
    diagnostics: list[Diagnostic] = dataclasses.field(default_factory=list)
    """What is wrong with it in this experiment."""


def explain(
    key: str, overrides: Iterable[str] = (), *, config_dirs: Sequence[str | Path] = ()
) -> Explanation:
    """Explains a key: by itself, or in the experiment that overrides compose.

    Args:
        key: dotted, such as `optimizer.lr`; empty for the whole experiment.
        overrides: lines as on the command line; without any, no experiment is looked
            at, and the key is that of every kind of section which has it.
        config_dirs: the user's own folders of configs.

    Raises:
        ConfigError: there is no such key, or no such experiment.

    >>> explain("mesh.axes.fsdp").takes
    'a whole number >= -1'
    >>> made = explain("optimizer.lr", ["experiment=digits", "optimizer.lr=3e-4"])
    >>> made.value, [(one.value, str(one.origin)) for one in made.layers]
    (0.0003, [(0.0003, 'override optimizer.lr=3e-4'),
              (0.002, 'conf/experiment/digits.yaml:17'),
              (0.001, 'conf/optimizer/adamw.yaml:4')])
    """
    path = tuple(key.split(".")) if key else ()
    found, lines = folders(config_dirs), tuple(overrides)
    if key in _OWN:
        return Explanation(key, _OWN[key])
    if key not in ExperimentConfig.model_fields and found.is_group(key):
        return Explanation(
            key,
            "Config group: selects the file that is merged.",
            choices=_files(key, found),
        )
    if not lines:
        return _by_itself(path, found)
    layers = Watched(path)
    made = draft(lines, found, layers=layers)
    if made.guessed:  # What was not asked for explains nothing.
        raise ConfigError(*made.guessed)
    return _in_experiment(path, made, layers, found)


def _by_itself(path: tuple[str, ...], found: Folders) -> Explanation:
    places = [EXPERIMENT]
    for at, name in enumerate(path):
        inner = [place for outer in places for place in outer.inside(name)]
        if not inner:
            raise ConfigError(_no_such_key(path[: at + 1], places, found))
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
        choices=_choices(path, first, found),
    )


def _in_experiment(
    path: tuple[str, ...], made: Draft, layers: Watched, found: Folders
) -> Explanation:
    tree: Any = fold_defaults(made.tree, ROOT)
    if made.config is not None:
        tree = made.config.model_dump(by_alias=True)
    place, value = EXPERIMENT, tree
    for at, name in enumerate(path):
        section = place.slot.section(value)
        inner = value_at(value, (name,))
        child = place.slot.child(name, value)
        if section is Target and child is None and inner is not ABSENT:
            of = f"An argument of {value[TARGET]}."
            value, seen = value_at(tree, path), layers.seen[::-1]
            return Explanation(".".join(path), of, value=value, layers=seen)
        if child is None or (section is None and inner is ABSENT):
            raise ConfigError(_not_here(path[: at + 1], place, value, found))
        place, value = Place(child, section, name, place), inner
    if value is ABSENT:
        value = place.default  # Of what is not sound, nobody has folded it in.
    section = place.slot.section(value)
    key, entries = ".".join(path), _entries(place.slot, value)
    default = place.default if place.owner else {}
    whole = section is None and not entries  # Else the fields tell the value.
    return Explanation(
        key,
        place.about,
        _takes(place),
        {} if default == {} or place.is_name else {_as_written(default): []},
        value=value if whole else _kind(place.slot, value),
        layers=_chosen(path, made) or _written(layers, place.slot, whole=whole),
        fields=_fields(section, value) if section else entries,
        of=label(section) if section else "",
        choices=_choices(path, place, found),
        diagnostics=[
            diagnostic for diagnostic in made.diagnostics if _concerns(diagnostic, key)
        ],
    )


def _concerns(diagnostic: Diagnostic, key: str) -> bool:
    """Whether a fault is one of a key, or of what it was composed of."""
    where, path = f"{diagnostic.where}.", f"{key}."
    here = not key or where.startswith(path) or path.startswith(where)
    return here or diagnostic.where == "experiment" or diagnostic.code in _OF_ALL


def _takes(place: Place) -> str:
    """What fits; the names of kinds are listed below, and not told twice."""
    if place.is_name:
        return "one of the names below"
    text = in_words(place.slot)
    return re.sub(r" \([^()]*\)", "", text) if _inner(place.slot).kinds else text


def _inner(slot: Slot) -> Slot:
    """What stands inside a mapping or a list, at any depth; else the slot itself."""
    while not slot.kinds and (child := slot.child("0", None)) is not None:
        slot = child
    return slot


def _kind(slot: Slot, value: Any) -> Any:
    """The name of a section's kind; of any other value, nothing."""
    section = slot.section(value) if slot.kinds else None
    return label(section) if section else ABSENT


def _written(layers: Watched, slot: Slot, *, whole: bool) -> list[Written]:
    if whole:
        return layers.seen[::-1]
    return [
        Written(one.origin, _kind(slot, one.value)) for one in reversed(layers.seen)
    ]


def _chosen(path: tuple[str, ...], made: Draft) -> list[Written]:
    """Who chose in a config group, and what was to be chosen before."""
    group = ".".join(path)
    key = next((one for one in made.choices if one.lstrip("+") == group), None)
    if key is None:
        return []
    chosen = Written(made.chosen_by(key), made.choices[key])
    wishes = sorted(
        (wish for wish in made.layers.wishes if wish.group == group),
        key=lambda wish: wish.override,
    )
    before = [Written(wish.origin, wish.choice) for wish in reversed(wishes)]
    return [chosen, *(one for one in before if one.origin != chosen.origin)]


def _fields(section: type[Config], value: Any) -> dict[str, tuple[Any, str]]:
    """The fields of a section, each with its value, or its default."""
    texts = fields_about(section)
    fields = {}
    for name, field in section.model_fields.items():
        key = field.alias or name
        if get_origin(field.annotation) is Literal and key == "name":
            continue  # It stands above: the kind.
        inner = value_at(value, (key,)) if isinstance(value, dict) else ABSENT
        place = Place(Slot.of_field(field), section, key)
        if inner is ABSENT:
            inner = TO_COME if place.is_required else place.default
        kind = _kind(place.slot, inner)
        if place.slot.section(inner) and isinstance(inner, dict):
            inner = kind  # Its own fields are told by its own key.
        fields[key] = (inner, texts.get(key) or place.about)
    return fields


def _entries(slot: Slot, value: Any) -> dict[str, tuple[Any, str]]:
    """The sections in a mapping or a list of them."""
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


def _choices(path: tuple[str, ...], place: Place, found: Folders) -> dict[str, str]:
    """What can be chosen at a place: files of a group, or names of sections."""
    group = ".".join(path)
    slot = place.around.slot if place.is_name and place.around else place.slot
    if group in ExperimentConfig.model_fields and found.is_group(group):
        return _files(group, found, slot)
    members = _inner(slot).members().items()
    return {f"name: {name}": about(kind) for name, kind in members if name != TARGET}


def _files(group: str, found: Folders, slot: Slot | None = None) -> dict[str, str]:
    kinds = slot.members() if slot else {}
    files = {choice: found.file(f"{group}/{choice}") for choice in found.choices(group)}
    return {
        f"{group}={choice}": (file and about_file(file))
        or (about(kinds[choice]) if choice in kinds else "")
        for choice, file in files.items()
    }


def _as_written(value: Any) -> str:
    return TO_COME if value is ABSENT else spell(value)


def _no_such_key(
    path: tuple[str, ...], places: list[Place], found: Folders
) -> Diagnostic:
    """The fault of a key that no kind of section has."""
    sections = [section for place in places for section in place.sections]
    known = sorted({key for section in sections for key in fields_of(section)})
    return _diagnostic(path, known, "Fields here", found)


def _not_here(
    path: tuple[str, ...], place: Place, value: Any, found: Folders
) -> Diagnostic:
    """The fault of a key that an experiment has not."""
    section = place.slot.section(value)
    if section is None:
        items = range(len(value)) if isinstance(value, list) else (value or ())
        return _diagnostic(path, [str(key) for key in items], "Keys here", found)
    diagnostic = _diagnostic(
        path, fields_of(section), f"Fields of {label(section)}", found
    )
    others = [label(kind) for kind in place.sections if path[-1] in fields_of(kind)]
    told = (
        f" {', '.join(others)} {'has' if len(others) == 1 else 'have'} this field."
        if others
        else ""
    )
    return dataclasses.replace(diagnostic, hint=diagnostic.hint + told)


def _diagnostic(
    path: tuple[str, ...], known: list[str], listed: str, found: Folders
) -> Diagnostic:
    *above, name = path
    near = did_you_mean(
        nearest(name, known if above else [*known, *found.groups()]),
        prefix="".join(f"{key}." for key in above),
    )
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
