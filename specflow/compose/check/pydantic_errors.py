"""Pydantic's errors as diagnostics, in the terms of the configuration."""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from pydantic_core import ErrorDetails

from specflow.compose.check.value_hints import nearest_name
from specflow.compose.key_hints import corrected, key_hint
from specflow.compose.other_frameworks import KIND
from specflow.compose.provenance import Origins
from specflow.compose.read.documents import read
from specflow.compose.section_types import Slot, fields_of, follow, in_words, label
from specflow.config.base import TARGET, Config
from specflow.config.experiment import ExperimentConfig
from specflow.diagnostics.errors import (
    ConfigError,
    Diagnostic,
    did_you_mean,
    is_slip,
    nearest,
)
from specflow.runtime.secret_text import without_secrets

__all__ = [
    "key_not_text",
    "name_in",
    "name_key",
    "no_section",
    "pydantic_diagnostic",
    "shown",
]

_COMMAND_LINE_ONLY = {
    "trust": "trust=my_package is read from the command line and the project file "
    "only: a config that came from elsewhere must not decide which code may run.",
    "run": "run=DIR is read from the command line only.",
}
_CODES = {
    "missing": "missing",
    "literal_error": "unknown-name",
    "string_pattern_mismatch": "range",
    "too_short": "range",
    "string_too_short": "range",
    "finite_number": "range",
    "rule": "rule",
    "value_error": "rule",
}
_NO_PAIR = re.compile(r"(\w+)\s*[=:\uff1a]\s*(\S.*)")
_NAME = re.compile(r"[A-Za-z_][\w.-]*")
_TYPES = ("text", "anything")
"""Descriptions of values that are no values themselves."""
_LONGEST = 60
"""Length to which a value is shortened in messages, in characters."""


def pydantic_diagnostic(
    detail: ErrorDetails, tree: dict[str, Any], origins: Origins, groups: Iterable[str]
) -> Diagnostic:
    """Returns a Pydantic error as a diagnostic.

    Args:
        detail: the error.
        tree: the tree that was validated.
        origins: origins of its values.
        groups: names of config groups, as suggestions for unknown keys at the root.
    """
    path, slot, around, _ = follow(detail["loc"], tree)
    kind, value = detail["type"], detail["input"]
    where = ".".join(path)
    found = origins.nearest(path)
    origin = found.exact if found else ""
    is_name = detail["loc"][-1:] == ("[key]",)
    if kind == "invalid_key" or (is_name and not isinstance(value, str)):
        around = follow(path[:-1], tree)[3]
        return _key_not_text(path[:-1], value, origins, around)
    if kind == "extra_forbidden":
        known = fields_of(around) if around else []
        outer = follow(path[:-1], tree)[1]
        hint = key_hint(path, known, tree, value, slot=outer, groups=[*groups])
        near = re.fullmatch(r"Did you mean (\w+)\?", hint)
        if origin.startswith("override ") and near and len(path) == 1:
            if inner := corrected(path, value, near[1]):
                path, hint = inner[0], did_you_mean(".".join(inner[1]))
        return _unknown_key(path, around, hint, origin)
    if kind in ("union_tag_invalid", "union_tag_not_found") and slot is not None:
        return _unknown_name(path, slot, value, origins, tree)
    plugin = detail.get("ctx", {}).get("error")
    if isinstance(plugin, ConfigError):
        spot = (*path, "name") if isinstance(value, Mapping) else path
        found = origins.nearest(spot)
        return dataclasses.replace(
            plugin.diagnostics[0],
            where=".".join(spot),
            origin=without_secrets(found.exact) if found else "",
        )
    code = _CODES.get(
        kind, "range" if kind.startswith(("less_", "greater_")) else "type"
    )
    if is_name:
        pattern = detail.get("ctx", {}).get("pattern", "")
        expected = f"a name that matches {pattern}"
        pair = _pair_of(value)
        return Diagnostic(
            where,
            f"got the name {shown(value)}",
            expected,
            f"Write {pair}." if pair else "",
            origin,
            code,
        )
    if kind == "missing":
        expected = in_words(slot) if slot else ""
        near = _near_member(path[:-1], tree)
        return Diagnostic(where, "is missing", expected, near, origin, code)
    if kind == "rule":
        about = detail.get("ctx", {})
        expected = str(about.get("expected", ""))
        hint = str(about.get("hint", "")) or _near_in(expected, value)
        if beside := str(about.get("beside", "")):
            other = (*path[:-1], beside[1:]) if beside[0] == "." else beside.split(".")
            by, beside = origins.nearest(tuple(other)), ".".join(other)
            expected += f" ({by.exact if by else 'default'})"
            hint = str(about.get("hint", "")).format(where=where, beside=beside)
        return Diagnostic(where, f"got {shown(value)}", expected, hint, origin, code)
    if kind == "value_error":
        reason = detail["msg"].removeprefix("Value error, ").rstrip(".")
        problem = (
            reason
            if isinstance(value, dict | Config)
            else f"got {shown(value)}; {reason}"
        )
        return Diagnostic(where, problem, origin=origin, code=code)
    expected = in_words(slot) if slot else detail["msg"]
    near = _near_in(expected, value) if kind == "literal_error" else ""
    return Diagnostic(where, f"got {shown(value)}", expected, near, origin, code)


