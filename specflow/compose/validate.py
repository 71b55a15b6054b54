"""A plain tree to an experiment; all faults at once, in the command line's words."""

import contextlib
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from types import SimpleNamespace
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from specflow.compose.provenance import Origins
from specflow.compose.schema import ROOT, Slot, fields_of, follow, in_words, label
from specflow.config.base import TARGET, Config
from specflow.config.experiment import SPANNING_RULES, ExperimentConfig
from specflow.errors import Fault, nearest

__all__ = ["fold_defaults", "said", "validate"]

_COMMAND_LINE_ONLY = {
    "trust": "trust=my_package is taken from the command line only: a file that came "
    "from elsewhere must not say what may run.",
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
    tree: dict[str, Any], origins: Origins, *, groups: Iterable[str] = ()
) -> tuple[ExperimentConfig | None, list[Fault]]:
    """Validates a composed tree.

    Args:
        tree: plain values, as composed.
        origins: who set them.
        groups: names of config groups, for the near misses of keys at the root.

    Returns:
        The experiment, or none and every fault.

    >>> config, faults = validate({"seed": -1, "sede": 2}, Origins())
    >>> for fault in faults: print(fault)
    seed: got -1. Expected a whole number >= 0.
    spec: is missing. Expected a section with a name (declared, model_fn).
    data: is missing. Expected a section with a name (breast_cancer, diabetes, digits,
    npz, text, wine) or a _target_.
    sede: no such field. Did you mean seed? Fields of an experiment: data, loop, mesh,
    model, name, optimizer, output, seed, spec.
    """
    with _no_plugins():
        return _validate(tree, origins, groups)


@contextlib.contextmanager
def _no_plugins() -> Iterator[None]:
    """Spares the search for Pydantic plugins through everything that is installed.

    It takes as long as the whole validation, and they have nothing to do with the
    configuration. Models of the user's own, built later, get their plugins as ever.
    """
    name = "PYDANTIC_DISABLE_PLUGINS"
    before = os.environ.get(name)
    os.environ[name] = "__all__"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _validate(
    tree: dict[str, Any], origins: Origins, groups: Iterable[str]
) -> tuple[ExperimentConfig | None, list[Fault]]:
    folded = fold_defaults(tree, ROOT)
    try:
        return ExperimentConfig.model_validate(folded), []
    except ValidationError as error:
        details = error.errors(include_url=False)
    faults = [_fault(detail, folded, origins, groups) for detail in details]
    told = {fault.where for fault in faults}
    spanning = [
        _fault(detail, folded, origins, groups)
        for detail in _spanning_details(folded, {key.split(".")[0] for key in told})
    ]
    return None, faults + [fault for fault in spanning if fault.where not in told]


def _spanning_details(
    tree: Mapping[str, Any], faulty: Collection[str]
) -> Iterator[ErrorDetails]:
    """The broken rules between words that are sound, whatever the other words are.

    Pydantic comes to these rules only when every word is sound.
    """
    words = {}
    for word, field in ExperimentConfig.model_fields.items():
        slot = Slot.of_field(field)
        if word in tree and word not in faulty:
            kind: Any = slot.annotation
            if slot.metadata:
                kind = Annotated[kind, *slot.metadata]
            words[word] = TypeAdapter(kind).validate_python(tree[word])
        elif word not in tree and not field.is_required():
            words[word] = field.get_default(call_default_factory=True)
    sound: Any = SimpleNamespace(**words)
    for rule in SPANNING_RULES:
        try:
            broken = list(rule(sound))
        except AttributeError:
            continue  # It speaks of a word that is faulty itself.
        for path, value, expected in broken:
            context = {"expected": expected}
            yield ErrorDetails(
                type="rule", loc=path, msg=expected, input=value, ctx=context
            )


def fold_defaults(tree: Any, slot: Slot) -> Any:
    """Lays partial sections over the defaults of their fields.

    `optimizer.schedule.warmup_steps=10` alone means the schedule that stands by
    default, so its name need not be given as well.
    """
    if not isinstance(tree, dict):
        return tree
    if slot.default is not None and not any(mark in tree for mark in ("name", TARGET)):
        tree = {**said(slot.default), **tree}
    folded = {}
    for key, value in tree.items():
        inner = slot.child(key, tree) if isinstance(key, str) else None
        folded[key] = value if inner is None else fold_defaults(value, inner)
    return folded


