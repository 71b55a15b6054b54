"""Bad values that a column found in raw rows."""

import dataclasses
from collections.abc import Sequence

__all__ = ["ColumnProblem"]


@dataclasses.dataclass(frozen=True, slots=True)
class ColumnProblem:
    """Rows of one raw column with values that a fitted column does not take."""

    source: str
    """Name of the raw column."""
    rows: Sequence[int]
    """Their numbers, ascending."""
    expected: str
    """Description of valid values."""