def _key_not_text(
    section: tuple[str, ...], key: Any, origins: Origins, around: Any
) -> Diagnostic:
    """Reports a key such as `on` or `1`, which YAML does not read as text."""
    written = next(
        (it for it in origins.keys(section) if _is_read_as(it, key)), str(key)
    )
    found = origins.nearest((*section, written))
    origin = found.exact if found else ""
    hint = _decimal_comma(key, written, around)
    return key_not_text((*section, written), key, origin, hint)


def key_not_text(
    path: tuple[str, ...], key: Any, origin: str, hint: str = ""
) -> Diagnostic:
    """Reports a key that is no text.

    Args:
        path: of the key, as written.
        key: as it is read.
        origin: place of the key.
        hint: how to write it; by default quoted.
    """
    reader, quoted = "YAML", f"Quote it: '{path[-1]}'."
    if origin.startswith("override "):
        reader = "Hydra"
        quoted = f"Overrides have no quoted keys; write '{path[-1]}' in a config file."
    read_as = "a date" if isinstance(key, date) else shown(key)
    problem, expected = f"is read by {reader} as {read_as}", "a key that is text"
    return Diagnostic(".".join(path), problem, expected, hint or quoted, origin, "type")


def _decimal_comma(key: Any, written: str, around: Any) -> str:
    """Says how to write a number whose comma YAML takes for the end of the value."""
    pairs = [*around.items()] if isinstance(around, Mapping) else []
    names = [name for name, _ in pairs]
    at = names.index(key) if key in names else 0
    if at == 0 or pairs[at][1] is not None or not written.isdigit():
        return ""
    name, number = pairs[at - 1]
    return f"Write {name}: {number}.{written}." if type(number) is int else ""


def _is_read_as(text: str, value: Any) -> bool:
    try:
        (found,) = read(f"{text}: 0").content
    except ConfigError:
        return False
    return type(found) is type(value) and repr(found) == repr(value)


def _unknown_key(
    path: tuple[str, ...],
    around: type[Config] | None,
    near: str,
    origin: str,
) -> Diagnostic:
    *section, name = path
    if not section and name in _COMMAND_LINE_ONLY:
        return Diagnostic(
            name, "no such field", "", _COMMAND_LINE_ONLY[name], origin, "reserved"
        )
    known = ", ".join(fields_of(around)) if around else ""
    listed = f"Fields of {label(around)}: {known}." if around else ""
    hint = f"{near} {listed}".strip()
    return Diagnostic(".".join(path), "no such field", "", hint, origin, "unknown-key")


_NULLS = ("none", "nil", "off", "false", "disabled", "undefined")
"""Texts by which other languages and users leave an optional section out."""


def _unknown_name(
    path: tuple[str, ...], slot: Slot, value: Any, origins: Origins, tree: Any
) -> Diagnostic:
    """Reports a section whose name is missing or unknown."""
    names = sorted(name for name in slot.members() if name != TARGET)
    if slot.kinds and slot.kinds.words:
        names = [*dict.fromkeys((*slot.kinds.words, *names))]
        if isinstance(value, str):
            near, found = did_you_mean(nearest(value, names)), origins.nearest(path)
            origin, expected = (
                found.exact if found else "",
                f"one of {', '.join(names)}",
            )
            where, got = ".".join(path), f"got {shown(value)}"
            return Diagnostic(where, got, expected, near, origin, "unknown-name")
    name = value.get("name") if isinstance(value, Mapping) else None
    if name is None:
        section = isinstance(value, Mapping)
        # The layer that set a part of the section, not the one that left it out.
        found = origins.nearest((*path, *list(value)[:1]) if section else path)
        problem = "has no name" if section else f"got {shown(value)}"
        origin = found.exact if found else ""
        kind = nearest(value, names) if isinstance(value, str) else None
        near = did_you_mean(f"{{name: {kind}}}") if kind else _near_member(path, tree)
        if slot.nullable and (value is False or str(value).lower() in _NULLS):
            near = did_you_mean("null")
        near = near or _hint_of_nameless(path, value)
        return Diagnostic(
            ".".join(path), problem, in_words(slot), near, origin, "missing"
        )
    found = origins.nearest((*path, "name"))
    return Diagnostic(
        ".".join((*path, "name")),
        f"got {shown(name)}",
        f"one of {', '.join(names)}",
        did_you_mean(nearest_name(str(name), names)),
        found.exact if found else "",
        "unknown-name",
    )


