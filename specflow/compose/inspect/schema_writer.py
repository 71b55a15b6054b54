"""JSON Schemas of values, of sections and of their kinds."""

from collections.abc import Callable, Iterable
from typing import Any, Literal, get_args, get_origin

from specflow.compose.inspect.section_docs import about, fields_about
from specflow.compose.section_types import Slot, in_words
from specflow.config.base import TARGET, Bound, Config, Target
from specflow.config.kinds import Kinds

__all__ = ["Writer"]

_LATER = r"\$\{|^\?\?\?$"
"""Pattern of a text in place of a value: an interpolation, or `???`."""
_GROUPED = r"^[-+]?[0-9]+(_[0-9]+)+$"
"""Pattern of `1_000`: a number to specflow, a text to YAML 1.2, as in editors."""
_NAMES = {
    int: "integer",
    float: "number",
    bool: "boolean",
    str: "string",
    list: "array",
    dict: "object",
}
_BOUNDS = {
    "gt": "exclusiveMinimum",
    "ge": "minimum",
    "lt": "exclusiveMaximum",
    "le": "maximum",
}


class Writer:
    """Writes the schemas of slots; every section becomes one definition."""

    def __init__(self) -> None:
        self.definitions: dict[str, dict[str, Any]] = {}
        self._names: dict[Any, str] = {}

    def root(self, slot: Slot, file: dict[str, Any]) -> dict[str, Any]:
        """Returns the schema of a file: a section, and keys that only files have."""
        if slot.kinds:
            return self._kinds(slot.kinds, file)
        return self._section(slot.parts()[0].annotation, file)

    def value(self, slot: Slot, name: str) -> dict[str, Any]:
        """Returns the schema of a value, which may be an interpolation or `???`."""
        whole = slot.kinds or slot.says
        parts = [self._part(part, name) for part in ([slot] if whole else slot.parts())]
        nothing = [None] if slot.nullable else []
        if len(parts) == 1 and "enum" in parts[0]:
            return {"anyOf": [{"enum": [*parts[0]["enum"], *nothing]}, _later()]}
        if len(parts) > 1 or (nothing and "type" not in parts[0]):
            return {"anyOf": [*parts, *([{"type": "null"}] if nothing else [])]}
        (schema,) = parts
        if nothing:
            schema["type"] = [*schema["type"], "null"]
        if "pattern" in schema:
            schema["patternErrorMessage"] = f"Expected {in_words(slot)}."
        return schema

    def _part(self, slot: Slot, name: str) -> dict[str, Any]:
        if slot.kinds and slot.kinds.words:
            kinds = slot.kinds
            words = {
                "enum": [*dict.fromkeys((*kinds.words, *dict(kinds.members.items())))]
            }
            if len(words["enum"]) == len(kinds.words):
                return words
            own = self._named(kinds, name, lambda: self._kinds(kinds, {}))
            return {"anyOf": [words, _later(), own]}
        if slot.kinds:
            kinds = slot.kinds
            return self._named(kinds, name, lambda: self._kinds(kinds, {}))
        if says := slot.says:
            numbers = {} if says.minimum is None else {"minimum": says.minimum}
            types = ["integer", "string"] if numbers else ["string"]
            texts = [says.pattern, *([_GROUPED] if numbers else [])]
            scalar = {"type": types, **numbers, "pattern": _either(*texts)}
            others = says.alternatives
            return {"anyOf": [scalar, *others]} if others else scalar
        annotation, inner = slot.annotation, get_args(slot.annotation)
        if annotation is Any:
            return {}
        if get_origin(annotation) is Literal:
            return {"enum": list(inner)}
        if isinstance(annotation, type) and issubclass(annotation, Config):
            return self._named(
                annotation, annotation.__name__, lambda: self._section(annotation, {})
            )
        return _plain(slot) | self._inside(slot, name)

    def _inside(self, slot: Slot, name: str) -> dict[str, Any]:
        """Returns the schema of a list's items, or of a mapping's keys and values."""
        kind, inner = get_origin(slot.annotation), get_args(slot.annotation)
        if kind is list:
            return {"items": self.value(Slot.of(inner[0]), name)}
        if kind is not dict:
            return {}
        keys = _plain(Slot.of(inner[0]))
        return {
            "additionalProperties": self.value(Slot.of(inner[1]), name),
            **({"propertyNames": keys} if "pattern" in keys else {}),
        }

    def _named(self, key: Any, name: str, write: Callable[[], Any]) -> dict[str, Any]:
        """Returns a reference to a definition, which is written on first use."""
        name = name.removeprefix("_").removesuffix("Config")
        if key not in self._names:
            taken = set(self._names.values())
            while name in taken:
                name += "_"
            self._names[key] = name
            self.definitions[name] = write()
        return {"$ref": f"#/$defs/{self._names[key]}"}

    def _section(self, section: type[Config], file: dict[str, Any]) -> dict[str, Any]:
        properties = self._properties(section)
        return {
            "description": about(section),
            "type": "object" if file else ["object", "string"],
            **({} if file else {"pattern": _LATER}),
            "properties": properties | file,
            "additionalProperties": section.model_config.get("extra") == "allow",
        }

    def _properties(self, section: type[Config]) -> dict[str, dict[str, Any]]:
        texts = fields_about(section)
        properties = {}
        for name, field in section.model_fields.items():
            key = field.alias or name
            schema = self.value(Slot.of_field(field), key)
            if text := texts.get(key):
                schema = {"description": text, **schema}
            if _is_plain(field.default):
                schema = {**schema, "default": field.default}
            properties[key] = schema
        return properties

    def _kinds(self, kinds: Kinds, file: dict[str, Any]) -> dict[str, Any]:
        """Returns the schema of a section whose kind a mark or a name selects."""
        marked = {_mark(member): member for member in kinds.members.values()}
        marked.pop("", None)
        named = {
            name: member
            for name, member in kinds.members.items()
            if member not in marked.values()
        }
        names = [*named, *(_name(member) for member in marked.values())]
        schema: dict[str, Any] = {
            "allOf": [
                *(
                    {"if": _has_name([name]), "then": self._member(member, file)}
                    for name, member in named.items()
                ),
                {
                    "if": {"not": _has_name([*named])},
                    "then": self._part_of(kinds.members.values(), names, file),
                },
            ]
        }
        for mark, member in marked.items():
            schema = {
                "if": {"required": [mark]},
                "then": self._member(member, file),
                "else": schema,
            }
        kind = "object" if file else ["object", "string"]
        return {"type": kind, **({} if file else {"pattern": _LATER}), **schema}

    def _member(self, section: type[Config], file: dict[str, Any]) -> dict[str, Any]:
        if file:
            return self._section(section, file)
        return self._part(Slot(section), "")

    def _part_of(
        self,
        sections: Iterable[type[Config]],
        names: Iterable[str],
        file: dict[str, Any],
    ) -> dict[str, Any]:
        """Returns the schema of a section of unknown kind: the fields of all kinds."""
        by_key: dict[str, list[dict[str, Any]]] = {}
        for section in sections:
            if section is not Target:
                for key, schema in self._properties(section).items():
                    by_key.setdefault(key, []).append(schema)
        by_key["name"] = [{"anyOf": [{"enum": [*filter(None, names)]}, _later()]}]
        properties = {key: _any_of(schemas) for key, schemas in by_key.items()}
        return {"properties": properties | file, "additionalProperties": False}


