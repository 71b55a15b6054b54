"""Rules between fields: reports every broken rule at its own field."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

__all__ = ["OF_RULES", "Broken", "refuse"]


class Broken(NamedTuple):
    """A broken rule between two fields, whose message names both origins."""

    where: tuple[str, ...]
    value: Any
    expected: str
    beside: str = ""
    """The other field, the last that `expected` mentions: a dotted key, or `.name` for
    a field of the same section."""
    hint: str = ""
    """Hint for the user; `{where}` and `{beside}` are replaced by the keys."""


OF_RULES = Broken._fields[2:]
"""Fields of a broken rule's error, beside its path and value."""


def refuse(
    title: str, diagnostics: Iterable[Broken | tuple[tuple[str | int, ...], Any, str]]
) -> None:
    """Raises all broken rules of a section at once, each at its own field.

    Args:
        title: name of the section's class.
        diagnostics: (path of the field, its value, expected value) of each broken rule;
            `Broken` for a rule between two fields.

    Raises:
        ValidationError: a rule is broken; inside a validator, Pydantic merges the
            errors.
    """
    errors = [
        InitErrorDetails(
            type=PydanticCustomError(
                "rule", "{expected}", dict(zip(OF_RULES, about, strict=False))
            ),
            loc=where,
            input=value,
        )
        for where, value, *about in diagnostics
    ]
    if errors:
        raise ValidationError.from_exception_data(title, errors)