def said(default: Callable[..., Any]) -> dict[str, Any]:
    """What a section that stands by default says, its name included.

    >>> from specflow.config.mesh import MeshConfig
    >>> axes = MeshConfig.model_fields["axes"].default_factory
    >>> said(axes), said(ExperimentConfig.model_fields["model"].default_factory)
    ({'data': -1}, {'name': 'mlp'})
    """
    section, said = default, {}
    if isinstance(default, partial):
        section, said = default.func, default.keywords
    name = getattr(section, "model_fields", {}).get("name")
    return {**({} if name is None else {"name": name.default}), **said}


def _fault(
    detail: ErrorDetails, tree: dict[str, Any], origins: Origins, groups: Iterable[str]
) -> Fault:
    """One of Pydantic's errors as a fault."""
    path, slot, around, _ = follow(detail["loc"], tree)
    kind, value = detail["type"], detail["input"]
    where = ".".join(path)
    found = origins.nearest(path)
    origin = found.exact if found else ""
    if kind == "extra_forbidden":
        return _unknown_key(path, around, groups, origin)
    if kind in ("union_tag_invalid", "union_tag_not_found") and slot is not None:
        return _unknown_name(path, slot, value, origins)
    code = _CODES.get(
        kind, "range" if kind.startswith(("less_", "greater_")) else "type"
    )
    if detail["loc"][-1:] == ("[key]",):
        pattern = detail.get("ctx", {}).get("pattern", "")
        expected = f"a name that matches {pattern}"
        return Fault(where, f"got the name {_shown(value)}", expected, "", origin, code)
    if kind == "missing":
        expected = in_words(slot) if slot else ""
        return Fault(where, "is missing", expected, origin=origin, code=code)
    if kind == "rule":
        expected = str(detail.get("ctx", {}).get("expected", ""))
        near = _near_in(expected, value)
        return Fault(where, f"got {_shown(value)}", expected, near, origin, code)
    if kind == "value_error":
        reason = detail["msg"].removeprefix("Value error, ").rstrip(".")
        said = (
            reason
            if isinstance(value, dict | Config)
            else f"got {_shown(value)}; {reason}"
        )
        return Fault(where, said, origin=origin, code=code)
    expected = in_words(slot) if slot else detail["msg"]
    near = _near_in(expected, value) if kind == "literal_error" else ""
    return Fault(where, f"got {_shown(value)}", expected, near, origin, code)


def _unknown_key(
    path: tuple[str, ...],
    around: type[Config] | None,
    groups: Iterable[str],
    origin: str,
) -> Fault:
    *section, name = path
    known = fields_of(around) if around else []
    if not section and name in _COMMAND_LINE_ONLY:
        return Fault(
            name, "no such field", "", _COMMAND_LINE_ONLY[name], origin, "reserved"
        )
    near = nearest(name, [*known, *(groups if not section else ())])
    if near and section:
        near = near.replace("mean ", f"mean {'.'.join(section)}.")
    listed = f"Fields of {label(around)}: {', '.join(known)}." if around else ""
    mend = f"{near} {listed}".strip()
    return Fault(".".join(path), "no such field", "", mend, origin, "unknown-key")


def _unknown_name(
    path: tuple[str, ...], slot: Slot, value: Any, origins: Origins
) -> Fault:
    """A section that does not say which of its kind it is, or says a wrong one."""
    names = sorted(name for name in slot.members() if name != TARGET)
    name = value.get("name") if isinstance(value, Mapping) else None
    if name is None:
        section = isinstance(value, Mapping)
        # Whoever set a part of the section, not who left it out before.
        found = origins.nearest((*path, *list(value)[:1]) if section else path)
        problem = "has no name" if section else f"got {_shown(value)}"
        origin = found.exact if found else ""
        return Fault(
            ".".join(path), problem, in_words(slot), origin=origin, code="missing"
        )
    found = origins.nearest((*path, "name"))
    return Fault(
        ".".join((*path, "name")),
        f"got {_shown(name)}",
        f"one of {', '.join(names)}",
        nearest(str(name), names),
        found.exact if found else "",
        "unknown-name",
    )


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
