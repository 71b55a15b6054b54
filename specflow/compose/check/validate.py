"""A plain tree to an experiment; all faults at once, in the command line's words."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from specflow.compose.check.pydantic_errors import pydantic_diagnostic
from specflow.compose.check.section_rules import broken_rules
from specflow.compose.merge.default_sections import fold_defaults
from specflow.compose.provenance import Origins
from specflow.compose.pydantic_plugins import no_plugins
from specflow.compose.section_types import ROOT, follow
from specflow.config.experiment import ExperimentConfig
from specflow.diagnostics.errors import Diagnostic, nearest

__all__ = ["validate"]


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
    diagnostics = [
        pydantic_diagnostic(detail, folded, origins, groups) for detail in details
    ]
    diagnostics = _once(diagnostics)
    meant, fixed = _meant(details, folded)
    wrong = [follow(detail["loc"], folded)[0] for detail in details]
    more = [detail for detail in _details(meant) if _is_inside(detail, fixed)]
    wrong += [follow(detail["loc"], meant)[0] for detail in more]
    wrong = [path for path in wrong if path[:-1] not in fixed or path[-1] != "name"]
    more += broken_rules(meant, wrong, doubtful)
    told = {diagnostic.where for diagnostic in diagnostics}
    for diagnostic in (
        pydantic_diagnostic(detail, meant, origins, groups) for detail in more
    ):
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
        near = nearest(str(said), [*words, *slot.members()])
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
