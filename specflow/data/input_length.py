"""Length of an epoch of a training input, and its place in the stream of rows."""

from collections.abc import Mapping
from typing import Any

from specflow.config.epochs import EpochLength
from specflow.data.input_kinds import as_source
from specflow.data.repeated_batches import RepeatedBatches
from specflow.data.row_order import epoch_rows
from specflow.diagnostics.errors import DataError, Diagnostic

__all__ = ["epoch_length", "no_epochs"]


def epoch_length(
    value: Any,
    *,
    batch_size: int,
    step: int = 0,
    place: Mapping[str, Any] | None = None,
) -> EpochLength | None:
    """Returns the rows of an epoch, from the place at which training resumes.

    Args:
        value: a training input.
        batch_size: rows of a step, over all processes.
        step: the step at which training resumes.
        place: the place in the input at that step, as a checkpoint has it.

    Returns:
        None for an iterable of batches: only its end says how long it is. Epochs of
        `RepeatedBatches` count batches, each as `batch_size` rows.

    >>> import numpy as np
    >>> epoch_length({"x": np.zeros([10, 3])}, batch_size=4)
    EpochLength(rows=10, batch_size=4, first_row=0)
    """
    if isinstance(value, RepeatedBatches):
        return EpochLength(value.count * batch_size, batch_size)
    source = as_source(value)
    if source is None:
        return None
    place = place or {}
    row = 0 if place.get("ended") else place.get("rows")
    if row is None:
        row = step * batch_size
    return EpochLength.at(epoch_rows(source), batch_size=batch_size, step=step, row=row)


def no_epochs(where: str, value: Any) -> DataError:
    """Returns the error of epochs of an input without a length.

    Args:
        where: what counts epochs, such as `max_epochs`.
        value: its value.
    """
    return DataError(
        Diagnostic(
            where,
            f"got {value}, and the training input is an iterable of batches: how many "
            "it has is not known before its end",
            expected="a number of steps, or arrays, a Source, or an iterable with a "
            "length (len()) as the input",
            hint="A call to train without steps ends with the input: call it once for "
            "each epoch.",
            code="epochs",
        )
    )
