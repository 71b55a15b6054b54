"""Lists of paths and of names, of which one may be written without brackets."""

from typing import Annotated

from pydantic import BeforeValidator

from specflow.config.base import Says, UserPath

__all__ = ["Names", "Paths"]


def _list_of(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _or_one(words: str) -> Says:
    """Describes a list of texts; one text is a list of one."""
    listed = {"type": "array", "items": {"type": "string"}}
    return Says(words, "", alternatives=(listed,))


Paths = Annotated[
    list[UserPath], BeforeValidator(_list_of), _or_one("a path or a list of paths")
]
Names = Annotated[
    list[str], BeforeValidator(_list_of), _or_one("a name or a list of names")
]
