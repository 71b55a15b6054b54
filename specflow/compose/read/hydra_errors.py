"""Errors of Hydra about its own section, as diagnostics."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hydra.conf import HydraConf
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from specflow.compose.provenance import Origin
from specflow.compose.read.config_folders import Folders
from specflow.compose.read.documents import load, mark_of
from specflow.diagnostics.errors import ConfigError, Diagnostic, did_you_mean, nearest

__all__ = [
    "HYDRA_ERRORS",
    "asked_of_hydra",
    "hydra_diagnostic",
    "place_of",
    "reserved",
    "wants_mapping",
]

_RESERVED = {
    "hydra.run.dir": ("is not used", "A run directory is named with output.dir=..."),
    "hydra.mode": ("is not used", "A sweep is run with -m."),
    "hydra.searchpath": (
        "is set by specflow itself",
        "Name your own folder of configs with --config-dir.",
    ),
}
"""Keys of Hydra that have no effect here -> problem and hint."""


_SECTIONS = (
    ["hydra", "launcher"],
    ["hydra", "sweeper"],
    ["hydra", "sweeper", "params"],
)
"""Sections whose keys Hydra's plugins define."""


_NULL = ("hydra.sweeper.params",)
"""Options that are null unless they are set, so that their keys cannot be."""
HYDRA_ERRORS = (HydraException, OmegaConfBaseException, AssertionError)
"""Exceptions of Hydra's composition; some of its checks are bare assertions."""


def reserved(key: str, origin: str) -> Diagnostic:
    """Reports a key of Hydra that specflow replaces by its own."""
    problem, hint = _RESERVED[key]
    return Diagnostic(key, problem, hint=hint, origin=origin, code="reserved")


def asked_of_hydra(key: str, value: object) -> list[str]:
    """Returns the reserved keys that a value of a key sets.

    >>> asked_of_hydra("hydra.run", {"dir": "x"}), asked_of_hydra("hydra.job", {})
    (['hydra.run.dir'], [])
    """
    if key in _RESERVED:
        # The shipped root config sets this, so that Hydra makes no folder.
        return [] if (key, value) == ("hydra.run.dir", ".") else [key]
    items = value.items() if isinstance(value, dict) else ()
    return [
        found
        for name, inner in items
        for found in asked_of_hydra(f"{key}.{name}", inner)
    ]


def hydra_diagnostic(
    error: Exception, folders: Folders, overrides: Iterable[Override] = ()
) -> Diagnostic | None:
    """Returns an error about Hydra's own section as a diagnostic, or None.

    Args:
        error: raised by Hydra's composition.
        folders: config folders.
        overrides: those of the command line.
    """
    text = str(error)
    if "Unexpected type for root" in text:
        return _inside_null(overrides)
    in_config = re.match(r"In '(?P<config>[^']*)': (?P<rest>.*)", text, re.DOTALL)
    config, rest = in_config.groups() if in_config else ("", text)
    lines = {one.key_or_group: f"override {one.input_line}" for one in overrides}
    refused = re.match(r"(Could not|Error)[^']*?'?(hydra[./][^'=\s]*)", rest)
    if refused:
        key, cause = refused[2], error.__cause__
        origin = lines.get(key, "command line")
        if "delete" in rest:
            problem, code = "nothing to delete here", "unknown-key"
            return Diagnostic(key, problem, origin=origin, code=code)
        if refused[1] == "Could not":
            return _no_key(key, origin)
        values = [one.value() for one in overrides if one.key_or_group == key]
        if values and (found := _no_mapping(key.split("."), values[-1])):
            return wants_mapping(*found, origin)
        reason = (str(cause or error).splitlines() or [""])[0]
        return Diagnostic(key, reason, origin=origin, code="type")
    inside = re.search(r"full_key: (hydra\.\S+)", rest)
    file = folders.file(config) if config else None
    if file and (found := _no_mapping(["hydra"], _content(file, folders))):
        path, value = found  # Hydra names no key here.
        return wants_mapping(path, value, place_of(file, path, folders))
    if inside and config:
        origin = place_of(file, inside[1].split("."), folders) if file else ""
        reason = rest.splitlines()[1]
        if reason.startswith("Key "):
            return _no_key(inside[1], origin)
        return Diagnostic(inside[1], reason, origin=origin, code="type")
    return None


