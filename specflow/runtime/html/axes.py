"""Axes of charts: linear and logarithmic scales, round ticks, and their labels."""

import dataclasses
import math
import sys
from collections.abc import Iterable, Sequence

__all__ = ["LOG_RATIO", "Axis", "axis_of", "choice_axis", "number_label"]

LOG_RATIO = 20
"""Ratio of the largest to the smallest value from which a scale is logarithmic."""
_LEAST = 1e-140
"""Smallest value of a logarithmic scale; the largest is its inverse."""


@dataclasses.dataclass(frozen=True)
class Axis:
    """Maps values to places.

    Args:
        low: value at `start`.
        high: value at `end`.
        start: place in the drawing.
        end: place in the drawing.
        is_log: whether equal ratios have equal distances.
        choices: names of the values 0, 1 and so on; empty for numbers.
        is_whole: whether all values are whole numbers.
    """

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False
    choices: tuple[str, ...] = ()
    is_whole: bool = False

    def at(self, value: float) -> float:
        """Returns the place of a value."""
        low, high = self.low, self.high
        if self.is_log:
            value, low, high = (math.log(max(v, 1e-300)) for v in (value, low, high))
        share = (value - low) / (high - low) if high != low else 0.5
        return self.start + share * (self.end - self.start)

    def ticks(self, most: int = 6) -> list[tuple[float, str]]:
        """Returns (place, label) of round values.

        >>> [label for _, label in Axis(0, 10, 0, 100).ticks()]
        ['0', '2', '4', '6', '8', '10']
        >>> [label for _, label in Axis(2e-4, 0.5, 0, 100, is_log=True).ticks()]
        ['0.001', '0.01', '0.1']
        """
        if self.choices:
            return [(self.at(n), name) for n, name in enumerate(self.choices)]
        values = self._decades(most) if self.is_log else []
        if len(values) < 2:
            values = self._steps(most)
        return [(self.at(value), number_label(value)) for value in values]

    def _decades(self, most: int) -> list[float]:
        first = math.ceil(math.log10(self.low) - 1e-9)
        last = math.floor(math.log10(self.high) + 1e-9)
        every = max(1, math.ceil((last - first + 1) / most))
        decades = [10.0**power for power in range(first, last + 1, every)]
        if len(decades) > 2:
            return decades
        finer = [
            digit * 10.0**power
            for power in range(first - 1, last + 1)
            for digit in (1, 2, 5)
        ]
        return [value for value in finer if self.low <= value <= self.high]

    def _steps(self, most: int) -> list[float]:
        width = self.high - self.low
        rough = width / most
        if rough < sys.float_info.min or not math.isfinite(rough):
            return [self.low]
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
        step = max(step, 1.0) if self.is_whole else step
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [count * step for count in range(first, last + 1)]


def axis_of(
    values: Iterable[float],
    start: float,
    end: float,
    *,
    pad: float = 0.05,
    may_be_log: bool = True,
) -> Axis:
    """Returns an axis that holds all values.

    Args:
        values: finite numbers.
        start: place of the least one.
        end: place of the greatest one.
        pad: room at both ends, as a share of the range.
        may_be_log: take a logarithmic scale where the values span decades.
    """
    every = [*values] or [0.0, 1.0]
    low, high = min(every), max(every)
    whole = all(float(value).is_integer() for value in every)
    # Not where the room at an end would be no number.
    has_room = _LEAST < low and high < 1 / _LEAST
    if may_be_log and has_room and high / low >= LOG_RATIO:
        factor = (high / low) ** pad
        return Axis(low / factor, high * factor, start, end, is_log=True)
    room = (high - low) * pad or abs(low) * pad or 1.0
    if pad == 0 and high != low:
        room = 0.0
    return Axis(low - room, high + room, start, end, is_whole=whole)


def choice_axis(names: Sequence[str], start: float, end: float) -> Axis:
    """Returns an axis with a place for each name."""
    return Axis(-0.5, len(names) - 0.5, start, end, choices=tuple(names))


def number_label(value: float) -> str:
    """Returns a number with up to four digits.

    >>> [number_label(v) for v in (0.0, 1e-5, 0.25, 1234.5, 20_000.0, 3e6)]
    ['0', '1e-5', '0.25', '1234', '20,000', '3e6']
    """
    if not math.isfinite(value):
        return str(value)
    if value and not 1e-3 <= abs(value) < 1e6:
        digits, _, power = f"{value:.3g}".partition("e")
        if not power:
            digits, _, power = f"{value:.2e}".partition("e")
            digits = digits.rstrip("0").rstrip(".")
        return f"{digits}e{int(power)}"
    text = f"{value:.4g}"
    return f"{value:,.0f}" if "e" in text or abs(value) >= 1e4 else text
