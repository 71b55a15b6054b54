"""Types of config values by key path, and their descriptions in messages."""

import dataclasses
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from specflow.config.base import TARGET, Config, Says
from specflow.config.experiment import ExperimentConfig
from specflow.config.kinds import Kinds

__all__ = ["ROOT", "Slot", "follow", "in_words"]


@dataclasses.dataclass(frozen=True)
class Slot:
    """A place for a value: its type, its constraints, its default."""

    annotation: Any
    metadata: tuple[Any, ...] = ()
    default: Callable[..., Any] | None = None
    """Makes the default: a section (its class, or a `partial` of it) or a list."""

    @classmethod
    def of(cls, annotation: Any, metadata: Iterable[Any] = ()) -> "Slot":
        """Returns the slot of an annotation, with `Annotated` unwrapped."""
        metadata = tuple(metadata)
        while get_origin(annotation) is Annotated:
            annotation, *more = get_args(annotation)
            metadata = (*more, *metadata)
        # `Field(...)` inside another type holds its constraints in `metadata`.
        fields = [
            mark.metadata if isinstance(mark, FieldInfo) else [mark]
            for mark in metadata
        ]
        return cls(annotation, tuple(mark for marks in fields for mark in marks))

    @classmethod
    def of_field(cls, field: FieldInfo) -> "Slot":
        """Returns the slot of a field of a section."""
        slot, default = cls.of(field.annotation, field.metadata), field.default_factory
        if isinstance(field.default, list):
            default = field.default.copy
        return dataclasses.replace(slot, default=default)

    @property
    def nullable(self) -> bool:
        """True if null is a value."""
        return _is_union(self.annotation) and type(None) in get_args(self.annotation)

    def parts(self) -> list["Slot"]:
        """Returns the slots of the types that a value other than null may have."""
        if not _is_union(self.annotation):
            return [self]
        members = [part for part in get_args(self.annotation) if part is not type(None)]
        if len(members) == 1:
            return [Slot.of(members[0], self.metadata)]
        return [Slot.of(member) for member in members]

    @property
    def kinds(self) -> Kinds | None:
        """Kinds of section that this slot takes, distinguished by `name`, or None."""
        # `X | None` hides those of X.
        marks = (*self.metadata, *self.parts()[0].metadata)
        return next((mark for mark in marks if isinstance(mark, Kinds)), None)

    @property
    def says(self) -> Says | None:
        """Description of the values that a custom validator accepts, or None."""
        marks = (*self.metadata, *self.parts()[0].metadata)
        return next((mark for mark in marks if isinstance(mark, Says)), None)

    @property
    def is_union(self) -> bool:
        """True if a value may be of several types, tried in order."""
        return len(self.parts()) > 1 and not (self.kinds or self.says)

    def holds(self, value: Any) -> bool:
        """Returns whether a mapping or list has the type of this slot."""
        kind = get_origin(self.annotation) or self.annotation
        if isinstance(value, list):
            return kind is list
        return isinstance(value, dict) and (kind is dict or _is_section(kind))

    @property
    def is_mapping(self) -> bool:
        """True if it is a mapping whose keys the user chooses."""
        return get_origin(self.parts()[0].annotation) is dict

    def members(self) -> Mapping[str, type[Config]]:
        """Returns name -> section where `name` selects the section, else nothing."""
        return self.kinds.members if self.kinds else {}

    def section(self, value: Any) -> type[Config] | None:
        """Returns the section of a value, or None if the slot takes no section."""
        if self.kinds:
            name = self.kinds.name_of(value)
            return None if name is None else self.kinds.members.get(str(name))
        annotation = self.parts()[0].annotation
        return annotation if _is_section(annotation) else None

    def child(self, key: str | int, value: Any) -> "Slot | None":
        """Returns the slot of a key of this value, or None if it has no such key."""
        section = self.section(value)
        if section is not None:
            for name, field in section.model_fields.items():
                if key in (name, field.alias):
                    return Slot.of_field(field)
            return None
        part = self.parts()[0]
        inner = get_args(part.annotation)
        if get_origin(part.annotation) is dict:
            return Slot.of(inner[1])
        return Slot.of(inner[0]) if get_origin(part.annotation) is list else None


