"""Suggestions for a key that its section does not have."""

import dataclasses
import itertools
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from specflow.compose.merge.default_sections import fold_defaults
from specflow.compose.other_frameworks import KIND, counterparts
from specflow.compose.section_types import ROOT, Slot, fields_of
from specflow.config.base import TARGET, Config
from specflow.diagnostics.errors import did_you_mean, is_slip, nearest
from specflow.runtime.plain_tree import ABSENT

__all__ = ["corrected", "key_hint"]

Path = tuple[str, ...]

_LONG = 5
"""Length from which one typing slip does not make another word, in letters."""
_MOST = 3
"""Number of keys of an unknown section that are answered."""
_CALLABLE = KIND | {"__target__", "class_path", "import_path", "_class_", "func"}
"""Keys of other frameworks for a dotted path of a callable."""
_NOT_MOVED = frozenset({"name", TARGET})
"""Fields that every kind of section has: they belong where they are."""


@dataclasses.dataclass(frozen=True)
class _Field:
    """A field of an experiment's sections."""

    path: Path
    slot: Slot
    present: bool = True
    """False if its section is null."""
    item: bool = False
    """True inside a mapping of names: `spec.loss.<name>.weight`."""
    whole: str = ""
    """The section to set, if it is null and has several kinds."""

    def takes(self, value: Any) -> bool:
        """Returns whether a value is a section where the field is one."""
        if value is ABSENT or value is None:
            return True
        if isinstance(value, str) and value in self.slot.members():
            return True
        is_section = self.slot.kinds is not None or self.slot.section(None) is not None
        return isinstance(value, Mapping) == (is_section or self.slot.is_mapping)

    def distance(self, section: Path) -> tuple[int, int]:
        """Sorts the nearest field of an equal name first."""
        pairs = zip(self.path[:-1], section, strict=False)
        common = 0
        for mine, other in pairs:
            if mine != other:
                break
            common += 1
        return -common, len(self.path)


