"""Triggers of periodic actions: a number of steps, a time, or both."""

import dataclasses
import re
from collections.abc import Sequence
from typing import Annotated, Any, TypeAlias

from pydantic import PlainValidator
from pydantic_core import PydanticCustomError

from specflow.config.base import Says

__all__ = ["Every", "EveryEither", "EveryLoop", "seconds_of", "steps_of"]

_SECONDS = {"s": 1, "m": 60, "h": 3600}
_TIME = re.compile(r"([1-9][0-9]*)([smh])")


_Trigger: TypeAlias = int | str | Sequence[int | str]


def seconds_of(trigger: _Trigger) -> int | None:
    """Seconds of a trigger that is a time, or a list with one; None for steps.

    >>> seconds_of("10m"), seconds_of(500), seconds_of([500, "10m"])
    (600, None, 600)
    """
    if isinstance(trigger, Sequence) and not isinstance(trigger, str):
        return next(filter(None, map(seconds_of, trigger)), None)
    match = _TIME.fullmatch(str(trigger))
    return int(match[1]) * _SECONDS[match[2]] if match else None


def steps_of(trigger: _Trigger) -> int | None:
    """Steps of a trigger that is a number of steps, or a list with one.

    >>> steps_of("10m"), steps_of(500), steps_of(["10m", 500])
    (None, 500, 500)
    """
    if isinstance(trigger, Sequence) and not isinstance(trigger, str):
        return next(filter(None, map(steps_of, trigger)), None)
    return None if isinstance(trigger, str) else trigger


def _says(least: int) -> Says:
    noun_phrase = f"a whole number >= {least}, or a time such as 30s, 10m, 2h"
    return Says(noun_phrase, f"^{_TIME.pattern}$", minimum=least)


def _is_steps(value: Any, least: int) -> bool:
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return is_whole and value >= least


def _is_time(value: Any) -> bool:
    return isinstance(value, str) and _TIME.fullmatch(value) is not None


def _validator(least: int) -> PlainValidator:
    expected = _says(least).words

    def check(value: Any) -> int | str:
        if _is_steps(value, least) or _is_time(value):
            return value
        raise PydanticCustomError("rule", "{expected}", {"expected": expected})

    return PlainValidator(check)


def _check_either(value: Any) -> int | str | list[int | str]:
    if _is_steps(value, 0) or _is_time(value):
        return value
    if isinstance(value, list | tuple) and len(value) == 2:
        steps, time = sorted(value, key=lambda item: isinstance(item, str))
        if _is_steps(steps, 1) and _is_time(time):
            return [*value]
    expected = _EITHER.words
    raise PydanticCustomError("rule", "{expected}", {"expected": expected})


_EITHER = dataclasses.replace(
    _says(0),
    words="a whole number >= 0, a time such as 30s, 10m, 2h, or both in a list, such "
    "as [500, 10m]",
    alternatives=(
        {
            "type": "array",
            "minItems": 2,
            "maxItems": 2,
            "items": {"type": ["integer", "string"]},
        },
    ),
)


Every = Annotated[int | str, _validator(0), _says(0)]
"""Steps between two actions, 0 for none before the end; or a time such as `30s`, `10m`,
`2h`, which is checked between device loops."""

EveryLoop = Annotated[int | str, _validator(1), _says(1)]
"""At least one step, or a time from which the number of steps is estimated."""

EveryEither = Annotated[
    int | str | list[int | str], PlainValidator(_check_either), _EITHER
]
"""Steps or a time, as `Every`; or a list of both, such as `[500, 10m]`: due at
whichever comes first."""
