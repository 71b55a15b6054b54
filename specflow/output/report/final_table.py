"""Table at the end of a run: metrics, times and facts."""

import math
import sys
from collections.abc import Mapping
from typing import Any, TextIO

from specflow.output.report.matrix_image import is_matrix
from specflow.output.report.matrix_names import ClassNames, numbered
from specflow.runtime.formatting import columns
from specflow.runtime.standard_streams import is_terminal

__all__ = ["format_result", "print_result"]

_LARGEST_SHOWN = 12


def print_result(
    step: int,
    *,
    evaluation: Mapping[str, Any],
    timing: Mapping[str, float],
    facts: Mapping[str, str] | None = None,
    class_names: ClassNames | None = None,
    stream: TextIO | None = None,
) -> None:
    """Prints the result of a run: with colours on a terminal, as plain text elsewhere.

    Args:
        step: the last training step.
        evaluation: metrics of the last evaluation, numbers or arrays.
        timing: seconds by name; names that end in `_per_s` are rates.
        facts: further rows, by name; a text may have several lines.
        class_names: number of classes -> names for a square array of as many.
        stream: output stream; standard output if None.
    """
    out = sys.stdout if stream is None else stream
    rows = _rows(step, evaluation, timing, facts or {}, class_names)
    if not is_terminal(out):
        print(_aligned(rows), file=out, flush=True)
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(file=out, markup=False, highlight=False)
    table = Table(box=box.SIMPLE_HEAD, show_header=False, pad_edge=False)
    # The ellipsis is the only character that Rich does not replace for ASCII.
    overflow = "crop" if console.options.ascii_only else "ellipsis"
    table.add_column(style="cyan", no_wrap=True, overflow=overflow)
    table.add_column()
    for name, text in rows:
        if name is None:
            table.add_section()
        else:
            table.add_row(name, text)
    console.print(table)


def format_result(
    step: int,
    *,
    evaluation: Mapping[str, Any],
    timing: Mapping[str, float],
    facts: Mapping[str, str] | None = None,
    class_names: ClassNames | None = None,
) -> str:
    """Formats the same table as plain text.

    >>> import numpy as np
    >>> print(format_result(10, evaluation={"accuracy": 0.975, "auc": float("nan")},
    ...                     timing={"train": 1.25}))
    accuracy  0.975
    auc       undefined
    <BLANKLINE>
    step      10
    train     1.2 s
    >>> matrix = np.array([[8, 1], [0, 12]])  # True classes by predicted ones.
    >>> print(format_result(10, evaluation={"confusion": matrix}, timing={},
    ...                     class_names=lambda count: ("kept", "lost")))
    confusion        kept  lost
               kept     8     1
               lost     0    12
    <BLANKLINE>
    step       10
    """
    return _aligned(_rows(step, evaluation, timing, facts or {}, class_names))


_Row = tuple[str | None, str]
"""Name and text; a None name is the gap between two groups."""


def _rows(
    step: int,
    evaluation: Mapping[str, Any],
    timing: Mapping[str, float],
    facts: Mapping[str, str],
    class_names: ClassNames | None,
) -> list[_Row]:
    metrics: list[_Row] = [
        (name, _text(value, class_names)) for name, value in evaluation.items()
    ]
    gap: list[_Row] = [(None, "")] if metrics else []
    times: list[_Row] = [(name, _duration(name, s)) for name, s in timing.items()]
    more: list[_Row] = [(None, ""), *facts.items()] if facts else []
    return [*metrics, *gap, ("step", f"{step:,}"), *times, *more]


def _aligned(rows: list[_Row]) -> str:
    return columns([(name or "", text) for name, text in rows])


def _text(value: Any, class_names: ClassNames | None) -> str:
    shape = getattr(value, "shape", ())
    if not shape:
        return _number(value.item() if hasattr(value, "item") else value)
    if len(shape) > 2 or max(shape) > _LARGEST_SHOWN:
        return f"{value.dtype}[{','.join(map(str, shape))}]"
    cells = [[_number(cell) for cell in row] for row in _two_dimensional(value)]
    if class_names and is_matrix(value):
        names = class_names(len(cells))
        if [*names] != [*numbered(len(cells))]:
            rows = zip(names, cells, strict=True)
            cells = [["", *names], *([name, *row] for name, row in rows)]
    width = max((len(cell) for row in cells for cell in row), default=0)
    return columns([cell.rjust(width) for cell in row] for row in cells)


def _two_dimensional(value: Any) -> list[list[Any]]:
    rows = value.tolist()
    return rows if len(value.shape) == 2 else [rows]


def _number(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if not isinstance(value, float):
        return str(value)
    return "undefined" if math.isnan(value) else f"{value:.4g}"


def _duration(name: str, value: float) -> str:
    return f"{value:,.0f}" if name.endswith("_per_s") else f"{value:,.1f} s"
