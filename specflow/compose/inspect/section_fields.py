"""Fields of the words: where they stand, what they are for, what stands by default."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from pydantic.fields import FieldInfo

from specflow.compose.inspect.section_docs import about, fields_about
from specflow.compose.merge.default_sections import default_values
from specflow.compose.section_types import ROOT, Slot, fields_of
from specflow.config.base import Config
from specflow.runtime.plain_tree import ABSENT

__all__ = ["EXPERIMENT", "Place"]


@dataclasses.dataclass(frozen=True)
class Place:
    """A place in the types to which a key leads.

    >>> (place,) = (one for one in EXPERIMENT.inside("mesh"))
    >>> (axes,) = place.inside("axes")
    >>> axes.about, axes.default, [one.default for one in axes.inside("fsdp")]
    ('Number of devices along each axis.', {'data': -1}, [1])
    """

    slot: Slot
    owner: type[Config] | None = None
    """The section whose field it is; none: it is an item of a mapping or a list."""
    key: str = ""
    around: "Place | None" = None
    """The section, the mapping or the list around it."""

    @property
    def is_name(self) -> bool:
        """Whether it says of which kind the section around it is."""
        around = self.around
        return self.key == "name" and around is not None and bool(around.slot.kinds)

    @property
    def about(self) -> str:
        """What the field means or, if it does not say, its section, or the mapping."""
        if self.is_name:
            return "Kind of this section; its other fields depend on it."
        if self.owner is None:
            section = self.slot.section(None)
            outer = self.around.about if self.around else ""
            return about(section) if section else outer
        return fields_about(self.owner).get(self.key, "")

    @property
    def is_required(self) -> bool:
        """Whether somebody must say something here."""
        return self._field is not None and self._field.is_required()

    @property
    def default(self) -> Any:
        """What stands when nobody says anything; of a section, its kind."""
        field = self._field
        if field is None or field.is_required():
            return ABSENT
        if field.default_factory is None:
            return field.default
        section = default_values(field.default_factory)
        return section.get("name", section)

    @property
    def sections(self) -> list[type[Config]]:
        """The sections that can stand here."""
        if self.slot.kinds:
            return [*self.slot.members().values()]
        section = self.slot.section(None)
        return [section] if section else []

    def inside(self, key: str) -> Iterator["Place"]:
        """The places to which a key below this one can lead, one a kind of section."""
        owners = self.sections
        for owner in owners or (None,):
            around = Slot(owner) if owner else self.slot
            known = owner is None or key in fields_of(owner)
            child = around.child(key, None) if known else None
            if child is not None:
                yield Place(child, owner, key, self)

    @property
    def _field(self) -> FieldInfo | None:
        fields = self.owner.model_fields if self.owner else {}
        found = (
            field for name, field in fields.items() if self.key in (name, field.alias)
        )
        return next(found, None)


EXPERIMENT = Place(ROOT)
"""The whole experiment."""
