"""Fields of sections: their paths, meanings and defaults."""

import dataclasses
from collections.abc import Iterator
from typing import Any, get_origin

from pydantic.fields import FieldInfo

from specflow.compose.inspect.section_docs import about, fields_about
from specflow.compose.merge.default_sections import default_values
from specflow.compose.section_types import ROOT, Slot, fields_of
from specflow.config.base import Config
from specflow.runtime.plain_tree import ABSENT

__all__ = ["EXPERIMENT", "Place"]


@dataclasses.dataclass(frozen=True)
class Place:
    """Type, owner and key of a config path.

    >>> (place,) = (one for one in EXPERIMENT.inside("mesh"))
    >>> (axes,) = place.inside("axes")
    >>> axes.about, axes.default, [one.default for one in axes.inside("fsdp")]
    ('Number of devices along each axis.', {'data': -1}, [1])
    """

    slot: Slot
    owner: type[Config] | None = None
    """Section that has the field; None for an item of a mapping or a list."""
    key: str = ""
    around: "Place | None" = None
    """Place of the enclosing section, mapping or list."""

    @property
    def is_name(self) -> bool:
        """True if it is the `name` that selects the kind of its section."""
        around = self.around
        return self.key == "name" and around is not None and bool(around.slot.kinds)

    @property
    def about(self) -> str:
        """Meaning of the field, else of its section, or of the mapping around it."""
        if self.is_name:
            return "Kind of this section; its other fields depend on it."
        if self.owner is None:
            section = self.slot.section(None)
            outer = self.around.about if self.around else ""
            return about(section) if section else outer
        return fields_about(self.owner).get(self.key, "")

    @property
    def is_required(self) -> bool:
        """True if the field has no default."""
        return self._field is not None and self._field.is_required()

    @property
    def default(self) -> Any:
        """Default value, or the kind of the default section; `ABSENT` if required."""
        field = self._field
        if field is None or field.is_required():
            return ABSENT
        if field.default_factory is None:
            return field.default
        if get_origin(self.slot.annotation) is list:
            items = field.default_factory()  # type: ignore[call-arg]
            return [
                item.model_dump(exclude_defaults=True)
                if isinstance(item, Config)
                else item
                for item in items
            ]
        section = default_values(field.default_factory)
        return section.get("name", section)

    @property
    def sections(self) -> list[type[Config]]:
        """Sections that this place accepts."""
        if self.slot.kinds:
            return [*self.slot.members().values()]
        section = self.slot.section(None)
        return [section] if section else []

    def inside(self, key: str) -> Iterator["Place"]:
        """Yields the places of a key inside this one, one for each kind of section."""
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
        own = (
            field for name, field in fields.items() if self.key in (name, field.alias)
        )
        return next(own, None)


EXPERIMENT = Place(ROOT)
"""The whole experiment."""
