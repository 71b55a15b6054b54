"""JSON Schemas as files: every repeated part is written once, as a definition.

`experiment.json` holds the definitions of all; the schema of a group refers to them by
`experiment.json#/$defs/...`. Each definition is one line, so that a change of one field
is a change of one line.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

__all__ = ["HOME", "shared"]

HOME = "experiment"
"""Group whose file holds the definitions."""

_LEAST = 60
"""Characters below which a part is repeated: a reference is hardly shorter."""

Schema: TypeAlias = dict[str, Any]
Slot: TypeAlias = tuple[Any, Any, str]
"""Container of a part, its key there, and a name for its definition."""


def shared(schemas: Mapping[str, Schema]) -> dict[str, str]:
    """Group -> text of its file.

    Args:
        schemas: group -> schema that is complete by itself, `experiment` among them.
            They are not changed.

    >>> text = {"type": "string", "description": "Text that two schemas share."}
    >>> files = shared({
    ...     "experiment": {"properties": {"a": text}, "$defs": {}},
    ...     "mesh": {"properties": {"b": text}, "$defs": {}},
    ... })
    >>> print(files["mesh"])
    {
    "properties": {
      "b": {"$ref": "experiment.json#/$defs/a"}
    }
    }
    """
    roots = {group: json.loads(json.dumps(schema)) for group, schema in schemas.items()}
    definitions = dict(roots[HOME].pop("$defs"))
    own = {group: root.pop("$defs") for group, root in roots.items() if group != HOME}
    for group, root in roots.items():
        if group != HOME:
            _inline(root, own[group], definitions)
    _share(
        [roots[HOME], *(roots[group] for group in own), *definitions.values()],
        definitions,
    )
    for group in own:
        _point_to(roots[group], f"{HOME}.json")
    roots[HOME]["$defs"] = dict(sorted(definitions.items()))
    return {group: _text(root) for group, root in roots.items()}


def _inline(schema: Schema, own: Schema, definitions: Schema) -> None:
    """Adds the definitions that a group has beside those of an experiment."""
    names: dict[str, str] = {}
    for name, definition in own.items():
        if definitions.get(name, definition) != definition:
            names[name] = _free(name, {**definitions, **own})
        definitions.setdefault(names.get(name, name), definition)
    for part in (schema, *(own[name] for name in names)):
        for reference in _references(part):
            name = reference["$ref"].removeprefix("#/$defs/")
            reference["$ref"] = f"#/$defs/{names.get(name, name)}"


def _share(roots: list[Schema], definitions: Schema) -> None:
    """Moves each part that occurs more than once to the definitions."""
    places: dict[str, list[Slot]] = defaultdict(list)
    for root in roots:
        for slot in _parts(root):
            container, key, _ = slot
            places[json.dumps(container[key])].append(slot)
    # Smaller parts first: they are inside of larger ones.
    for text in sorted(places, key=len):
        slots = places[text]
        if len(slots) < 2 or len(text) < _LEAST:
            continue
        container, key, hint = slots[0]
        name = _free(hint, definitions)
        definitions[name] = container[key]
        for container, key, _ in slots:
            container[key] = {"$ref": f"#/$defs/{name}"}


def _parts(schema: Schema) -> Iterator[Slot]:
    """Every schema inside a schema, inner ones first."""
    slots: list[Slot] = []
    slots += ((schema["properties"], key, key) for key in schema.get("properties", ()))
    for name in ("anyOf", "allOf"):
        slots += ((schema[name], at, name) for at in range(len(schema.get(name, ()))))
    for name in ("items", "additionalProperties", "propertyNames", "then", "else"):
        if isinstance(schema.get(name), dict):
            slots.append((schema, name, name))
    for container, key, hint in slots:
        yield from _parts(container[key])
        yield container, key, hint


def _references(schema: Schema) -> Iterator[Schema]:
    if "$ref" in schema:
        yield schema
    for container, key, _ in _parts(schema):
        if "$ref" in container[key]:
            yield container[key]


def _point_to(schema: Schema, file: str) -> None:
    for reference in _references(schema):
        reference["$ref"] = f"{file}{reference['$ref']}"


def _free(name: str, taken: Mapping[str, Any]) -> str:
    candidate, count = name, 1
    while candidate in taken:
        count += 1
        candidate = f"{name}.{count}"
    return candidate


def _text(schema: Schema) -> str:
    """JSON with a line for each entry, definition and property."""
    entries = []
    for key, value in schema.items():
        text = json.dumps(value, ensure_ascii=False)
        if key in ("$defs", "properties"):
            members = ",\n".join(
                f"  {json.dumps(name)}: {json.dumps(member, ensure_ascii=False)}"
                for name, member in value.items()
            )
            text = f"{{\n{members}\n}}"
        entries.append(f"{json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(entries) + "\n}"
