"""Fields of lower layers that a later layer invalidates.

These are fields of a kind that a section no longer has, and a warmup that the later
layer gives in another unit.
"""

import copy
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError

from specflow.compose.merge.default_sections import default_values, fold_defaults
from specflow.compose.moved_names import new_names
from specflow.compose.provenance import Origin, Origins, Path
from specflow.compose.pydantic_plugins import no_plugins
from specflow.compose.read.override_grammar import is_special, spell
from specflow.compose.section_types import ROOT, Slot
from specflow.config.base import TARGET
from specflow.config.sections.optimizer import WarmupConfig
from specflow.diagnostics.errors import nearest
from specflow.runtime.plain_tree import walk

__all__ = ["Dropped", "leftovers", "marks", "notes"]

_MARKS = ("name", TARGET, "model_fn")
"""Keys that select the kind of a section."""
_WARMUP = ("warmup", "warmup_steps")
"""Two fields of a schedule that give the same length in different units."""
_TO_COME = ("missing", "union_tag_not_found")
"""Errors of an incomplete section, which a later layer may complete."""


@dataclasses.dataclass(frozen=True)
class Dropped:
    """A field that a file set and that a later layer invalidated."""

    because: str
    """Reason: `model is mlp`."""
    by: Origin
    """Origin of the value that invalidated it."""
    key: str
    """Dotted path of the field."""
    value: Any
    """Its value, as written."""
    origin: Origin
    """Place in the file that set it."""
    is_replaced: bool = False
    """True if the later layer sets the same length by another field."""


def marks(tree: Any) -> dict[Path, dict[str, Any]]:
    """Maps the path of each mapping to the keys that select its kind.

    >>> marks({"model": {"name": "cnn", "widths": [32]}, "seed": 1})
    {(): {}, ('model',): {'name': 'cnn'}}
    """
    return {
        path: {key: mapping[key] for key in _MARKS if key in mapping}
        for path, mapping in _mappings(tree)
    }


def leftovers(
    tree: Any,
    origins: Origins,
    before: Mapping[Path, Mapping[str, Any]],
    is_own: Callable[[Origin], bool],
) -> Iterator[tuple[Path, Dropped | None]]:
    """Yields the fields to drop after a layer was merged.

    A field of a section whose kind the layer changed is kept if the new kind accepts
    it, if the layer itself set it, or if the former kind did not accept its value
    either, which is an error of its own. Of two fields with the same meaning, the one
    that the layer set is kept.

    Args:
        tree: the config with the layer.
        origins: origins of its values, those of the layer included.
        before: `marks` of the config without the layer.
        is_own: tells whether an origin is in the layer.

    Yields:
        The path and its record; None for a key that only named the former kind.
    """
    sections = [*_mappings(tree)]
    for path, section in sections:
        yield from _replaced(path, section, tree, origins, is_own)
    for path, section in sections:
        own = {
            key: section[key]
            for key in _MARKS
            if key in section and is_own(origins.leaf((*path, key)))
        }
        slot = _slot(path, tree) if own and path in before else None
        change = None if slot is None else _change(slot, before[path], own)
        if change is None:
            continue
        former, kind, mark = change
        record = Dropped(
            because=f"{'.'.join(path)} is {own[mark]}",
            by=origins.leaf((*path, mark)),
            key="",
            value=None,
            origin=Origin("default"),
        )
        for at, value in _stale(section, former, kind, path):
            if any(map(is_own, origins.setters(at))):
                continue
            if at[:-1] == path and at[-1] in _MARKS:
                yield at, None
                continue
            yield (
                at,
                dataclasses.replace(
                    record,
                    key=".".join(at),
                    value=copy.deepcopy(value),
                    origin=origins.leaf(at),
                ),
            )


def notes(dropped: Iterable[Dropped]) -> Iterator[str]:
    """Yields one log line for each section whose kind changed.

    >>> by, cnn = Origin.override("model.name=mlp"), Origin("conf/model/cnn.yaml", 4, 1)
    >>> print(*notes([Dropped("model is mlp", by, "model.widths", [32, 64], cnn)]))
    dropped model.widths=[32,64] (conf/model/cnn.yaml:4): model is mlp
    (override model.name=mlp)
    """
    changes: dict[str, list[str]] = {}
    for one in dropped:
        if not one.is_replaced:
            field = f"{one.key}={spell(one.value)} ({one.origin})"
            changes.setdefault(f"{one.because} ({one.by})", []).append(field)
    for change, fields in changes.items():
        yield f"dropped {', '.join(fields)}: {change}"