def _inside_null(overrides: Iterable[Override]) -> Diagnostic | None:
    """Reports an override of a key inside an option of Hydra that is null."""
    for one in overrides:
        section, _, key = one.key_or_group.rpartition(".")
        if section in _NULL:
            value = str(one.input_line).partition("=")[2]
            return Diagnostic(
                one.key_or_group,
                f"{section} is null, so it has no keys",
                hint=f"Write {section}={{{key}: {value}}}.",
                origin=f"override {one.input_line}",
                code="type",
            )
    return None


def _content(file: Path, folders: Folders) -> Any:
    """Returns the `hydra` section of a file."""
    try:
        return load(file, folders.shown(file)).content.get("hydra", {})
    except ConfigError:
        return {}


def _no_mapping(path: list[str], value: Any) -> tuple[list[str], Any] | None:
    """Returns path and value of the first value where Hydra has a mapping, or None."""
    if value is None or not (path == ["hydra"] or _is_section(path)):
        return None
    if not isinstance(value, dict):
        return path, value
    inner = (_no_mapping([*path, str(key)], value[key]) for key in value)
    return next(filter(None, inner), None)


def _is_section(path: list[str]) -> bool:
    """Returns whether Hydra has keys below a path, as far as known without plugins."""
    if path in _SECTIONS:
        return True
    node: Any = OmegaConf.structured(HydraConf)
    for key in path[1:]:
        if not isinstance(node, DictConfig) or OmegaConf.is_missing(node, key):
            return False
        node = node.get(key)
    return isinstance(node, DictConfig)


def wants_mapping(path: list[str], value: Any, origin: str) -> Diagnostic:
    """Reports a value where Hydra has a mapping."""
    lines = [str(one) for one in value] if isinstance(value, list) else []
    pairs = [line.partition("=") for line in lines if "=" in line]
    hint = ""
    if path == _SECTIONS[-1] and pairs and len(pairs) == len(lines):
        written = ", ".join(f"{key}: {text!r}" for key, _, text in pairs)
        hint = f"Write {path[-1]}: {{{written}}}."
    return Diagnostic(
        ".".join(path),
        f"got {'null' if value is None else lines or value}",
        expected="a mapping, key: value",
        hint=hint,
        origin=origin,
        code="type",
    )


def place_of(file: Path, path: Iterable[str], folders: Folders) -> str:
    """`file:line:column` where a file sets a path; empty if it does not."""
    shown = folders.shown(file)
    try:
        mark = mark_of(load(file, shown).node, tuple(path))
    except ConfigError:
        return ""
    return Origin(shown, mark.line + 1, mark.column + 1).exact if mark else ""


def _no_key(key: str, origin: str) -> Diagnostic:
    """Reports a key that Hydra does not have."""
    node, section = OmegaConf.structured(HydraConf), "hydra"
    *above, name = key.split(".")[1:] or [""]
    for part in above:
        is_open = OmegaConf.is_missing(node, part)  # What a plugin has is not known.
        if part not in node and not is_open:
            name = part
            break
        inner = None if is_open else node[part]
        node = inner if isinstance(inner, DictConfig) else OmegaConf.create({})
        section = f"{section}.{part}"
    known = sorted(map(str, node)) if "/" not in key else []
    near = did_you_mean(nearest(name, known), prefix=f"{section}.")
    listed = f"Keys of {section}: {', '.join(known)}." if known else ""
    return Diagnostic(
        key,
        "Hydra has no such key",
        hint=f"{near} {listed}".strip(),
        origin=origin,
        code="unknown-key",
    )
