"""Triggers of periodic actions: steps, epochs, a time, or one of these and a time."""

import dataclasses
import re
from collections.abc import Sequence
from typing import Annotated, Any, TypeAlias

from pydantic import PlainSerializer, PlainValidator
from pydantic_core import PydanticCustomError

from specflow.config.base import MOST_STEPS, Says
from specflow.config.epochs import EPOCHS, EpochPoint, Epochs, EpochSpan

__all__ = [
    "AtStep",
    "Every",
    "EveryEither",
    "EveryFrom0",
    "EveryLoop",
    "EverySteps",
    "ForSteps",
    "FromStep",
    "Timeout",
    "seconds_of",
    "steps_of",
]

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


def steps_of(trigger: _Trigger) -> int | Epochs | None:
    """Steps or epochs of a trigger that counts them, or a list with one that does.

    >>> steps_of("10m"), steps_of(500), steps_of(["10m", 500])
    (None, 500, 500)
    >>> steps_of("1 epoch")
    '1 epoch'
    """
    if isinstance(trigger, Sequence) and not isinstance(trigger, str):
        return next(filter(None, map(steps_of, trigger)), None)
    return Epochs.read(trigger) if isinstance(trigger, str) else trigger


def _is_steps(value: Any, least: int, most: int | None = None) -> bool:
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return is_whole and value >= least and (most is None or value <= most)


def _is_time(value: Any) -> bool:
    return isinstance(value, str) and _TIME.fullmatch(value) is not None


def _refuse(expected: str) -> PydanticCustomError:
    return PydanticCustomError("rule", "{expected}", {"expected": expected})


def _plain(value: Any) -> Any:
    """Returns a trigger without the classes of epochs, for YAML and JSON."""
    if isinstance(value, list):
        return [*map(_plain, value)]
    return str(value) if isinstance(value, Epochs) else value


def _says(least: int, *, epochs: bool, time: bool, most: int | None = None) -> Says:
    """Describes steps of at least `least`, epochs, and times."""
    steps = f"a whole number >= {least}" + (f" and <= {most}" if most else "")
    kinds = [
        ("epochs such as 0.5 epochs", EPOCHS, epochs),
        ("a time such as 30s, 10m, 2h", _TIME.pattern, time),
    ]
    words = [steps, *(word for word, _, is_taken in kinds if is_taken)]
    patterns = [pattern for _, pattern, is_taken in kinds if is_taken]
    return Says(
        f"{', '.join(words[:-1])}, or {words[-1]}",
        "|".join(f"^{pattern}$" for pattern in patterns),
        minimum=least,
    )


def _checked(
    kind: type[Epochs] | None, least: int, *, time: bool, most: int | None = None
) -> tuple[PlainValidator, PlainSerializer, Says]:
    """Returns the annotations of a field that takes steps, epochs, or a time."""
    says = _says(least, epochs=kind is not None, time=time, most=most)

    def check(value: Any) -> int | str:
        if _is_steps(value, least, most) or (time and _is_time(value)):
            return value
        if kind is not None and (epochs := kind.read(value)) is not None:
            return epochs
        raise _refuse(says.words)

    return PlainValidator(check), PlainSerializer(_plain), says


def _check_either(value: Any) -> int | str | list[int | str]:
    if _is_steps(value, 0) or _is_time(value):
        return value
    if (epochs := Epochs.read(value)) is not None:
        return epochs
    if isinstance(value, list | tuple) and len(value) == 2:
        items: list[int | str] = [Epochs.read(item) or item for item in value]
        steps, time = sorted(items, key=_is_time)
        if (_is_steps(steps, 1) or isinstance(steps, Epochs)) and _is_time(time):
            return items
    raise _refuse(_EITHER.words)


_EITHER = dataclasses.replace(
    _says(0, epochs=True, time=True),
    words="a whole number >= 0, epochs such as 0.5 epochs, a time such as 30s, 10m, "
    "2h, or steps or epochs and a time in a list, such as [500, 10m]",
    alternatives=(
        {
            "type": "array",
            "minItems": 2,
            "maxItems": 2,
            "items": {"type": ["integer", "string"]},
        },
    ),
)


Every = Annotated[int | str, *_checked(Epochs, 0, time=True)]
"""Steps between two actions, 0 for none before the end; epochs such as `0.5 epochs`; or
a time such as `30s`, `10m`, `2h`, which is checked between device loops."""

EveryFrom0 = Annotated[int | str, *_checked(Epochs, 0, time=False)]
"""Steps between two actions, 0 for none; or epochs."""

EverySteps = Annotated[int | str, *_checked(Epochs, 1, time=False)]
"""Steps between two actions, or epochs."""

EveryLoop = Annotated[int | str, *_checked(EpochSpan, 1, time=True)]
"""At least one step, epochs, or a time from which the number of steps is estimated."""

EveryEither = Annotated[
    int | str | list[int | str],
    PlainValidator(_check_either),
    PlainSerializer(_plain),
    _EITHER,
]
"""Steps, epochs or a time, as `Every`; or a list of two, such as `[500, 10m]`: due at
whichever comes first."""

FromStep = Annotated[int | str, *_checked(EpochPoint, 0, time=False, most=MOST_STEPS)]
"""A step from 0 on, or the first one after so many epochs."""

AtStep = Annotated[int | str, *_checked(EpochPoint, 1, time=False, most=MOST_STEPS)]
"""A step from 1 on, or the first one after so many epochs."""

ForSteps = Annotated[int | str, *_checked(EpochSpan, 1, time=False, most=MOST_STEPS)]
"""A number of steps, or those of so many epochs, rounded down."""

Timeout = Annotated[int | str, *_checked(None, 1, time=True)]
"""Seconds, or a time such as `10m`."""