def _replaced(
    path: Path,
    section: Mapping[Any, Any],
    tree: Any,
    origins: Origins,
    is_own: Callable[[Origin], bool],
) -> Iterator[tuple[Path, Dropped]]:
    """Yields the warmup of a lower layer if this layer sets it in the other unit."""
    given = [key for key in _WARMUP if section.get(key) is not None]
    own = [key for key in given if is_own(origins.leaf((*path, key)))]
    if len(given) != 2 or len(own) != 1:
        return  # Both in one layer are an error.
    slot = _slot(path, tree)
    kind = slot.section(_with_default(slot, section)) if slot else None
    if kind is None or not issubclass(kind, WarmupConfig):
        return
    (other,) = {*given} - {*own}
    yield (
        (*path, other),
        Dropped(
            because=f"{'.'.join((*path, *own))} is set",
            by=origins.leaf((*path, *own)),
            key=".".join((*path, other)),
            value=section[other],
            origin=origins.leaf((*path, other)),
            is_replaced=True,
        ),
    )


def _change(
    slot: Slot, before: Mapping[str, Any], own: Mapping[str, Any]
) -> tuple[Slot | None, Slot, str] | None:
    """Returns the former kind, the new kind and the key that changed it, or None.

    A misspelled name counts as its nearest choice, as in validation.
    """
    kinds = slot.kinds
    kind = kinds.name_of(own) if kinds else None
    if kinds is None or kind is None:
        return None
    former = kinds.name_of(_with_default(slot, before))
    mark = next((key for key in own if key in (TARGET, kind)), "name")
    if former == TARGET != kind and ("name" in before or kind not in kinds.members):
        return None  # An argument of the callable that is called `name`.
    if kind not in kinds.members:
        kind = nearest(str(kind), list(kinds.members))
    same = kind == former and (
        kind != TARGET or _is_one_callable(before[TARGET], own[TARGET])
    )
    if former is None or same:
        return None
    new, old = kinds.members.get(str(kind)), kinds.members.get(str(former))
    return None if new is None else (Slot(old) if old else None, Slot(new), mark)


def _is_one_callable(former: Any, name: Any) -> bool:
    """Returns whether the targets are equal or the second is the first, moved."""
    return former == name or (isinstance(former, str) and name in new_names(former))


def _stale(
    value: Mapping[Any, Any], old: Slot | None, new: Slot, path: Path
) -> Iterator[tuple[Path, Any]]:
    """Yields the parts of a mapping that the new kind rejects and the old accepted."""
    for key, inner in value.items():
        if not isinstance(key, str):
            continue  # An error of its own.
        at = (*path, key)
        after = new.child(key, value)
        before = old.child(key, value) if old else None
        if after is None:
            yield at, inner
        elif after == before:
            continue
        elif isinstance(inner, dict) and (after.section(inner) or after.is_mapping):
            yield from _stale(inner, before, after, at)
        elif not _fits(inner, after) and (before is None or _fits(inner, before)):
            yield at, inner


def _fits(value: Any, slot: Slot) -> bool:
    """Returns whether a slot accepts a value, which later layers may complete."""
    kind: Any = slot.annotation
    if slot.metadata:
        kind = Annotated[kind, *slot.metadata]
    try:
        with no_plugins():
            adapter = TypeAdapter(kind)
            adapter.validate_python(fold_defaults(value, slot), strict=True)
    except ValidationError as error:
        return all(
            told["type"] in _TO_COME or is_special(told["input"])
            for told in error.errors(include_url=False)
        )
    return True


def _slot(path: Path, tree: Any) -> Slot | None:
    """Returns the slot at a path; None below the arguments of a callable."""
    slot: Slot | None = ROOT
    for key in path:
        if slot is None:
            return None
        slot = slot.child(key, _with_default(slot, tree))
        tree = tree[int(key)] if isinstance(tree, list) else tree.get(key)
    return slot


def _with_default(slot: Slot, section: Any) -> Any:
    """Completes a section that names no kind by the values of the default section."""
    bare = isinstance(section, dict) and not any(mark in section for mark in _MARKS)
    return (
        {**default_values(slot.default), **section}
        if bare and slot.default
        else section
    )


def _mappings(tree: Any) -> Iterator[tuple[Path, dict[Any, Any]]]:
    """Yields every mapping of a tree, each before those inside it."""
    for path, value in walk(tree):
        # Keys of other types are errors that validation reports.
        if isinstance(value, dict) and all(isinstance(key, str | int) for key in path):
            yield tuple(map(str, path)), value
