"""Labels and weights of the rows of a split."""

from typing import Any

import numpy as np
import numpy.typing as npt

from specflow.columns import FittedColumns, LabelColumn, NumberColumn
from specflow.data.table.rows_among import are_among
from specflow.data.table.table_cells import TableCells
from specflow.diagnostics.errors import Diagnostic

__all__ = ["split_labels"]

Rows = npt.NDArray[np.int64]
_MOST_CLASSES_SHOWN = 10


def split_labels(
    fitted: FittedColumns,
    cells: TableCells,
    rows: Rows,
    diagnostics: list[Diagnostic],
) -> Any:
    """Labels of rows, as batches have them.

    Args:
        fitted: the columns.
        cells: the table.
        rows: numbers of the rows.
        diagnostics: gets those of bad cells.

    Returns:
        One column is an array "n", several are a dict by column; joined ones are one
        array int32 "n k". With weights it is a dict, in which joined labels are
        `labels`. None: there are no labels.
    """
    labels = {
        name: _labels(cells, name, rows, label, diagnostics)
        for name, label in fitted.labels.items()
    }
    if not labels:
        return None
    if fitted.joined_labels:
        labels = {"labels": np.stack(list(labels.values()), axis=1).astype(np.int32)}
    if fitted.weights is not None:
        weights = _weights(cells, fitted.weights, rows, diagnostics)
        return {**labels, fitted.weights: weights}
    return next(iter(labels.values())) if len(labels) == 1 else labels


def _weights(
    cells: TableCells, name: str, rows: Rows, diagnostics: list[Diagnostic]
) -> npt.NDArray[np.float64]:
    """Weights of rows, 0 or more."""
    numbers, bad = cells.numbers(name)
    values = numbers[rows]
    wrong = ~(values >= 0.0) | are_among(rows, bad)
    expected = "a weight of 0 or more"
    diagnostics += cells.bad_cells(name, rows[wrong], expected)
    return values


def no_weights(name: str, split: str, rows: int) -> Diagnostic:
    """The diagnostic of weights that are 0 in all rows of a split."""
    return Diagnostic(
        f"column {name}",
        f"is 0 in all {rows:,} rows of the {split} split",
        expected="a weight above 0",
        code="table-cell",
    )


def _labels(
    cells: TableCells,
    name: str,
    rows: Rows,
    label: LabelColumn,
    diagnostics: list[Diagnostic],
) -> npt.NDArray[Any]:
    """Labels of rows: int32 classes or integers, else float64."""
    if label.kind == "class":
        places = {text: place for place, text in enumerate(label.classes)}
        texts = cells.texts(name).take(rows)
        classes = texts.mapped(lambda text: places.get(text, -1))
        shown = ", ".join(label.classes[:_MOST_CLASSES_SHOWN])
        shown += ", ..." if len(label.classes) > _MOST_CLASSES_SHOWN else ""
        diagnostics += cells.bad_cells(
            name, rows[classes < 0], f"a class of the training split: {shown}"
        )
        return classes.astype(np.int32)
    numbers, bad = cells.numbers(name)
    values = numbers.take(rows)
    if label.kind == "integer" and not bad.size and label.transform is None:
        with np.errstate(invalid="ignore"):
            whole = values.astype(np.int32)
        if (whole == values).all() and whole.min(initial=0) > -(2**31):
            return whole
    wrong = np.isnan(values) | are_among(rows, bad)
    expected, hint = "a number", ""
    if label.kind == "integer":
        whole = (values == np.rint(values)) & (np.abs(values) < 2**31)
        if (~wrong & ~whole).any():
            hint = f"If labels are numbers of any kind: data.columns.{name}=number."
        wrong |= ~whole
        expected = "an integer of 32 bits, as the labels of the training split"
    if label.transform is not None and not wrong.any():
        wrong = NumberColumn(transform=label.transform).outside(values)
        expected = f"a number that {label.transform} takes"
    diagnostics += cells.bad_cells(name, rows[wrong], expected, hint=hint)
    if label.kind == "integer":
        return np.where(wrong, 0, values).astype(np.int32)
    return values
