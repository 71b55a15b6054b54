"""Formats numbers, arrays and tables for a terminal."""

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["column_names", "columns", "human", "short", "shortened"]

_SHORT = {"float": "f", "bfloat": "bf", "int": "i", "uint": "u", "bool": "bool"}


def human(count: float) -> str:
    """Formats a number of bytes with a unit.

    >>> human(512), human(3 << 20), human(-(1 << 30))
    ('512 B', '3.0 MiB', '-1.0 GiB')
    """
    size, units = float(count), iter(("B", "KiB", "MiB", "GiB", "TiB"))
    unit = next(units)
    while abs(size) >= 1024 and unit != "TiB":
        size, unit = size / 1024, next(units)
    return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"


def short(array: Any) -> str:
    """Formats dtype and shape of an array as XLA does.

    >>> import numpy as np
    >>> short(np.zeros((2, 3), np.float32)), short(np.zeros((), np.bool_))
    ('f32[2,3]', 'bool[]')
    """
    name = str(array.dtype)
    kind = name.rstrip("0123456789")
    dtype = _SHORT.get(kind, kind) + name[len(kind) :]
    return f"{dtype}[{','.join(map(str, array.shape))}]"


def shortened(text: str) -> str:
    """Shortens a number to five digits; other texts and whole numbers stay.

    >>> shortened("0.23812345678"), shortened("123456789"), shortened("adamw")
    ('0.23812', '123456789', 'adamw')
    """
    try:
        number = float(text)
    except ValueError:
        return text
    is_whole = text.lstrip("+-").isdecimal()
    if is_whole or len(text) <= 7 or not math.isfinite(number):
        return text
    return f"{number:.5g}"


def columns(rows: Iterable[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """Aligns the columns of rows of text.

    Args:
        rows: of cells; a cell may have several lines. A row may be shorter than the
            others: its last cell then does not widen its column.
        right: indices of right-aligned columns.

    >>> print(columns([("a", "1"), ("bcd", "20")], right=(1,)))
    a     1
    bcd  20
    >>> print(columns([("job", "seed", "loss"), ("0", "1", "0.5"), ("1", "no data")]))
    job  seed  loss
    0    1     0.5
    1    no data
    """
    table = [[cell.split("\n") for cell in row] for row in rows]
    widths = [0] * max(map(len, table), default=0)
    for row in table:
        for place, cell in enumerate(row):
            if len(row) == len(widths) or place < len(row) - 1:
                widths[place] = max(widths[place], *map(len, cell))
    lines = []
    for row in table:
        for texts in itertools.zip_longest(*row, fillvalue=""):
            cells = (
                text.rjust(width) if place in right else text.ljust(width)
                for place, (text, width) in enumerate(zip(texts, widths, strict=False))
            )
            lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def column_names(metrics: Iterable[str], taken: Iterable[str]) -> dict[str, str]:
    """Returns the table column of each metric: `eval.<metric>` if the name is taken.

    >>> column_names(["loss", "error", "eval.error"], ["job", "error"])
    {'loss': 'loss', 'error': 'eval.eval.error', 'eval.error': 'eval.error'}
    """
    metrics, used = [*metrics], {*taken}
    columns = {name: name for name in metrics if name not in used}
    used |= columns.keys()
    for name in metrics:
        column = name
        while column in used and name not in columns:
            column = f"eval.{column}"
        used.add(columns.setdefault(name, column))
    return {name: columns[name] for name in metrics}
