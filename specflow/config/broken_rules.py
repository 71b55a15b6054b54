"""Rules between fields: reports every broken rule at its own field."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

__all__ = ["OF_RULES", "Broken", "refuse"]


class Broken(NamedTuple):
    """A broken rule between two fields, of which messages name both origins."""

    where: tuple[str, ...]
    value: Any
    expected: str
    beside: str = ""
    """The other field, of which `expected` speaks last: a dotted key, or `.name` for
    one of the same section."""
    hint: str = ""
    """What to do; `{where}` and `{beside}` stand for the keys."""


OF_RULES = Broken._fields[2:]
"""What an error says of a broken rule, beside its path and its value."""


def refuse(
    title: str, diagnostics: Iterable[Broken | tuple[tuple[str | int, ...], Any, str]]
) -> None:
    """Raises every broken rule of a section at once, each at its own field.

    Args:
        title: name of the section's class.
        diagnostics: (path of the field, its value, what was expected) of each broken
            rule; `Broken` where two fields together break it.

    Raises:
        ValidationError: there is a fault; inside a validator it joins the others.
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
