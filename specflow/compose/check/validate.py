"""Validation of a plain tree as an experiment, with all problems at once."""

import dataclasses
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import islice
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from specflow.compose.check.meant_sections import meant_sections, with_value
from specflow.compose.check.pydantic_errors import pydantic_diagnostic, shown
from specflow.compose.check.section_rules import broken_rules
from specflow.compose.check.value_hints import declared_tensors, meant_value
from specflow.compose.merge.default_sections import fold_defaults
from specflow.compose.provenance import Origins
from specflow.compose.pydantic_plugins import no_plugins
from specflow.compose.section_types import ROOT, follow
from specflow.config.experiment import ExperimentConfig
from specflow.config.key_path import ROOTS
from specflow.diagnostics.errors import (
    MOST_SHOWN,
    Diagnostic,
    did_you_mean,
    first_of,
    nearest,
)
from specflow.runtime.plain_tree import ABSENT

__all__ = ["validate"]

_OF_VALUES = ("range", "type", "unknown-name", "rule")
_MOST_HINTS = 20
"""Number of diagnostics for which a value is looked for: every try validates again."""


def validate(
    tree: dict[str, Any],
    origins: Origins,
    *,
    groups: Callable[[], Iterable[str]] = tuple,
    doubtful: Collection[str] = (),
    reported: Collection[str] = (),
) -> tuple[ExperimentConfig | None, list[Diagnostic]]:
    """Validates a composed tree.

    Args:
        tree: plain values, as composed.
        origins: origins of its values.
        groups: returns the names of config groups, which unknown keys at the root may
            mean.
        doubtful: sections that may be incomplete because of earlier problems; rules
            between sections do not read them.
        reported: keys with a problem already: nothing is reported at or below them.

    Returns:
        The experiment, or None with every problem.

    >>> config, diagnostics = validate({"seed": -1, "sede": 2}, Origins())
    >>> for diagnostic in diagnostics: print(diagnostic)
    seed: got -1. Expected a whole number >= 0.
    spec: is missing. Expected a section with a name (declared, model_fn, table).
    data: is missing. Expected a section with a name (array_record, breast_cancer,
    diabetes, digits, huggingface, images, mixture, npy, npz, table, text, tfds,
    tfrecord, wine) or a _target_.
    sede: no such field. Did you mean seed? Fields of an experiment: data, loop, mesh,
    model, name, optimizer, output, seed, spec, sweep, warm_start.
    """
    folded = fold_defaults(tree, ROOT)
    with no_plugins():
        try:
            return ExperimentConfig.model_validate(folded), []
        except ValidationError as error:
            details = error.errors(include_url=False)
        if reported:
            details = [
                detail
                for detail in details
                if not is_below(follow(detail["loc"], folded)[0], reported)
            ]
        diagnostics = _problems(folded, details, origins, [*groups()], doubtful)
        return None, [
            diagnostic
            for diagnostic in diagnostics
            if not is_below(diagnostic.where.split("."), reported)
        ]


def is_below(path: Sequence[str], keys: Collection[str]) -> bool:
    """Returns whether a path, or a section around it, is among dotted keys.

    >>> is_below(("model", "hidden", "0"), {"model.hidden"}), is_below(("seed",), {"s"})
    (True, False)
    """
    return any(".".join(path[:length]) in keys for length in range(1, len(path) + 1))


def _problems(
    folded: dict[str, Any],
    details: list[ErrorDetails],
    origins: Origins,
    groups: Iterable[str],
    doubtful: Collection[str],
) -> list[Diagnostic]:
    """Returns all problems of a tree, also those that Pydantic's errors hide."""
    if doubtful:
        broken = {tuple(rule["loc"]) for rule in broken_rules(folded, (), ())}
        details = [detail for detail in details if detail["loc"] not in broken]
    details, count = details[:MOST_SHOWN], len(details)
    diagnostics = [
        pydantic_diagnostic(detail, folded, origins, groups) for detail in details
    ]
    # Every try validates again, which a tree with thousands of errors does not bear.
    tries = _MOST_HINTS if count == len(details) else 0
    diagnostics = [
        _with_meant_value(diagnostic, folded, origins) if place < tries else diagnostic
        for place, diagnostic in enumerate(_without_repeats(diagnostics))
    ]
    sections = meant_sections(details, folded)
    meant, fixed = sections.tree, sections.fixed
    diagnostics = [one for one in diagnostics if not sections.explain(one)]
    wrong = [follow(detail["loc"], folded)[0] for detail in details]
    again = _details(meant) if fixed else []
    more = [*islice((it for it in again if _is_inside(it, fixed)), MOST_SHOWN)]
    wrong += [follow(detail["loc"], meant)[0] for detail in more]
    wrong = [
        path
        for path in wrong
        if path not in fixed and (path[:-1] not in fixed or path[-1] != "name")
    ]
    more += broken_rules(meant, wrong, doubtful)
    as_meant = sections.origins(origins)
    inside = [pydantic_diagnostic(detail, meant, as_meant, groups) for detail in more]
    # A key that no kind has: the fields to choose from are those of the one meant.
    unknown = {one.where for one in inside if one.code == "unknown-key"}
    diagnostics = [
        one
        for one in diagnostics
        if one.code != "unknown-key" or one.where not in unknown
    ]
    reported = {diagnostic.where for diagnostic in diagnostics}
    for diagnostic in inside:
        if diagnostic.where not in reported:
            if len(diagnostics) < tries:
                diagnostic = _with_meant_value(diagnostic, meant, as_meant)
            diagnostics.append(diagnostic)
            reported.add(diagnostic.where)
    if count > len(details):
        rest = Diagnostic("", "", code="more-errors", more=count - len(details))
        diagnostics = [*first_of([*diagnostics, rest])]
    return diagnostics


