"""Pages of the config keys: type, default and meaning of each, from their classes."""

import dataclasses
import re
from collections.abc import Iterator

from specflow.compose.inspect.section_docs import about
from specflow.compose.inspect.section_fields import EXPERIMENT, Place
from specflow.compose.read.override_grammar import format_value
from specflow.compose.section_types import fields_of, in_words, label
from specflow.config.base import Config
from specflow.runtime.plain_tree import ABSENT

__all__ = ["config_pages", "keys"]


@dataclasses.dataclass(frozen=True)
class _Section:
    """A section: where it is in an experiment, and the kinds that may be there."""

    path: str
    place: Place
    same_as: str = ""
    """Path of the section that has the same kinds, and lists their keys."""


def config_pages() -> dict[str, str]:
    """Returns path on the site -> page, one for each key of an experiment."""
    names = fields_of(EXPERIMENT.sections[0])
    sections = [name for name in names if _place(name).sections]
    plain = [name for name in names if name not in sections]
    pages = {f"reference/config/{name}.md": _page(name) for name in sections}
    entries = "\n".join(sections)
    index = [
        "# Configuration\n",
        "The keys of an experiment. `specflow explain KEY` prints the same, and with",
        "an experiment also the value there and what set it.\n",
        _list("", [_place(name) for name in plain]),
        "| section | configures |\n|---|---|",
        *(f"| [{name}]({name}.md) | {_meaning(_place(name))} |" for name in sections),
        f"\n```{{toctree}}\n:hidden:\n\n{entries}\n```\n",
    ]
    return {"reference/config/index.md": "\n".join(index)} | pages


def keys() -> Iterator[tuple[str, str]]:
    """Yields the path of each section and each key that some kind of it has."""
    for name in fields_of(EXPERIMENT.sections[0]):
        for section in _sections(name, _place(name)):
            if not section.same_as:
                for kind in section.place.sections:
                    yield from ((section.path, key) for key in fields_of(kind))


def _page(name: str) -> str:
    parts = [f"# {name}\n"]
    for section in _sections(name, _place(name)):
        if section.path != name:
            parts.append(f"## {section.path}\n")
        parts.append(f"{_escaped(section.place.about)}\n")
        if section.same_as:
            parts.append(f"The keys are those of `{section.same_as}`.\n")
            continue
        kinds = sorted(section.place.sections, key=label)
        for kind in kinds:
            if len(kinds) > 1:
                level = "##" if section.path == name else "###"
                parts.append(f"{level} {label(kind)}\n\n{_escaped(about(kind))}\n")
            parts.append(_list(f"{section.path}.", _fields(section.place, kind)))
    return "\n".join(parts)


def _sections(path: str, place: Place) -> list[_Section]:
    """The section at a path and all sections inside it, each set of kinds once."""
    found: list[_Section] = []
    first: dict[tuple[type[Config], ...], str] = {}
    waiting = [(path, place)]
    seen = set()
    while waiting:
        path, place = waiting.pop(0)
        kinds = tuple(place.sections)
        if not kinds or (path, kinds) in seen:
            continue
        seen.add((path, kinds))
        found.append(_Section(path, place, first.get(kinds, "")))
        if kinds in first:
            continue
        first[kinds] = path
        for kind in kinds:
            waiting += [
                (f"{path}.{inner.key}{step}", held)
                for inner in _fields(place, kind)
                for step, held in _held(inner)
            ]
    return found


def _held(place: Place) -> Iterator[tuple[str, Place]]:
    """The place itself, or that of an item where it is a mapping or a list."""
    if place.sections:
        yield "", place
    elif place.slot.is_mapping:
        yield from ((f".NAME{step}", held) for step, held in _items(place, "NAME"))
    else:
        yield from ((f".N{step}", held) for step, held in _items(place, 0))


def _items(place: Place, key: str | int) -> Iterator[tuple[str, Place]]:
    child = place.slot.child(key, None)
    if child is not None:
        yield from _held(Place(child, None, str(key), place))


def _fields(place: Place, kind: type[Config]) -> list[Place]:
    return [
        inner
        for key in fields_of(kind)
        for inner in place.inside(key)
        if inner.owner is kind
    ]


def _place(name: str) -> Place:
    (place,) = EXPERIMENT.inside(name)
    return place


def _list(prefix: str, places: list[Place]) -> str:
    """The keys as a list of definitions, which reads on narrow screens too."""
    return "\n".join(
        f"`{prefix}{place.key}`\n: {_escaped(_facts(place))}\n: {_meaning(place)}\n"
        for place in places
    )


def _facts(place: Place) -> str:
    """Type and default of a key."""
    if place.is_name and place.owner is not None:
        return label(place.owner)
    takes = in_words(place.slot)
    if place.is_required or place.default is ABSENT:
        return f"{takes}; required"
    return f"{takes}; default `{format_value(place.default)}`"


def _meaning(place: Place) -> str:
    text = place.about
    if not text:
        raise ValueError(f"{place.owner}.{place.key}: has no text below it")
    return _escaped(text)


def _escaped(text: str) -> str:
    """Escapes Markdown; code between backticks stays as it is."""
    parts = text.split("`")
    parts[::2] = (re.sub(r"([*<_\[\]|])", r"\\\1", part) for part in parts[::2])
    return "`".join(parts)