def key_hint(
    path: Path,
    known: Iterable[str],
    tree: Any = None,
    value: Any = ABSENT,
    *,
    slot: Slot | None = None,
    groups: Collection[str] = (),
) -> str:
    """Suggests the field that a user meant by a key that does not exist.

    In order: the same name with other capitals or one typing slip in this section, the
    same name in another section, the nearest one first, the counterpart of another
    framework's name, other kinds of the section that have the key, a similar name here,
    and one typing slip of a name elsewhere.

    Args:
        path: of the key.
        known: keys of its section.
        tree: the experiment; without one, fields of all kinds of section count.
        value: of the key, if it has one; it tells sections from values.
        slot: of the section; other kinds of it may have the key.
        groups: config groups, as suggestions for a key at the root.

    >>> known = ["batch_size", "train_steps"]
    >>> key_hint(("loop", "trainSteps"), known, {})
    'Did you mean loop.train_steps?'
    >>> key_hint(("loop", "lr"), known, {})
    'Did you mean optimizer.lr?'
    >>> key_hint(("loop", "max_steps"), known, {})
    'Did you mean loop.train_steps?'
    >>> key_hint(("colour",), known, {})
    ''
    """
    *section, name = path
    here = [*known, *(groups if not section else ())]
    prefix = "".join(f"{key}." for key in section)
    if written := _written(name, section, here, tree, value):
        return written
    if name in _CALLABLE and slot is not None and TARGET in slot.members():
        if isinstance(value, str) and "." in value:
            return did_you_mean(f"{prefix}{TARGET}")
    others = counterparts(name, ".".join(section))
    if name in KIND and section and "name" in here and not others:
        return did_you_mean(f"{prefix}name")
    near = nearest(name, here)
    begun = [other for other in here if other.startswith(f"{name}_")]
    is_near = near and (is_slip(name, near) or begun == [near])
    if is_near and (section or isinstance(value, Mapping) or value is ABSENT):
        return did_you_mean(near, prefix=prefix)
    fields = [
        field
        for field in (_fields_of_kinds(ROOT, ()) if tree is None else _fields(tree))
        if field.path[-1] not in _NOT_MOVED
        and field.takes(value)
        and not (field.item and field.path[:1] != path[:1])
        and (field.present or not section or field.path[:1] == path[:1])
    ]
    fields.sort(key=lambda field: field.distance(tuple(section)))
    same = [field for field in fields if field.path[-1] == name.lower()]
    present = next((field for field in same if field.present), None)
    if present is not None:
        return _hint(present, value)
    if is_near:
        return did_you_mean(near, prefix=prefix)
    if len(others) > 1:
        # A field that the experiment has comes before those of other kinds of section.
        own = {".".join(field.path) for field in _fields(tree or {})}
        others = sorted(others, key=lambda one: one.path not in own)
    for other in others:
        if other.path == ".".join(path):
            continue  # Another kind of this section has the key.
        meant = [field for field in fields if ".".join(field.path) == other.path]
        if meant or other.about:
            named = _hint(meant[0], value) if meant else did_you_mean(other.path)
            return f"{named} {other.about}".strip()
        key = other.path.removeprefix(prefix)
        if slot is not None and prefix and (kinds := kinds_with(key, slot)):
            return f"It is {key} of {', '.join(kinds)}."
    if same:
        return _hint(same[0], value)
    if slot is not None and (kinds := kinds_with(name, slot)):
        return f"It is a field of {', '.join(kinds)}."
    if near and not _are_different_words(name, near):
        return did_you_mean(near, prefix=prefix)
    slips = (
        field
        for field in fields
        if len(name) >= _LONG and is_slip(name, field.path[-1])
    )
    slip = next(slips, None)
    if slip is not None:
        return _hint(slip, value)
    if section or not isinstance(value, Mapping):
        return ""
    # A section of another framework: trainer.max_epochs=3.
    inner = {
        key: key_hint((*path, str(key)), (), tree, value[key])
        for key in itertools.islice(value, _MOST)
    }
    return " ".join(f"{name}.{key}: {hint}" for key, hint in inner.items() if hint)


def _written(
    name: str, section: list[str], known: Collection[str], tree: Any, value: Any
) -> str:
    """Says how to write what only the form of a key hides; empty if nothing is hidden.

    A colon or an equals sign that YAML takes for a part of the key, a dotted key, which
    YAML does not split, and a section written inside itself.
    """
    pair = re.fullmatch(r"(\w+)\s*[=:]\s*(\S.*)", name)
    if pair and value is None and pair[1] in known:
        return f"Write {pair[1]}: {pair[2]}."
    inner = re.split(r"[./]", name)
    if len(inner) > 1 and (tree is not None or not section):
        path = (*section, *inner)
        fields = _fields(tree) if tree is not None else _fields_of_kinds(ROOT, ())
        if any(field.path == path for field in fields):
            if "/" in name:
                return did_you_mean(".".join(path))
            return f"Write {path[-1]} inside {'.'.join(path[:-1])}."
    if section and name == section[-1] and isinstance(value, Mapping):
        if any(key in known or key == name for key in value):
            above = did_you_mean(".".join(section))
            return f"{above} Move its keys up: they are merged into {name} already."
    if not section and isinstance(value, list) and "_self_" in value:
        return did_you_mean("defaults")
    return ""


def corrected(path: Path, value: Any, near: str) -> tuple[Path, Path] | None:
    """Returns a key below an unknown section, as typed and as meant, or None.

    Args:
        path: of the unknown section.
        value: its only key, with the value of that, and so on.
        near: the section that was meant.

    >>> corrected(("MESH",), {"CPU": "tuned"}, "mesh")
    (('MESH', 'CPU'), ('mesh', 'cpu'))
    """
    fields = {field.path: field for field in _fields_of_kinds(ROOT, ())}
    meant = tuple(near.split("."))
    while isinstance(value, Mapping) and len(value) == 1 and meant in fields:
        key, value = next(iter(value.items()))
        known = [other[-1] for other in fields if other[:-1] == meant]
        inner = key if key in known else nearest(str(key), known)
        if inner is None:
            return None
        path, meant = (*path, str(key)), (*meant, inner)
    return (path, meant) if path[1:] != meant[1:] else None