def _with_meant_value(
    diagnostic: Diagnostic, tree: dict[str, Any], origins: Origins
) -> Diagnostic:
    """Adds to a wrong value the one that was meant, if that one is valid."""
    diagnostic, text = _list_of_one_text(diagnostic, tree, origins)
    path = tuple(diagnostic.where.split("."))
    is_name = diagnostic.code == "unknown-name" and path[-1] == "name"
    of_value = diagnostic.code in _OF_VALUES and not is_name
    if not of_value or "Did you mean" in diagnostic.hint:
        return diagnostic
    try:
        value = _get(tree, path)
    except (LookupError, TypeError, ValueError):
        return diagnostic

    def is_valid(other: Any) -> bool:
        details = _details(with_value(tree, path, other))
        paths = (follow(detail["loc"], tree)[0] for detail in details)
        return not any(found[: len(path)] == path for found in paths)

    tensors = declared_tensors(tree)
    is_name = str(value).isidentifier() and nearest(str(value), ROOTS) is None
    if path[:2] == ("spec", "inputs") and is_name:
        tensors = [*{*tensors, f"features.{value}"}]
    meant = meant_value(text or value, is_valid, tensors)
    # A list only escapes the rule where any type is accepted: it was not meant.
    if meant is ABSENT or (diagnostic.code == "rule" and meant == [value]):
        return diagnostic
    written = meant if isinstance(meant, str) else shown(meant)
    hint = f"{did_you_mean(written)} {diagnostic.hint}".strip()
    if re.fullmatch(rf"\s*{re.escape(written)}\s*%\s*", str(value)):
        percent = f"{float(written) / 100:g}"
        hint += f" A fraction has no unit; {written} percent is {percent}."
    return dataclasses.replace(diagnostic, hint=hint)


def _list_of_one_text(
    diagnostic: Diagnostic, tree: dict[str, Any], origins: Origins
) -> tuple[Diagnostic, str]:
    """Returns the report of the list, if it has no commas, and the list as text."""
    where, _, place = diagnostic.where.rpartition(".")
    try:
        items = _get(tree, where.split(".")) if place == "0" else None
    except (LookupError, TypeError, ValueError):
        return diagnostic, ""
    match items:
        case [str(text)] if re.fullmatch(r"[-+\d.e]+(\s+[-+\d.e]+)+", text):
            problem = f"got {shown(items)}, a list of one text"
            found = origins.nearest(tuple(where.split(".")))
            origin = found.exact if found else ""
            changes = {"where": where, "problem": problem, "origin": origin}
            return dataclasses.replace(diagnostic, **changes), f"[{text}]"
    return diagnostic, ""


def _get(tree: Any, path: Sequence[str]) -> Any:
    for key in path:
        tree = tree[int(key)] if isinstance(tree, list) else tree[key]
    return tree


def _without_repeats(diagnostics: Collection[Diagnostic]) -> list[Diagnostic]:
    """Drops the errors that Pydantic repeats for each type that a value may have."""
    seen: dict[tuple[str, ...], Diagnostic] = {}
    paths = [diagnostic.where.split(".") for diagnostic in diagnostics]
    above = {".".join(path[:at]) for path in paths for at in range(1, len(path))}
    pairs = {it.where for it in diagnostics if it.problem.startswith("got the name")}
    for diagnostic in diagnostics:
        if diagnostic.code == "type" and diagnostic.where in above:
            continue  # For one of the types, only a part of the value is wrong.
        if diagnostic.problem == "got null" and diagnostic.where in pairs:
            continue  # The value is in the name: `{x=features.image}`.
        of_value = diagnostic.code in ("range", "type", "unknown-name")
        message = (
            diagnostic.expected
            if of_value
            else f"{diagnostic.problem} {diagnostic.code}"
        )
        seen.setdefault((diagnostic.where, message), diagnostic)
    return [*seen.values()]


def _details(tree: dict[str, Any]) -> list[ErrorDetails]:
    try:
        ExperimentConfig.model_validate(tree)
    except ValidationError as error:
        return error.errors(include_url=False)
    return []


def _is_inside(detail: ErrorDetails, sections: Collection[tuple[str, ...]]) -> bool:
    location = tuple(map(str, detail["loc"]))
    return any(location[: len(path)] == path for path in sections)