def no_section(key: str, value: Any, origin: str) -> Diagnostic:
    """Reports a value in place of a section of the experiment.

    Args:
        key: of the section.
        value: what is there.
        origin: place of the key.
    """
    slot = Slot.of_field(ExperimentConfig.model_fields[key])
    if slot.kinds is None:
        hint = _hint_of_nameless((key,), value)
        return Diagnostic(
            key, f"got {shown(value)}", in_words(slot), hint, origin, "type"
        )
    diagnostic = _unknown_name((key,), slot, value, Origins(), {})
    return dataclasses.replace(diagnostic, origin=origin)


def _hint_of_nameless(path: tuple[str, ...], value: Any) -> str:
    """Says where the name of a section went, if another key or form has it."""
    if pair := _pair_of(value):
        return f"Write {pair}."
    if isinstance(value, list):
        return _hint_of_list(value)
    for key, inner in value.items() if isinstance(value, Mapping) else ():
        if key == path[-1] and isinstance(inner, Mapping):
            return f"Move its keys up: they are merged into {key} already."
    if (key := name_key(value)) is None:
        return ""
    if value[key] is None:
        return f"Write name: {name_in(key, None)}."
    return did_you_mean(f"{'.'.join(path)}.name")


def _pair_of(text: Any) -> str:
    """Returns the pair that a text was meant to be, as YAML; empty if none."""
    pair = _NO_PAIR.fullmatch(text) if isinstance(text, str) else None
    return f"{pair[1]}: {pair[2]}" if pair else ""


def _hint_of_list(items: list[Any]) -> str:
    """Says how to write the items of a list as the keys of a section."""
    if items and all(isinstance(item, dict) for item in items):
        section = {key: value for item in items for key, value in item.items()}
        return f"Remove the dashes. {did_you_mean(shown(section))}"
    return "A section has keys with values, `key: value`, and no dashes."


def name_key(section: Any) -> Any:
    """Returns the key of a section that a user wrote in place of `name`, or None.

    >>> name_key({"lr": 0.1, "type": "adam"}), name_key({"lr": 0.1})
    ('type', None)
    """
    pairs = section.items() if isinstance(section, Mapping) else ()
    return next((key for key, inner in pairs if name_in(key, inner)), None)


def name_in(key: Any, value: Any) -> str:
    """Returns the name of a kind that a pair gives, under any key; empty if none.

    >>> name_in("type", "adam"), name_in("name:adam", None), name_in("lr", "adam")
    ('adam', 'adam', '')
    """
    if value is None and (pair := re.fullmatch(r"name\s*[=:]\s*(\S+)", str(key))):
        return pair[1]
    is_name = key in KIND or is_slip(str(key), "name")
    return value if isinstance(value, str) and is_name else ""


def _near_member(path: tuple[str, ...], tree: Any) -> str:
    """Suggests the nearest existing name for an incomplete new entry of a mapping.

    `spec.loss.cros_entropy.weight=2` adds a loss that lacks its required fields.
    """
    if not path:
        return ""
    *around, name = path
    _, slot, _, siblings = follow(around, tree)
    if slot is None or not slot.is_mapping or not isinstance(siblings, Mapping):
        return ""
    others = [key for key in siblings if isinstance(key, str) and key != name]
    return did_you_mean(nearest(name, others), prefix=f"{'.'.join(around)}.")


def _near_in(expected: str, value: Any) -> str:
    """Suggests the nearest of the names that an expectation lists."""
    if not isinstance(value, str):
        return ""
    items = re.split(r", | or |, or | and |[()]", expected)
    names = [item.removeprefix("one of ").strip() for item in items]
    known = [name for name in names if _NAME.fullmatch(name) and name not in _TYPES]
    around, dot, inner = value.rpartition(".")
    if inner in known:
        return did_you_mean(inner)
    prefix = f"{around}{dot}"
    siblings = [name.removeprefix(prefix) for name in known if name.startswith(prefix)]
    return did_you_mean(nearest(inner, siblings), prefix=prefix)


def shown(value: Any) -> str:
    """Returns a value as in YAML, shortened.

    >>> shown(True), shown(None), shown("a"), shown([1] * 40)[-8:]
    ('true', 'null', "'a'", ',1,1,...')
    """
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, Config):
        value = value.model_dump(by_alias=True)
    if isinstance(value, dict):
        pairs = (f"{key}: {shown(inner)}" for key, inner in value.items())
        text = f"{{{', '.join(pairs)}}}"
    elif isinstance(value, list):
        text = f"[{','.join(map(shown, value))}]"
    else:
        text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
