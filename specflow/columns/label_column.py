"""A column of labels: classes by name, integers, or numbers with their scaling."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, Self

__all__ = ["LabelColumn"]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class LabelColumn:
    """Fitted labels.

    Labels of numbers stay in their units. The scaling is that of the outputs of a
    model: a prediction of the kind `rescale` maps them to the units of the labels.
    """

    kind: Literal["class", "integer", "number"]
    classes: tuple[str, ...] = ()
    """Names of the classes, in the order of their indices. Of integers: the values of
    the training split, if they are few."""
    counts: tuple[int, ...] = ()
    """Number of training rows of each class."""
    transform: Literal["log", "log1p"] | None = None
    offset: float = 0.0
    """Of transformed labels: the outputs of a model are (label - offset) / divisor."""
    divisor: float = 1.0

    @property
    def is_class(self) -> bool:
        """The labels are indices of classes, 0 and up, without a gap."""
        indices = tuple(map(str, range(len(self.classes))))
        return self.kind == "class" or (bool(indices) and self.classes == indices)

    @property
    def is_flag(self) -> bool:
        """The labels are 0 and 1: of booleans, or of such integers."""
        texts = tuple(name.lower() for name in self.classes)
        return self.is_class and texts in (("false", "true"), ("0", "1"))

    @property
    def names(self) -> tuple[str, ...] | None:
        """Names of classes; None if there are none."""
        return self.classes if self.kind == "class" else None

    def to_json(self) -> dict[str, Any]:
        """The column as plain values."""
        return {
            **dataclasses.asdict(self),
            "classes": list(self.classes),
            "counts": list(self.counts),
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """The column of the result of `to_json`, also of an earlier version."""
        fields = {**plain, "classes": tuple(plain["classes"])}
        return cls(**{**fields, "counts": tuple(plain.get("counts", ()))})

    def __str__(self) -> str:
        if self.kind == "class":
            return ", ".join(self.classes)
        parts = [
            self.transform or "",
            ""
            if (self.offset, self.divisor) == (0.0, 1.0)
            else f"(y - {self.offset:.6g}) / {self.divisor:.6g}",
        ]
        return ", ".join(filter(None, parts)) or "as it is"
