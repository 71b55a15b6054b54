"""Suppression of problems that may only follow from an earlier one."""

import dataclasses
import re
from collections.abc import Mapping

from specflow.compose.merge.config_merger import ConfigMerger
from specflow.compose.read.override_grammar import Request
from specflow.compose.section_types import Slot
from specflow.config.experiment import ExperimentConfig
from specflow.diagnostics.errors import Diagnostic

__all__ = ["Doubts", "without_unindented"]

Path = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Doubts:
    """Parts of an experiment that could not be read or found.

    >>> doubts = Doubts(frozenset({("mesh", "axes")}), unknown=frozenset({"model"}))
    >>> doubts.cover(Diagnostic("model.width", "no such field", code="unknown-key"))
    True
    >>> doubts.cover(Diagnostic("mesh.axes.data", "got 'x'", code="type"))
    False
    >>> doubts = Doubts(guessed=frozenset({"mine/model/cnn.yaml:3"}))
    >>> doubts.cover(Diagnostic("model.width", "...", origin="mine/model/cnn.yaml:3:1"))
    True
    """

    lost: frozenset[Path] = frozenset()
    """Paths whose values were lost in a file that is not valid YAML."""
    unknown: frozenset[str] = frozenset()
    """Sections whose kind is unknown."""
    deleted: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Deleted group -> the override that deleted it."""
    guessed: frozenset[str] = frozenset()
    """Lines of files, and overrides, that were read as their hints suggest."""

    @classmethod
    def of(cls, merger: ConfigMerger, request: Request) -> "Doubts":
        """Returns the doubts after all layers were merged."""
        keys = frozenset(ExperimentConfig.model_fields)
        unknown = {group.lstrip("/").split("/")[0] for group in merger.unknown_groups}
        # An experiment file may set any section.
        everything = bool(unknown - keys)
        return cls(
            lost=frozenset(merger.unreadable_paths) | ({()} if everything else set()),
            unknown=keys if everything else frozenset(unknown),
            deleted={
                override.key_or_group: f"override {override.input_line}"
                for override in request.choices
                if override.is_delete()
            },
            guessed=frozenset(merger.guessed_places)
            | {f"override {line}" for line in request.repaired},
        )

    @property
    def sections(self) -> frozenset[str]:
        """Sections that rules between sections must not read."""
        if () in self.lost:
            return frozenset(ExperimentConfig.model_fields)
        return self.unknown | {path[0] for path in self.lost}

    def cover(self, diagnostic: Diagnostic) -> bool:
        """Returns whether a problem may only follow from a value that was lost.

        Or from one that was guessed.
        """
        origin, path = diagnostic.origin, tuple(diagnostic.where.split("."))
        if origin in self.guessed or origin.rpartition(":")[0] in self.guessed:
            return True
        if path[0] in self.unknown and _has_kinds(path[0]):
            return True
        return diagnostic.code == "missing" and any(
            path[: len(lost)] == lost or lost[: len(path)] == path for lost in self.lost
        )

    def with_cause(self, diagnostic: Diagnostic) -> Diagnostic:
        """Adds to a missing section the deletion that removed it."""
        by = self.deleted.get(diagnostic.where.split(".")[0])
        if by is None or diagnostic.code != "missing":
            return diagnostic
        return dataclasses.replace(diagnostic, origin=by)


def _has_kinds(section: str) -> bool:
    field = ExperimentConfig.model_fields.get(section)
    return field is not None and Slot.of_field(field).kinds is not None


def without_unindented(diagnostics: list[Diagnostic]) -> list[Diagnostic]:
    """Reports keys that are not indented below their section once, not as null too."""
    null = {one.where: one for one in diagnostics if one.problem == "got null"}
    unindented: set[str] = set()
    reported = []
    for one in diagnostics:
        section = re.match(r"Did you mean (\w+)\.\w+\?", one.hint)
        above = null.get(section[1]) if section else None
        is_root = one.code == "unknown-key" and "." not in one.where
        if above and is_root and _follows(above.origin, one.origin):
            unindented.add(above.where)
            hint = f"{one.hint} Indent it, below {above.where}."
            one = dataclasses.replace(one, hint=hint)
        reported.append(one)
    return [one for one in reported if one.where not in unindented]


def _follows(above: str, below: str) -> bool:
    """Returns whether a place is further down in the same file."""
    first, second = (re.fullmatch(r"(.+):(\d+):\d+", it) for it in (above, below))
    return bool(
        first and second and first[1] == second[1] and int(first[2]) < int(second[2])
    )
