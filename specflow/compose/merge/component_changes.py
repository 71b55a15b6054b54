"""Fields of lower layers that a later layer invalidates.

These are fields of a component that a section no longer selects, and a length that the
later layer gives in another unit: a warmup, or the end of training.
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
from specflow.compose.read.override_grammar import format_value, needs_resolving
from specflow.compose.section_types import ROOT, Slot
from specflow.config.base import TARGET, Config
from specflow.config.sections.loop import LoopConfig
from specflow.config.sections.optimizer import WarmupConfig
from specflow.diagnostics.errors import nearest
from specflow.runtime.plain_tree import mappings, value_at

__all__ = [
    "DroppedField",
    "change_messages",
    "rejected_fields",
    "selected_components",
    "stale_fields",
]

_SELECTOR_KEYS = ("name", TARGET, "model_fn")
"""Keys that select the component of a section."""
_SAME_LENGTH: tuple[tuple[type[Config], tuple[str, str]], ...] = (
    (WarmupConfig, ("warmup", "warmup_steps")),
    (LoopConfig, ("epochs", "train_steps")),
)
"""Fields of a section that give the same length in different units."""
_INCOMPLETE = ("missing", "union_tag_not_found")
"""Pydantic errors of an incomplete section, which a later layer may complete."""


@dataclasses.dataclass(frozen=True)
class DroppedField:
    """A field that a file set and that a later layer invalidated."""

    reason: str
    """Why the field was dropped, such as `model is mlp`."""
    cause: Origin
    """Origin of the value that invalidated the field."""
    key: str
    """Dotted path of the field."""
    value: Any
    """Value of the field, as written."""
    origin: Origin
    """Place in the file that set the field."""
    is_replaced: bool = False
    """True if the later layer sets the same length by another field."""


def selected_components(tree: Any) -> dict[Path, dict[str, Any]]:
    """Maps the path of each mapping to the keys that select its component.

    >>> selected_components({"model": {"name": "cnn", "widths": [32]}, "seed": 1})
    {(): {}, ('model',): {'name': 'cnn'}}
    """
    return {
        path: {key: mapping[key] for key in _SELECTOR_KEYS if key in mapping}
        for path, mapping in _mappings(tree)
    }


def stale_fields(
    tree: Any,
    origins: Origins,
    before: Mapping[Path, Mapping[str, Any]],
    is_from_layer: Callable[[Origin], bool],
) -> Iterator[tuple[Path, DroppedField | None]]:
    """Yields the fields to drop after a layer was merged.

    A field of a section whose component the layer changed is kept if the new component
    accepts it, if the layer itself set it, or if the previous component did not accept
    its value either, which validation reports. Of two fields with the same meaning, the
    one that the layer set is kept.

    Args:
        tree: the config with the layer.
        origins: origins of the config's values, those of the layer included.
        before: `selected_components` of the config without the layer.
        is_from_layer: returns whether an origin is in the layer.

    Yields:
        (path, dropped field); None in place of the dropped field for a key that only
        selected the previous component.
    """
    sections = [*_mappings(tree)]
    for path, section in sections:
        for kind, fields in _SAME_LENGTH:
            yield from _replaced_length(
                kind, fields, path, section, tree, origins, is_from_layer
            )
    for path, section in sections:
        selected = {
            key: section[key]
            for key in _SELECTOR_KEYS
            if key in section and is_from_layer(origins.leaf((*path, key)))
        }
        slot = _slot(path, tree) if selected and path in before else None
        change = (
            None if slot is None else _component_change(slot, before[path], selected)
        )
        if change is None:
            continue
        previous_slot, new_slot, selector = change
        template = DroppedField(
            reason=f"{'.'.join(path)} is {selected[selector]}",
            cause=origins.leaf((*path, selector)),
            key="",
            value=None,
            origin=Origin("default"),
        )
        for at, value in rejected_fields(section, previous_slot, new_slot, path):
            if any(map(is_from_layer, origins.setters(at))):
                continue
            if at[:-1] == path and at[-1] in _SELECTOR_KEYS:
                yield at, None
                continue
            yield (
                at,
                dataclasses.replace(
                    template,
                    key=".".join(at),
                    value=copy.deepcopy(value),
                    origin=origins.leaf(at),
                ),
            )


def change_messages(dropped: Iterable[DroppedField]) -> Iterator[str]:
    """Yields one message for each section whose component changed.

    >>> by, cnn = Origin.override("model.name=mlp"), Origin("conf/model/cnn.yaml", 4, 1)
    >>> field = DroppedField("model is mlp", by, "model.widths", [32, 64], cnn)
    >>> print(*change_messages([field]))
    dropped model.widths=[32,64] (conf/model/cnn.yaml:4): model is mlp
    (override model.name=mlp)
    """
    changes: dict[str, list[str]] = {}
    for field in dropped:
        if not field.is_replaced:
            assignment = f"{field.key}={format_value(field.value)} ({field.origin})"
            change = f"{field.reason} ({field.cause})"
            changes.setdefault(change, []).append(assignment)
    for change, fields in changes.items():
        yield f"dropped {', '.join(fields)}: {change}"


def _replaced_length(
    of: type[Config],
    fields: tuple[str, str],
    path: Path,
    section: Mapping[Any, Any],
    tree: Any,
    origins: Origins,
    is_from_layer: Callable[[Origin], bool],
) -> Iterator[tuple[Path, DroppedField]]:
    """Yields the length of a lower layer if this layer sets it in the other unit."""
    given = [key for key in fields if section.get(key) is not None]
    in_layer = [key for key in given if is_from_layer(origins.leaf((*path, key)))]
    if len(given) != 2 or len(in_layer) != 1:
        return  # Both in one layer are an error.
    slot = _slot(path, tree)
    kind = slot.section(_with_default(slot, section)) if slot else None
    if kind is None or not issubclass(kind, of):
        return
    (other,) = {*given} - {*in_layer}
    yield (
        (*path, other),
        DroppedField(
            reason=f"{'.'.join((*path, *in_layer))} is set",
            cause=origins.leaf((*path, *in_layer)),
            key=".".join((*path, other)),
            value=section[other],
            origin=origins.leaf((*path, other)),
            is_replaced=True,
        ),
    )


def _component_change(
    slot: Slot, before: Mapping[str, Any], selected: Mapping[str, Any]
) -> tuple[Slot | None, Slot, str] | None:
    """Returns the previous slot, the new slot and the key that changed it, or None.

    A misspelled name counts as its nearest choice, as in validation.
    """
    kinds = slot.kinds
    kind = kinds.name_of(selected) if kinds else None
    if kinds is None or kind is None:
        return None
    previous = kinds.name_of(_with_default(slot, before))
    if not isinstance(kind, str):
        kind = str(kind)  # No kind has such a name, which validation reports.
    selector = next((key for key in selected if key in (TARGET, kind)), "name")
    if previous == TARGET != kind and ("name" in before or kind not in kinds.members):
        return None  # An argument of the callable that is called `name`.
    if kind not in kinds.members:
        kind = nearest(str(kind), list(kinds.members))
    same = kind == previous and (
        kind != TARGET or _is_same_callable(before[TARGET], selected[TARGET])
    )
    if previous is None or same:
        return None
    new, old = kinds.members.get(str(kind)), kinds.members.get(str(previous))
    return None if new is None else (Slot(old) if old else None, Slot(new), selector)


def _is_same_callable(previous: Any, new: Any) -> bool:
    """Returns whether two targets are equal or the second is the first, moved."""
    return previous == new or (isinstance(previous, str) and new in new_names(previous))


def rejected_fields(
    value: Mapping[Any, Any], old: Slot | None, new: Slot, path: Path
) -> Iterator[tuple[Path, Any]]:
    """Yields the parts of a mapping that only the old component accepts."""
    for key, inner in value.items():
        if not isinstance(key, str):
            continue  # Validation reports it.
        at = (*path, key)
        after = new.child(key, value)
        before = old.child(key, value) if old else None
        if after is None:
            yield at, inner
        elif after == before:
            continue
        elif isinstance(inner, dict) and (after.section(inner) or after.is_mapping):
            yield from rejected_fields(inner, before, after, at)
        elif not _fits(inner, after) and (before is None or _fits(inner, before)):
            yield at, inner


def _fits(value: Any, slot: Slot) -> bool:
    """Returns whether a slot accepts a value, or could once a layer completes it."""
    kind: Any = slot.annotation
    if slot.metadata:
        kind = Annotated[kind, *slot.metadata]
    try:
        with no_plugins():
            adapter = TypeAdapter(kind)
            adapter.validate_python(fold_defaults(value, slot), strict=True)
    except ValidationError as error:
        return all(
            detail["type"] in _INCOMPLETE or needs_resolving(detail["input"])
            for detail in error.errors(include_url=False)
        )
    return True


def _slot(path: Path, tree: Any) -> Slot | None:
    """Returns the slot at a path; None below the arguments of a callable."""
    slot: Slot | None = ROOT
    for key in path:
        if slot is None:
            return None
        slot = slot.child(key, _with_default(slot, tree))
        tree = value_at(tree, (key,))
    return slot


def _with_default(slot: Slot, section: Any) -> Any:
    """Completes a section that selects no component from the default section."""
    is_unnamed = isinstance(section, dict) and not any(
        key in section for key in _SELECTOR_KEYS
    )
    return (
        {**default_values(slot.default), **section}
        if is_unnamed and slot.default
        else section
    )


def _mappings(tree: Any) -> Iterator[tuple[Path, dict[Any, Any]]]:
    """Yields every mapping of a tree, each before those inside it."""
    for path, mapping in mappings(tree):
        # Keys of other types are errors that validation reports.
        if all(isinstance(key, str | int) for key in path):
            yield tuple(map(str, path)), mapping