ROOT = Slot(ExperimentConfig)
"""The whole experiment."""


def follow(
    location: Iterable[str | int], tree: Any
) -> tuple[tuple[str, ...], Slot | None, type[Config] | None, Any]:
    """Resolves a location of a Pydantic error to a path and its types.

    Returns:
        The path as in YAML, its slot, the enclosing section, its value.
    """
    path: list[str] = []
    slot: Slot | None = ROOT
    around: type[Config] | None = None
    value = tree
    for key in location:
        if key == "[key]":
            continue  # Pydantic's own step, which is no key of the YAML.
        if slot is not None and slot.is_union and slot.child(key, value) is None:
            # The member of a union that refused the value is no key of the YAML either.
            slot = next((part for part in slot.parts() if part.holds(value)), slot)
            continue
        path.append(str(key))
        if slot is not None:
            around = slot.section(value)
            slot = slot.child(key, value)
        value = _inside(value, key)
    return tuple(path), slot, around, value


def in_words(slot: Slot) -> str:
    """Describes the values that a slot takes, for messages.

    >>> in_words(Slot.of_field(ExperimentConfig.model_fields["seed"]))
    'a whole number >= 0'
    """
    members = slot.members()
    if slot.kinds and slot.kinds.words:
        names = dict.fromkeys((*slot.kinds.words, *sorted(members)))
        return f"one of {', '.join(names)}"
    if members:
        names = [name for name in members if name != TARGET]
        text = f"a section with a name ({', '.join(sorted(names))})"
        text = f"{text} or a {TARGET}" if TARGET in members else text
        return f"{text}, or null" if slot.nullable else text
    says = slot.says
    text = says.words if says else " or ".join(map(_part_in_words, slot.parts()))
    return f"{text}, or null" if slot.nullable else text


def fields_of(section: type[Config]) -> list[str]:
    """Returns the keys of a section, as in YAML."""
    return sorted(field.alias or name for name, field in section.model_fields.items())


def label(section: type[Config]) -> str:
    """Returns the name of a section in messages: its `name`, or that of its class."""
    name = section.model_fields.get("name")
    if (
        name is not None
        and isinstance(name.default, str)
        and section is not ExperimentConfig
    ):
        return name.default
    if section is ExperimentConfig:
        return "an experiment"
    return section.__name__.removeprefix("_").removesuffix("Config").lower()


_PLAIN = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    Any: "anything",
}

_MARKS = (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<="))


def _part_in_words(slot: Slot) -> str:
    annotation = slot.annotation
    if annotation in _PLAIN:
        return _PLAIN[annotation] + _constraints(slot.metadata)
    if get_origin(annotation) is Literal:
        choices = [str(choice) for choice in get_args(annotation)]
        return f"one of {', '.join(choices)}" if len(choices) > 1 else choices[0]
    if get_origin(annotation) is list:
        inner = in_words(Slot.of(get_args(annotation)[0]))
        return f"a list, each item {inner}{_least(slot.metadata)}"
    if get_origin(annotation) is dict:
        inner = in_words(Slot.of(get_args(annotation)[1]))
        return f"a mapping of names, each to {inner}{_least(slot.metadata)}"
    if _is_section(annotation):
        return f"a section with {', '.join(fields_of(annotation))}"
    return str(annotation)


def _constraints(metadata: Iterable[Any]) -> str:
    texts = []
    for mark in metadata:
        for name, sign in _MARKS:
            if (bound := getattr(mark, name, None)) is not None:
                texts.append(f"{sign} {bound:g}")
        if getattr(mark, "min_length", 0):
            texts.append("that is not empty")
        if pattern := getattr(mark, "pattern", None):
            texts.append(f"that matches {pattern}")
    return f" {' and '.join(texts)}" if texts else ""


def _least(metadata: Iterable[Any]) -> str:
    """Describes the least number of items."""
    found = [getattr(mark, "min_length", 0) for mark in metadata]
    return f", at least {max(found)} of them" if any(found) else ""


def _inside(value: Any, key: str | int) -> Any:
    if isinstance(value, dict):
        return value.get(key)
    if isinstance(value, list) and isinstance(key, int) and key < len(value):
        return value[key]
    return None


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType)


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Config)
