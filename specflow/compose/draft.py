"""Experiments composed and validated, with no target resolved."""

import dataclasses
import re
from collections.abc import Iterable, Sequence
from typing import Any

from specflow.compose.check.meant_sections import with_value
from specflow.compose.check.pydantic_errors import no_section
from specflow.compose.check.suppressed import Doubts, without_unindented
from specflow.compose.check.validate import validate
from specflow.compose.interpolation_hints import with_interpolation_hint
from specflow.compose.merge.config_merger import ConfigMerger
from specflow.compose.merged_files import merged_files
from specflow.compose.provenance import Origin
from specflow.compose.read.config_folders import Folders
from specflow.compose.read.defaults_places import chosen_by
from specflow.compose.read.override_grammar import Request, format_value, read
from specflow.compose.rerun import since
from specflow.compose.section_types import fields_of, follow
from specflow.config.experiment import ExperimentConfig
from specflow.diagnostics.errors import ConfigError, Diagnostic, did_you_mean

__all__ = ["Draft", "draft"]

_GUESSED = ("defaults", "unknown-choice", "yaml")


@dataclasses.dataclass(frozen=True)
class Draft:
    """Result of composing a command's overrides, valid or not."""

    request: Request
    merger: ConfigMerger
    choices: dict[str, str]
    """Config group -> its choice; an added group has the prefix `+`."""
    tree: dict[Any, Any]
    """Plain values, with interpolations resolved and without defaults."""
    config: ExperimentConfig | None
    """The experiment, with targets not bound; None if it is invalid."""
    diagnostics: list[Diagnostic]
    """All problems except those of targets, which are not checked."""
    guessed: tuple[Diagnostic, ...] = ()
    """Those after which a substitute was used: the nearest choice, or a file without
    its invalid blocks."""

    def chosen_by(self, group: str) -> Origin:
        """Returns the origin of the choice in a group."""
        for override in reversed(self.request.choices):
            if override.get_key_element().lstrip("+") == group.lstrip("+"):
                return Origin.override(str(override.input_line))
        by = chosen_by(group, self.choices[group], self.merger.defaults_entries)
        return by or Origin("default")


def draft(
    lines: Iterable[str], folders: Folders, *, merger: ConfigMerger | None = None
) -> Draft:
    """Composes and validates overrides; imports nothing that they name.

    Args:
        lines: overrides, as on the command line.
        folders: config folders.
        merger: merges into this one; an empty one by default.

    Raises:
        ConfigError: nothing can be validated: a file is missing, or cannot be read.

    >>> from specflow.compose.read.config_folders import folders
    >>> result = draft(["mesh=fsdp", "seed=-1"], folders())
    >>> result.tree["mesh"]["axes"], str(result.chosen_by("mesh"))
    ({'data': 1, 'fsdp': -1}, 'override mesh=fsdp')
    >>> print(*result.diagnostics)
    seed: got -1 (override seed=-1). Expected a whole number >= 0.
    """
    lines = [*lines]
    request, diagnostics = read(lines, folders)
    diagnostics += _sweep_diagnostics(request)
    request = request.singles()
    try:
        merger, choices = merged_files(request, folders, merger)
    except ConfigError as error:
        raise ConfigError(*diagnostics, *error.diagnostics) from None
    merger.unknown_groups |= request.unknown
    merger.apply_overrides(request.values)
    emptied = [
        no_section(key, one.by, one.origin.exact)
        for key, one in merger.restore_emptied()
    ]
    tree = merger.resolve()
    diagnostics += [with_interpolation_hint(one, tree) for one in merger.diagnostics]
    diagnostics += emptied
    reported = {
        diagnostic.where
        for diagnostic in merger.diagnostics
        if diagnostic.where and diagnostic.code not in _GUESSED
    }
    guessed = tuple(
        diagnostic for diagnostic in diagnostics if diagnostic.code in _GUESSED
    )
    doubts = Doubts.of(merger, request)
    unknown = {
        one.where
        for one in merger.diagnostics
        if one.code == "missing" and not _is_field(one.where.split("."), tree)
    }
    for where in unknown:
        tree = with_value(tree, tuple(where.split(".")), None)
    diagnostics = [one for one in diagnostics if one.where not in unknown]
    config, invalid = validate(
        tree,
        merger.origins,
        groups=folders.groups,
        doubtful=doubts.sections,
        reported=reported - unknown,
    )
    diagnostics += [
        doubts.with_cause(diagnostic)
        for diagnostic in invalid
        if not doubts.cover(diagnostic)
    ]
    diagnostics = without_unindented(diagnostics)
    diagnostics += _of_replaced(lines, request, folders, diagnostics)
    if request.run is not None:
        line = f"run={format_value(request.run)}"
        diagnostics = since(
            diagnostics, request.run, lambda: _diagnostics_of(line, folders)
        )
    return Draft(request, merger, choices, tree, config, diagnostics, guessed)


def _is_field(path: Sequence[str], tree: dict[Any, Any]) -> bool:
    """Returns whether a path may be a field; true below what has any keys."""
    section = follow(path, tree)[2]
    return section is None or path[-1] in fields_of(section)


def _of_replaced(
    lines: list[str], request: Request, folders: Folders, known: list[Diagnostic]
) -> list[Diagnostic]:
    """Returns the problems of overrides whose key a later, wrong override sets again.

    Correcting, or removing, the later one would reveal them.

    Args:
        lines: overrides, as on the command line.
        request: the same, parsed.
        folders: config folders.
        known: problems with all overrides.
    """
    by_key: dict[str, list[str]] = {}
    for override in request.values:
        by_key.setdefault(override.key_or_group, []).append(str(override.input_line))
    wrong = {diagnostic.origin for diagnostic in known}
    found: list[Diagnostic] = []
    for *earlier, last in by_key.values():
        if earlier and f"override {last}" in wrong:
            origins = {f"override {line}" for line in earlier} - wrong
            rest = [line for line in lines if line != last]
            found += [
                diagnostic
                for diagnostic in draft(rest, folders).diagnostics
                if diagnostic.origin in origins
            ]
    return found


def _diagnostics_of(run: str, folders: Folders) -> list[Diagnostic]:
    """Returns the problems of a run's config, without the overrides of a command."""
    request, _ = read([run], folders)
    merger, _ = merged_files(request, folders)
    _, diagnostics = validate(merger.resolve(), merger.origins, groups=folders.groups)
    return [*merger.diagnostics, *diagnostics]


def _sweep_diagnostics(request: Request) -> list[Diagnostic]:
    return [
        Diagnostic(
            override.key_or_group,
            "names several values",
            expected="one value, or -m to run them all",
            hint=_decimal_point(override.input_line or "")
            or f"A list is written {override.key_or_group}=[a,b].",
            origin=f"override {override.input_line}",
            code="sweep",
        )
        for override in (*request.choices, *request.values)
        if override.is_sweep_override()
    ]


def _decimal_point(line: str) -> str:
    """Returns the hint for a number with a decimal comma, `lr=0,001`."""
    key, _, value = line.partition("=")
    is_decimal = re.fullmatch(r"-?0,\d+", value)
    return did_you_mean(f"{key}={value.replace(',', '.')}" if is_decimal else None)
