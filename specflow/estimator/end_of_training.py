"""End of a call to train: by steps or epochs, of the call or of all calls."""

import math
import numbers
from collections.abc import Callable
from fractions import Fraction

from specflow.config.base import MOST_STEPS
from specflow.config.epochs import EpochLength, exact_epochs
from specflow.data import no_epochs
from specflow.diagnostics.errors import ConfigError, Diagnostic
from specflow.estimator.estimator_arguments import step_count

__all__ = ["stop_of"]


def stop_of(
    *,
    steps: int | None = None,
    max_steps: int | None = None,
    epochs: float | None = None,
    max_epochs: float | None = None,
) -> Callable[[int, EpochLength | None], int | None]:
    """Returns a function that decides at which step a call to train stops.

    Args:
        steps: steps of the call.
        max_steps: steps of all calls.
        epochs: epochs of the call.
        max_epochs: epochs of all calls.

    Returns:
        (step at which training starts, length of an epoch or None) -> step at which it
        stops; None: at the end of the data.

    Raises:
        ConfigError: two of them are given, or one is not positive.

    >>> length = EpochLength(rows=10, batch_size=4)
    >>> stop_of(max_epochs=2)(1, length), stop_of(epochs=2)(1, length)
    (5, 6)
    """
    given = {
        "steps": steps,
        "max_steps": max_steps,
        "epochs": epochs,
        "max_epochs": max_epochs,
    }
    names = [name for name, value in given.items() if value is not None]
    if len(names) > 1:
        raise ConfigError(
            Diagnostic(
                "train",
                f"got {' and '.join(names)}",
                expected="one of them",
                code="steps",
            )
        )
    more_steps = step_count(steps, "steps", most=MOST_STEPS)
    last_step = step_count(max_steps, "max_steps", most=MOST_STEPS)
    for name in ("epochs", "max_epochs"):
        _check_epochs(name, given[name])

    def stop_at(start: int, length: EpochLength | None) -> int | None:
        wanted = max_epochs if epochs is None else epochs
        if wanted is None:
            return last_step if more_steps is None else start + more_steps
        if length is None:
            raise no_epochs(names[0], wanted)
        total = exact_epochs(wanted)
        if epochs is not None:
            total += Fraction(length.row_after(start), length.rows)
        stop = length.step_at(total)
        return step_count(stop, names[0], most=MOST_STEPS) if stop else stop

    return stop_at


def _check_epochs(name: str, value: float | None) -> None:
    if value is None:
        return
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not (is_number and 0 < value < math.inf):
        raise ConfigError(
            Diagnostic(
                name,
                f"got {value!r}",
                expected="a positive number of epochs",
                code="range",
            )
        )
