"""Fits the columns of a table to its training rows."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from specflow.columns import FittedColumns, LabelColumn
from specflow.config.base import Config
from specflow.config.kinds import name_of
from specflow.config.sections.table import TableConfig
from specflow.config.sections.table_columns import (
    CategoryColumnConfig,
    NumberColumnConfig,
)
from specflow.data.table.column_kinds import inferred_kind
from specflow.data.table.feature_fits import FeatureFits
from specflow.data.table.fit_labels import fit_label
from specflow.data.table.table_cells import TableCells
from specflow.diagnostics.errors import DataError, Diagnostic

__all__ = ["fit_columns"]

Rows = npt.NDArray[np.int64]


def fit_columns(
    config: TableConfig,
    cells: TableCells,
    rows: Rows,
    *,
    features: Sequence[str],
    files: Mapping[str, str],
    counts: Mapping[str, int],
    start: FittedColumns | None = None,
) -> FittedColumns:
    """Fits columns of features and labels.

    Args:
        config: declares columns.
        cells: the table.
        rows: the training rows.
        features: names of the columns of features.
        files: name of each file -> its digest.
        counts: number of rows of each split.
        start: columns that are fitted already, those of labels included that it has.

    Raises:
        DataError: a column cannot be fitted, or its kind is not clear; all columns are
            reported.
    """
    labels: dict[str, LabelColumn] = {}
    fits = FeatureFits(config, cells, rows)
    columns: dict[str, Any] = (
        dict(start.columns)
        if start is not None
        else {name: fits.fitted(name) for name in features}
    )
    diagnostics = fits.diagnostics
    for name in config.labels:
        if start is not None and name in start.labels:
            labels[name] = start.labels[name]
            continue
        declared = _declared(config, cells, name, rows, diagnostics)
        if declared is None:
            continue
        fitted = fit_label(
            declared, cells, name, rows, is_declared=name in config.columns
        )
        if isinstance(fitted, LabelColumn):
            labels[name] = fitted
        else:
            diagnostics += fitted
    if diagnostics:
        raise DataError(*diagnostics)
    if not columns:
        raise DataError(
            Diagnostic(
                "data.features",
                "no column is left for features",
                expected="at least one beside labels and ids",
                code="table-column",
            )
        )
    return FittedColumns(
        columns=columns,
        labels=labels,
        joined=config.joined,
        joined_labels=_joins(config, labels),
        weights=config.weights,
        missing=tuple(config.missing),
        files=files,
        rows=counts,
    )


def _joins(config: TableConfig, labels: Mapping[str, LabelColumn]) -> bool:
    """Whether the columns of labels are one array.

    Raises:
        DataError: they have to be, and are not all of 0 and 1.
    """
    others = [name for name, label in labels.items() if not label.is_flag]
    if config.joined_labels is None:
        return len(labels) > 1 and not others
    if config.joined_labels and (others or len(labels) < 2):
        raise DataError(
            Diagnostic(
                "data.joined_labels",
                f"is true, and {', '.join(others)} has other values than 0 and 1"
                if others
                else f"is true, and data.labels names {len(labels)} column",
                expected="several columns of 0 and 1, or of booleans",
                code="table-column",
            )
        )
    return config.joined_labels


def _declared(
    config: TableConfig,
    cells: TableCells,
    name: str,
    rows: Rows,
    diagnostics: list[Diagnostic],
) -> NumberColumnConfig | CategoryColumnConfig | None:
    """The declaration of a column, inferred if there is none; None after an error."""
    declared = config.columns.get(name)
    if isinstance(declared, NumberColumnConfig | CategoryColumnConfig):
        return declared
    if isinstance(declared, Config):
        diagnostics.append(
            Diagnostic(
                f"data.columns.{name}",
                f"is a {name_of(declared)}, and data.labels names it",
                expected="number or category, for labels",
                code="table-kind",
            )
        )
        return None
    kind = inferred_kind(cells, name, rows)
    if isinstance(kind, list):
        diagnostics += kind
        return None
    return NumberColumnConfig() if kind == "number" else CategoryColumnConfig()
