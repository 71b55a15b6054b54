"""Construction of sections in Python: all errors as one `ConfigError`."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from specflow.diagnostics.errors import (
    ConfigError,
    Diagnostic,
    config_error,
    did_you_mean,
    nearest,
)

__all__ = ["Constructed"]


class Constructed(type(BaseModel)):
    """Metaclass of config classes, which converts Pydantic's errors on construction.

    Nested sections and `model_validate` are not affected: there Pydantic merges the
    errors of all sections, each with its location.
    """

    def __call__(cls, *args: Any, **fields: Any) -> Any:
        """An instance of the class.

        Raises:
            ConfigError: a field is invalid; also a TypeError, if a field is unknown or
                missing.
        """
        try:
            return super().__call__(*args, **fields)
        except ValidationError as error:
            diagnostics = [
                _diagnostic(cls, fields, detail) for detail in error.errors()
            ]
        # A field of a union has an error for each of its types.
        once = {diagnostic.where: diagnostic for diagnostic in diagnostics}
        raise config_error(*once.values())


def _diagnostic(owner: Any, fields: Mapping[str, Any], detail: Any) -> Diagnostic:
    names = _path(fields, detail["loc"], detail["type"])
    where = ".".join([owner.__name__, *names])
    wrong = detail.get("ctx", {}).get("error")
    if isinstance(wrong, ConfigError):
        first = wrong.diagnostics[0]
        return Diagnostic(
            where, first.problem, first.expected, first.hint, code=first.code
        )
    if detail["type"] == "extra_forbidden":
        return _unknown(owner, where, names)
    if detail["type"] == "missing":
        return Diagnostic(where, "is missing", kind=TypeError, code="run-config")
    given = f"got {detail['input']!r:.60}"
    if detail["type"] == "rule":
        return Diagnostic(where, given, expected=detail["msg"], code="run-config")
    reason = detail["msg"].removeprefix("Value error, ")
    return Diagnostic(where, f"{given}: {reason}", code="run-config")


def _unknown(owner: Any, where: str, names: list[str]) -> Diagnostic:
    gone: Mapping[str, str] = getattr(owner, "gone", {})
    if names[-1] in gone:
        problem, hint = "is gone", gone[names[-1]]
    elif len(names) > 1:
        problem, hint = "no such field", ""
    else:
        known = owner.model_fields
        problem = "no such field"
        near = did_you_mean(nearest(names[0], known))
        hint = f"{near} There is {', '.join(known)}.".strip()
    return Diagnostic(where, problem, hint=hint, kind=TypeError, code="run-config")


def _path(value: Any, loc: tuple[int | str, ...], kind: str) -> list[str]:
    """Names on the path to a value, without Pydantic's names of union members."""
    names = []
    for place, part in enumerate(loc):
        is_last = place == len(loc) - 1
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(part, int) and isinstance(value, list | tuple):
            value = value[part]
        elif isinstance(part, str) and hasattr(value, part):
            value = getattr(value, part)
        elif not (is_last and kind in ("missing", "rule")):
            continue
        names.append(str(part))
    return names