def _are_different_words(name: str, near: str) -> bool:
    """Returns whether two similar names differ by a word, and not by typing slips.

    >>> _are_different_words("type", "dtype"), _are_different_words("lerning", "learn")
    (True, False)
    """
    if near.endswith(name):
        return not near.endswith(f"_{name}")
    words, others = name.split("_"), near.split("_")
    rest = [word for word in words if word not in others]
    left = [other for other in others if other not in words]
    return bool(set(words) & set(others)) and not any(
        nearest(word, left) for word in rest
    )


def kinds_with(key: str, slot: Slot) -> list[str]:
    """Returns the names of the kinds of a section that have a key."""
    members = slot.members().items()
    return [name for name, section in members if key in fields_of(section)]


def _hint(field: _Field, value: Any) -> str:
    """Suggests a field; where it needs a section first, with the section."""
    if isinstance(value, str) and value in field.slot.members():
        return did_you_mean(f"{'.'.join(field.path)}={{name: {value}}}")
    if not field.whole:
        return did_you_mean(".".join(field.path))
    from specflow.compose.read.override_grammar import format_value

    shown = "..." if value is ABSENT else format_value(value)
    return did_you_mean(field.whole.replace("\0", shown))


def _fields(tree: Any) -> Iterator[_Field]:
    """Yields the fields of the sections of an experiment, with their defaults."""
    yield from _inside(ROOT, fold_defaults(tree, ROOT), ())


def _inside(
    slot: Slot, value: Any, path: Path, *, present: bool = True, item: bool = False
) -> Iterator[_Field]:
    if value is None and slot.nullable and slot.kinds:
        yield from _of_null(slot, path)
        return
    present = present and (value is not None or not slot.nullable)
    section = slot.section(value)
    for key in fields_of(section) if section else ():
        child = slot.child(key, value)
        if child is None:
            continue
        yield _Field((*path, key), child, present, item)
        inner = value.get(key) if isinstance(value, Mapping) else None
        if inner is None and child.default is not None:
            inner = fold_defaults({}, child)
        yield from _inside(child, inner, (*path, key), present=present, item=item)
    if slot.is_mapping and isinstance(value, Mapping):
        for key, inner in value.items():
            child = slot.child(key, value)
            if child is not None:
                yield from _inside(child, inner, (*path, str(key)), item=True)


def _of_null(slot: Slot, path: Path) -> Iterator[_Field]:
    """Yields the fields of the kinds of an optional section that is null."""
    for name, section in slot.members().items():
        for key in fields_of(section):
            child = Slot(section).child(key, {})
            if name != TARGET and child is not None:
                whole = _whole(path, name, section, key)
                yield _Field((*path, key), child, present=False, whole=whole)


def _whole(path: Path, name: str, section: type[Config], key: str) -> str:
    required = [
        f"{field.alias or own}: ..."
        for own, field in section.model_fields.items()
        if field.is_required() and own not in ("name", key)
    ]
    pairs = ", ".join([f"name: {name}", *required, f"{key}: \0"])
    return f"{'.'.join(path)}={{{pairs}}}"


def _fields_of_kinds(slot: Slot, path: Path) -> Iterator[_Field]:
    """Yields the fields of every kind of section."""
    section = slot.section(None)
    sections = [*slot.members().values()] if slot.kinds else [section]
    seen: set[str] = set()
    for kind in sections:
        for key in fields_of(kind) if kind else ():
            child = Slot(kind).child(key, {})
            if child is None or key in seen:
                continue
            seen.add(key)
            yield _Field((*path, key), child)
            if key not in path:  # An optimizer has parts, with an optimizer each.
                yield from _fields_of_kinds(child, (*path, key))
