"""A plain tree to an experiment; all faults at once, in the command line's words."""

import contextlib
import dataclasses
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import date
from functools import partial
from types import ModuleType
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from specflow.compose.check.section_rules import broken_rules
from specflow.compose.merge.merging import is_of_items, merge
from specflow.compose.provenance import Origins
from specflow.compose.read.documents import read
from specflow.compose.section_types import (
    ROOT,
    Slot,
    fields_of,
    follow,
    in_words,
    label,
)
from specflow.config.base import TARGET, Config
from specflow.config.experiment import ExperimentConfig
from specflow.diagnostics.errors import ConfigError, Diagnostic, nearest, nearest_of

__all__ = ["fold_defaults", "no_plugins", "said", "validate"]

_COMMAND_LINE_ONLY = {
    "trust": "trust=my_package is taken from the command line and your project file "
    "only: a config that came from elsewhere must not say what may run.",
    "run": "run=DIR is taken from the command line only.",
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
_LONGEST = 60
"""Characters of a value that are shown."""


def validate(
    tree: dict[str, Any],
    origins: Origins,
    *,
    groups: Iterable[str] = (),
    doubtful: Collection[str] = (),
) -> tuple[ExperimentConfig | None, list[Diagnostic]]:
    """Validates a composed tree.

    Args:
        tree: plain values, as composed.
        origins: who set them.
        groups: names of config groups, for the near misses of keys at the root.
        doubtful: words that may not be as they were meant, so that rules between words
            leave them alone.

    Returns:
        The experiment, or none and every fault.

    >>> config, diagnostics = validate({"seed": -1, "sede": 2}, Origins())
    >>> for diagnostic in diagnostics: print(diagnostic)
    seed: got -1. Expected a whole number >= 0.
    spec: is missing. Expected a section with a name (declared, model_fn).
    data: is missing. Expected a section with a name (breast_cancer, diabetes, digits,
    npz, text, wine) or a _target_.
    sede: no such field. Did you mean seed? Fields of an experiment: data, loop, mesh,
    model, name, optimizer, output, seed, spec, warm_start.
    """
    with no_plugins():
        return _validate(tree, origins, groups, doubtful)


@contextlib.contextmanager
def no_plugins() -> Iterator[None]:
    """Spares the search for Pydantic plugins through everything that is installed.

    It takes as long as the whole validation, and importing what it searches with a
    third of that; they have nothing to do with the configuration. Models of the user's
    own, built later, get their plugins as ever.
    """
    name = "pydantic.plugin._loader"
    loader = sys.modules.get(name)
    none = sys.modules[name] = ModuleType(name)
    vars(none)["get_plugins"] = tuple
    try:
        yield
    finally:
        del sys.modules[name]
        if loader is not None:
            sys.modules[name] = loader


def _validate(
    tree: dict[str, Any],
    origins: Origins,
    groups: Iterable[str],
    doubtful: Collection[str],
) -> tuple[ExperimentConfig | None, list[Diagnostic]]:
    folded = fold_defaults(tree, ROOT)
    try:
        return ExperimentConfig.model_validate(folded), []
    except ValidationError as error:
        details = error.errors(include_url=False)
    if doubtful:
        broken = {tuple(told["loc"]) for told in broken_rules(folded, (), ())}
        details = [told for told in details if told["loc"] not in broken]
    diagnostics = [_diagnostic(detail, folded, origins, groups) for detail in details]
    diagnostics = _once(diagnostics)
    meant, fixed = _meant(details, folded)
    wrong = [follow(detail["loc"], folded)[0] for detail in details]
    more = [detail for detail in _details(meant) if _is_inside(detail, fixed)]
    wrong += [follow(detail["loc"], meant)[0] for detail in more]
    wrong = [path for path in wrong if path[:-1] not in fixed or path[-1] != "name"]
    more += broken_rules(meant, wrong, doubtful)
    told = {diagnostic.where for diagnostic in diagnostics}
    for diagnostic in (_diagnostic(detail, meant, origins, groups) for detail in more):
        if diagnostic.where not in told:
            diagnostics.append(diagnostic)
            told.add(diagnostic.where)
    return None, diagnostics


def _once(diagnostics: Collection[Diagnostic]) -> list[Diagnostic]:
    """Without what Pydantic says again for each type that a value may be of."""
    seen: dict[tuple[str, ...], Diagnostic] = {}
    paths = [diagnostic.where.split(".") for diagnostic in diagnostics]
    above = {".".join(path[:at]) for path in paths for at in range(1, len(path))}
    for diagnostic in diagnostics:
        if diagnostic.code == "type" and diagnostic.where in above:
            continue  # Of one type, only a part of it is wrong.
        of_value = diagnostic.code in ("range", "type", "unknown-name")
        told = (
            diagnostic.expected
            if of_value
            else f"{diagnostic.problem} {diagnostic.code}"
        )
        seen.setdefault((diagnostic.where, told), diagnostic)
    return [*seen.values()]


def _details(tree: dict[str, Any]) -> list[ErrorDetails]:
    try:
        ExperimentConfig.model_validate(tree)
    except ValidationError as error:
        return error.errors(include_url=False)
    return []


def _meant(
    details: Iterable[ErrorDetails], tree: dict[str, Any]
) -> tuple[dict[str, Any], set[tuple[str, ...]]]:
    """The tree with near misses in the place of unknown names, and these sections.

    What a section must hold is known by its name; a misspelt one would hide all else
    that is wrong with it.
    """
    fixed: set[tuple[str, ...]] = set()
    for detail in details:
        path, slot, _, value = follow(detail["loc"], tree)
        if detail["type"] != "union_tag_invalid" or slot is None:
            continue
        words = slot.kinds.words if slot.kinds else ()
        said = value.get("name") if isinstance(value, Mapping) else value
        near = nearest_of(str(said), [*words, *slot.members()])
        if near is not None:
            own = (*path, "name") if isinstance(value, Mapping) else path
            tree = _with(tree, own, near)
            fixed.add(path)
    return tree, fixed


def _with(tree: Any, path: tuple[str, ...], value: Any) -> Any:
    """The same plain values but for one."""
    if not path:
        return value
    key, *rest = path
    if isinstance(tree, list):
        return [
            _with(inner, tuple(rest), value) if str(place) == key else inner
            for place, inner in enumerate(tree)
        ]
    return {**tree, key: _with(tree[key], tuple(rest), value)}


def _is_inside(detail: ErrorDetails, sections: Collection[tuple[str, ...]]) -> bool:
    location = tuple(map(str, detail["loc"]))
    return any(location[: len(path)] == path for path in sections)


def fold_defaults(tree: Any, slot: Slot) -> Any:
    """Lays partial sections over the defaults of their fields.

    `optimizer.schedule.warmup_steps=10` alone means the schedule that stands by
    default, so its name need not be given as well; `mesh.rules.0.path=...` alone, an
    item of the list that does.
    """
    if not isinstance(tree, dict):
        return tree
    if slot.default is not None and slot.holds([]) and is_of_items(tree):
        return _with_items(_plain(slot.default()), tree)
    if slot.default is not None and not any(mark in tree for mark in ("name", TARGET)):
        tree = {**said(slot.default), **tree}
    folded = {}
    for key, value in tree.items():
        inner = slot.child(key, tree) if isinstance(key, str) else None
        folded[key] = value if inner is None else fold_defaults(value, inner)
    return folded


def _with_items(items: list[Any], tree: dict[Any, Any]) -> Any:
    """A list with what is set of its items; as it was, if it lacks one of them."""
    whole = {"": items}
    return tree if merge(whole, {"": tree}).missing else whole[""]


def _plain(items: list[Any]) -> list[Any]:
    """A list of sections as plain values."""
    return [
        item.model_dump(by_alias=True) if isinstance(item, Config) else item
        for item in items
    ]


def said(default: Callable[..., Any]) -> dict[str, Any]:
    """What a section that stands by default says, its name included.

    >>> from specflow.config.sections.mesh import MeshConfig
    >>> axes = MeshConfig.model_fields["axes"].default_factory
    >>> said(axes), said(ExperimentConfig.model_fields["model"].default_factory)
    ({'data': -1}, {'name': 'mlp'})
    """
    section, said = default, {}
    if isinstance(default, partial):
        section, said = default.func, default.keywords
    name = getattr(section, "model_fields", {}).get("name")
    return {**({} if name is None else {"name": name.default}), **said}


def _diagnostic(
    detail: ErrorDetails, tree: dict[str, Any], origins: Origins, groups: Iterable[str]
) -> Diagnostic:
    """One of Pydantic's errors as a fault."""
    path, slot, around, _ = follow(detail["loc"], tree)
    kind, value = detail["type"], detail["input"]
    where = ".".join(path)
    found = origins.nearest(path)
    origin = found.exact if found else ""
    is_name = detail["loc"][-1:] == ("[key]",)
    if kind == "invalid_key" or (is_name and not isinstance(value, str)):
        return _no_text(path[:-1], value, origins)
    if kind == "extra_forbidden":
        return _unknown_key(path, around, groups, origin)
    if kind in ("union_tag_invalid", "union_tag_not_found") and slot is not None:
        return _unknown_name(path, slot, value, origins, tree)
    plugin = detail.get("ctx", {}).get("error")
    if isinstance(plugin, ConfigError):
        spot = (*path, "name") if isinstance(value, Mapping) else path
        found = origins.nearest(spot)
        return dataclasses.replace(
            plugin.diagnostics[0],
            where=".".join(spot),
            origin=found.exact if found else "",
        )
    code = _CODES.get(
        kind, "range" if kind.startswith(("less_", "greater_")) else "type"
    )
    if is_name:
        pattern = detail.get("ctx", {}).get("pattern", "")
        expected = f"a name that matches {pattern}"
        return Diagnostic(
            where, f"got the name {_shown(value)}", expected, "", origin, code
        )
    if kind == "missing":
        expected = in_words(slot) if slot else ""
        near = _near_member(path[:-1], tree)
        return Diagnostic(where, "is missing", expected, near, origin, code)
    if kind == "rule":
        about = detail.get("ctx", {})
        expected = str(about.get("expected", ""))
        hint = _near_in(expected, value)
        if beside := str(about.get("beside", "")):
            other = (*path[:-1], beside[1:]) if beside[0] == "." else beside.split(".")
            by, beside = origins.nearest(tuple(other)), ".".join(other)
            expected += f" ({by.exact if by else 'default'})"
            hint = str(about.get("hint", "")).format(where=where, beside=beside)
        return Diagnostic(where, f"got {_shown(value)}", expected, hint, origin, code)
    if kind == "value_error":
        reason = detail["msg"].removeprefix("Value error, ").rstrip(".")
        said = (
            reason
            if isinstance(value, dict | Config)
            else f"got {_shown(value)}; {reason}"
        )
        return Diagnostic(where, said, origin=origin, code=code)
    expected = in_words(slot) if slot else detail["msg"]
    near = _near_in(expected, value) if kind == "literal_error" else ""
    return Diagnostic(where, f"got {_shown(value)}", expected, near, origin, code)


def _no_text(section: tuple[str, ...], key: Any, origins: Origins) -> Diagnostic:
    """A key such as `on` or `1`, which is something else to YAML."""
    written = next(
        (it for it in origins.keys(section) if _is_read_as(it, key)), str(key)
    )
    found = origins.nearest((*section, written))
    return Diagnostic(
        ".".join((*section, written)),
        f"is {'a date' if isinstance(key, date) else _shown(key)} to YAML",
        "a key that is text",
        f"Quote it: '{written}'.",
        found.exact if found else "",
        "type",
    )


def _is_read_as(text: str, value: Any) -> bool:
    try:
        (found,) = read(f"{text}: 0").content
    except ConfigError:
        return False
    return type(found) is type(value) and found == value


def _unknown_key(
    path: tuple[str, ...],
    around: type[Config] | None,
    groups: Iterable[str],
    origin: str,
) -> Diagnostic:
    *section, name = path
    known = fields_of(around) if around else []
    if not section and name in _COMMAND_LINE_ONLY:
        return Diagnostic(
            name, "no such field", "", _COMMAND_LINE_ONLY[name], origin, "reserved"
        )
    near = nearest(name, [*known, *(groups if not section else ())])
    if near and section:
        near = near.replace("mean ", f"mean {'.'.join(section)}.")
    listed = f"Fields of {label(around)}: {', '.join(known)}." if around else ""
    hint = f"{near} {listed}".strip()
    return Diagnostic(".".join(path), "no such field", "", hint, origin, "unknown-key")


def _unknown_name(
    path: tuple[str, ...], slot: Slot, value: Any, origins: Origins, tree: Any
) -> Diagnostic:
    """A section that does not say which of its kind it is, or says a wrong one."""
    names = sorted(name for name in slot.members() if name != TARGET)
    if slot.kinds and slot.kinds.words:
        names = [*slot.kinds.words, *names]
        if isinstance(value, str):
            near, found = nearest(value, names), origins.nearest(path)
            origin, expected = (
                found.exact if found else "",
                f"one of {', '.join(names)}",
            )
            where, got = ".".join(path), f"got {_shown(value)}"
            return Diagnostic(where, got, expected, near, origin, "unknown-name")
    name = value.get("name") if isinstance(value, Mapping) else None
    if name is None:
        section = isinstance(value, Mapping)
        # Whoever set a part of the section, not who left it out before.
        found = origins.nearest((*path, *list(value)[:1]) if section else path)
        problem = "has no name" if section else f"got {_shown(value)}"
        origin = found.exact if found else ""
        kind = nearest_of(value, names) if isinstance(value, str) else None
        near = f"Did you mean {{name: {kind}}}?" if kind else _near_member(path, tree)
        return Diagnostic(
            ".".join(path), problem, in_words(slot), near, origin, "missing"
        )
    found = origins.nearest((*path, "name"))
    return Diagnostic(
        ".".join((*path, "name")),
        f"got {_shown(name)}",
        f"one of {', '.join(names)}",
        nearest(str(name), names),
        found.exact if found else "",
        "unknown-name",
    )


def _near_member(path: tuple[str, ...], tree: Any) -> str:
    """The near miss of a name that nobody knows, such as that of a metric.

    Whoever sets `spec.loss.cros_entropy.weight` names a new loss, and most of what a
    loss needs is missing then.
    """
    if not path:
        return ""
    *around, name = path
    _, slot, _, siblings = follow(around, tree)
    if slot is None or not slot.is_mapping or not isinstance(siblings, Mapping):
        return ""
    near = nearest(
        name, [key for key in siblings if isinstance(key, str) and key != name]
    )
    return near.replace("mean ", f"mean {'.'.join(around)}.")


def _near_in(expected: str, value: Any) -> str:
    """The near miss among the names that an expectation lists."""
    if not isinstance(value, str):
        return ""
    return nearest(value, re.findall(r"[A-Za-z_][\w.]*", expected))


def _shown(value: Any) -> str:
    """A value as in YAML, and not too much of it.

    >>> _shown(True), _shown(None), _shown("a"), _shown([1] * 40)[-8:]
    ('true', 'null', "'a'", ',1,1,...')
    """
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, Config):
        value = value.model_dump(by_alias=True)
    if isinstance(value, dict):
        pairs = (f"{key}: {_shown(inner)}" for key, inner in value.items())
        text = f"{{{', '.join(pairs)}}}"
    elif isinstance(value, list):
        text = f"[{','.join(map(_shown, value))}]"
    else:
        text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
