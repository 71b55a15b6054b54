"""Triggers of periodic actions: a number of steps, or a time."""

import re
from typing import Annotated, Any

from pydantic import PlainValidator
from pydantic_core import PydanticCustomError

from specflow.config.base import Says

__all__ = ["Every", "EveryLoop", "seconds_of", "steps_of"]

_SECONDS = {"s": 1, "m": 60, "h": 3600}
_TIME = re.compile(r"([1-9][0-9]*)([smh])")


def seconds_of(trigger: int | str) -> int | None:
    """Seconds of a trigger that is a time; None for a number of steps.

    >>> seconds_of("10m"), seconds_of(500)
    (600, None)
    """
    match = _TIME.fullmatch(str(trigger))
    return int(match[1]) * _SECONDS[match[2]] if match else None


def steps_of(trigger: int | str) -> int | None:
    """Steps of a trigger that is a number of steps; None for a time.

    >>> steps_of("10m"), steps_of(500)
    (None, 500)
    """
    return None if isinstance(trigger, str) else trigger


def _says(least: int) -> Says:
    noun_phrase = f"a whole number >= {least}, or a time such as 30s, 10m, 2h"
    return Says(noun_phrase, f"^{_TIME.pattern}$", minimum=least)


def _validator(least: int) -> PlainValidator:
    expected = _says(least).words

    def check(value: Any) -> int | str:
        steps = isinstance(value, int) and not isinstance(value, bool)
        if steps and value >= least:
            return value
        if isinstance(value, str) and _TIME.fullmatch(value):
            return value
        raise PydanticCustomError("rule", "{expected}", {"expected": expected})

    return PlainValidator(check)


Every = Annotated[int | str, _validator(0), _says(0)]
"""Steps between two actions, 0 for none before the end; or a time such as `30s`, `10m`,
`2h`, which is checked between device loops."""

EveryLoop = Annotated[int | str, _validator(1), _says(1)]
"""At least one step, or a time from which the number of steps is estimated."""
