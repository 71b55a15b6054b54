"""Splits rows into training and held-out evaluation rows."""

import numpy as np
import numpy.typing as npt

from specflow.diagnostics.errors import DataError, Diagnostic

__all__ = ["held_out_rows"]


def held_out_rows(
    rows: int, eval_fraction: float, seed: int, *, unit: str = "row"
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Draws training rows and held-out rows, each in ascending order.

    Args:
        rows: number of rows.
        eval_fraction: fraction of held-out rows, in (0, 1).
        seed: seed of the draw.
        unit: noun for a row, for messages.

    Returns:
        Row numbers for training, and the `round(rows * eval_fraction)` held-out ones.

    Raises:
        DataError: one side would be empty.

    >>> held_out_rows(5, 0.4, seed=0)
    (array([0, 1, 3]), array([2, 4]))
    """
    held = round(rows * eval_fraction)
    if not 0 < held < rows:
        raise DataError(
            Diagnostic(
                "data.eval_fraction",
                f"{eval_fraction} of {rows} {unit}s holds out {held}",
                expected=f"at least one {unit} to train on and one to evaluate on",
                code="data-empty",
            )
        )
    order = np.random.default_rng(seed).permutation(rows)
    return np.sort(order[held:]), np.sort(order[:held])
