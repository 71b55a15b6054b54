"""Epochs: passes over the training rows, and the steps that they take."""

import dataclasses
import re
from fractions import Fraction

from specflow.diagnostics.errors import ConfigError, Diagnostic

__all__ = [
    "EPOCHS",
    "EpochLength",
    "EpochPoint",
    "EpochSpan",
    "Epochs",
    "exact_epochs",
    "whole_steps",
]

EPOCHS = r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+) ?epochs?"
"""Regular expression of a number of epochs, such as `1 epoch` or `0.5 epochs`."""
_PATTERN = re.compile(EPOCHS)


class Epochs(str):
    """A number of epochs as text, between two periodic actions.

    >>> Epochs("0.5 epochs").number
    Fraction(1, 2)
    >>> Epochs.read("10m"), Epochs.read("0 epochs")
    (None, None)
    """

    __slots__ = ()

    @classmethod
    def read(cls, value: object) -> "Epochs | None":
        """Returns a value as epochs; None if it is no positive number of them."""
        match = _PATTERN.fullmatch(value) if isinstance(value, str) else None
        return None if match is None or not Fraction(match[1]) else cls(value)

    @property
    def number(self) -> Fraction:
        """The number of epochs, exactly as it is written in decimals."""
        match = _PATTERN.fullmatch(self)
        assert match is not None, self
        return Fraction(match[1])


class EpochPoint(Epochs):
    """A step: the first one after which so many epochs have been seen."""

    __slots__ = ()


class EpochSpan(Epochs):
    """A number of steps: those of so many epochs, rounded down, at least 1."""

    __slots__ = ()


def whole_steps(value: int | str) -> int:
    """Returns a number of steps that was declared, or resolved from epochs.

    Raises:
        ConfigError: epochs are not resolved: the rows of the data are not known.
    """
    if isinstance(value, int):
        return value
    raise ConfigError(
        Diagnostic(
            "epochs",
            f"got {value!r} where the training data is not known",
            expected="a number of steps",
            hint="Estimator.from_config resolves epochs by the rows of the data.",
            code="steps",
        )
    )


def exact_epochs(number: float) -> Fraction:
    """Returns a number of epochs as it is written in decimals.

    The binary fraction next to 0.07 is a little more, and would often round up to a
    step more.

    >>> exact_epochs(0.07), exact_epochs(3)
    (Fraction(7, 100), Fraction(3, 1))
    """
    return Fraction(str(float(number)))


@dataclasses.dataclass(frozen=True, slots=True)
class EpochLength:
    """Rows of an epoch, and the steps of an endless stream of rows that see them.

    All numbers are exact: step i sees rows `[first_row + (i-1)*b, first_row + i*b)` of
    the stream, for b rows of a batch.

    >>> length = EpochLength(rows=1437, batch_size=128)
    >>> [length.step_at(Fraction(epochs)) for epochs in (1, 2, 3)]
    [12, 23, 34]
    >>> resumed = EpochLength.at(1437, batch_size=64, step=12, row=12 * 128)
    >>> resumed.step_at(Fraction(3))  # 2,775 rows are left after those of 12 steps.
    56
    """

    rows: int
    """Rows of an epoch."""
    batch_size: int
    """Rows of a step, over all processes."""
    first_row: int = 0
    """Rows of the stream before step 0, if all steps had this batch size; not 0, and
    perhaps negative, in a run that is resumed with another batch size."""

    @classmethod
    def at(cls, rows: int, *, batch_size: int, step: int, row: int) -> "EpochLength":
        """Returns the length of an epoch in a stream one of whose places is known.

        Args:
            rows: rows of an epoch.
            batch_size: rows of a step.
            step: a step.
            row: rows of the stream that were seen in the steps up to it.
        """
        return cls(rows, batch_size, row - step * batch_size)

    def row_after(self, step: int) -> int:
        """Returns the rows of the stream that were seen up to a step."""
        return self.first_row + step * self.batch_size

    def seen_after(self, step: int) -> float:
        """Returns the epochs that were seen up to a step, with their fraction."""
        return self.row_after(step) / self.rows

    def step_at(self, epochs: Fraction) -> int:
        """Returns the first step after which so many epochs have been seen."""
        rows = epochs * self.rows - self.first_row
        return max(0, -(-rows // self.batch_size))

    def steps_in(self, epochs: Fraction) -> int:
        """Returns the whole steps that so many epochs take, at least 1."""
        return max(1, epochs * self.rows // self.batch_size)

    def next_multiple(self, epochs: Fraction, step: int) -> int:
        """Returns the first step after `step` that reaches a multiple of epochs."""
        multiple = self.row_after(step) // (epochs * self.rows) + 1
        return max(step + 1, self.step_at(multiple * epochs))