def _plain(slot: Slot) -> dict[str, Any]:
    """Returns the schema of a scalar, or of a list or mapping without its items."""
    kind = get_origin(slot.annotation) or slot.annotation
    if kind not in _NAMES:
        return {}  # A type that only Pydantic validates.
    types = [_NAMES[kind]] if kind is str else [_NAMES[kind], "string"]
    schema: dict[str, Any] = {"type": types}
    patterns = [_GROUPED] if kind in (int, float) else []
    for mark in slot.metadata:
        for name, keyword in _BOUNDS.items():
            if (bound := getattr(mark, name, None)) is not None:
                schema[keyword] = bound
        if pattern := getattr(mark, "pattern", None):
            patterns.append(pattern)
        for end, keyword in (("min_length", "min"), ("max_length", "max")):
            if (length := getattr(mark, end, None)) and kind in (str, list):
                schema[keyword + ("Length" if kind is str else "Items")] = length
    if kind is not str or patterns:
        schema["pattern"] = _either(*patterns)
    return schema


def _either(*patterns: str) -> str:
    return "|".join([*patterns, _LATER])


def _later() -> dict[str, Any]:
    return {"type": "string", "pattern": _LATER}


def _has_name(names: list[str]) -> dict[str, Any]:
    return {"required": ["name"], "properties": {"name": {"enum": names}}}


def _mark(section: type[Config]) -> str:
    """Returns the key that marks a section of a callable, or an empty text."""
    if issubclass(section, Target):
        return TARGET
    return "model_fn" if issubclass(section, Bound) else ""


def _name(section: type[Config]) -> str:
    field = section.model_fields.get("name")
    return field.default if field is not None else ""


def _any_of(schemas: list[dict[str, Any]]) -> dict[str, Any]:
    """Merges several schemas, which may differ in their descriptions only."""
    annotations = ("description", "default")
    bare = [
        {key: value for key, value in schema.items() if key not in annotations}
        for schema in schemas
    ]
    different = [schema for at, schema in enumerate(bare) if schema not in bare[:at]]
    text = next((one["description"] for one in schemas if "description" in one), "")
    description = {"description": text} if text else {}
    return description | (different[0] if len(different) == 1 else {"anyOf": different})


def _is_plain(value: Any) -> bool:
    return isinstance(value, bool | int | float | str | list | dict)
