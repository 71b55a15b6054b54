"""How a benchmark is told: ours, theirs, the ratio, and the goal beside it."""

import dataclasses
import math
from collections.abc import Iterable

__all__ = ["Row", "format_rows"]


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One comparison; less is better."""

    name: str
    unit: str
    ours: float
    theirs: float
    what: str
    """What it is compared with."""
    goal: float | None = None
    """Largest ratio that is good enough; None: only to know."""


def format_rows(rows: Iterable[Row]) -> str:
    """The rows as an aligned table."""
    table = [("benchmark", "ours", "theirs", "unit", "ratio", "goal", "", "against")]
    for row in rows:
        ratio = row.ours / row.theirs if row.theirs else math.nan
        met = "" if row.goal is None else "met" if ratio <= row.goal else "missed"
        table.append(
            (
                row.name,
                f"{row.ours:.4g}",
                f"{row.theirs:.4g}",
                row.unit,
                f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.4f}",
                "" if row.goal is None else f"{row.goal:.2f}",
                met,
                row.what,
            )
        )
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True))
        for line in table
    )
