"""What cannot be judged because of another fault: nobody is accused of it as well."""

import dataclasses
from collections.abc import Mapping

from specflow.compose.merge.layers import Layers
from specflow.compose.read.override_grammar import Request
from specflow.compose.section_types import Slot
from specflow.config.experiment import ExperimentConfig
from specflow.diagnostics.errors import Diagnostic

__all__ = ["Doubts"]

Path = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Doubts:
    """What was to be said, and was not, because it could not be read or found.

    >>> doubts = Doubts(frozenset({("mesh", "axes")}), unknown=frozenset({"model"}))
    >>> doubts.cover(Diagnostic("model.width", "no such field", code="unknown-key"))
    True
    >>> doubts.cover(Diagnostic("mesh.axes.data", "got 'x'", code="type"))
    False
    """

    lost: frozenset[Path] = frozenset()
    """Paths of which a file could not say what it wanted to."""
    unknown: frozenset[str] = frozenset()
    """Words of which nobody knows the kind."""
    deleted: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Group that was taken away -> the override that did."""

    @classmethod
    def of(cls, layers: Layers, request: Request) -> "Doubts":
        """The doubts that are left when all layers are laid."""
        words = frozenset(ExperimentConfig.model_fields)
        unknown = {group.lstrip("/").split("/")[0] for group in layers.unknown}
        # What a whole experiment says can be of any word.
        everything = bool(unknown - words)
        return cls(
            lost=frozenset(layers.lost) | ({()} if everything else set()),
            unknown=words if everything else frozenset(unknown),
            deleted={
                one.key_or_group: f"override {one.input_line}"
                for one in request.choices
                if one.is_delete()
            },
        )

    @property
    def words(self) -> frozenset[str]:
        """The words that rules between words must leave alone."""
        if () in self.lost:
            return frozenset(ExperimentConfig.model_fields)
        return self.unknown | {path[0] for path in self.lost}

    def cover(self, diagnostic: Diagnostic) -> bool:
        """Whether a fault may come of what was lost, and be none."""
        path = tuple(diagnostic.where.split("."))
        if path[0] in self.unknown and _has_kinds(path[0]):
            return True
        return diagnostic.code == "missing" and any(
            path[: len(lost)] == lost or lost[: len(path)] == path for lost in self.lost
        )

    def told_by(self, diagnostic: Diagnostic) -> Diagnostic:
        """The same fault; of what is missing, the deletion tells why."""
        by = self.deleted.get(diagnostic.where.split(".")[0])
        if by is None or diagnostic.code != "missing":
            return diagnostic
        return dataclasses.replace(diagnostic, origin=by)


def _has_kinds(word: str) -> bool:
    field = ExperimentConfig.model_fields.get(word)
    return field is not None and Slot.of_field(field).kinds is not None
