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
from specflow.data.table.fit_labels import LabelScan, fit_label
from specflow.data.table.shared_passes import Fit
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
) -> tuple[FittedColumns, frozenset[str]]:
    """Fits columns of features and labels.

    Args:
        config: declares columns.
        cells: the table.
        rows: the training rows.
        features: names of the columns of features.
        files: name of each file -> its digest.
        counts: number of rows of each split.
        start: columns that are fitted already, those of labels included that it has.

    Returns:
        The columns; and those of features of which every cell of the table is valid.

    Raises:
        DataError: a column cannot be fitted, or its kind is not clear; all columns are
            reported.
    """
    known = {} if start is None else start.labels
    labels = {name: known[name] for name in config.labels if name in known}
    wanted = [name for name in config.labels if name not in known]
    problems: dict[str, list[Diagnostic]] = {name: [] for name in wanted}
    fits = FeatureFits(config, cells, rows)
    fitted, fitted_labels = fits.all_fitted(
        features if start is None else (),
        *(_label(config, cells, name, rows, problems[name]) for name in wanted),
    )
    columns: dict[str, Any] = dict(start.columns) if start is not None else fitted
    labels |= dict(zip(wanted, fitted_labels, strict=True))
    labels = {name: labels[name] for name in config.labels}
    diagnostics = fits.diagnostics
    diagnostics += [problem for some in problems.values() for problem in some]
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
    made = FittedColumns(
        columns=columns,
        labels=labels,
        joined=config.joined,
        joined_labels=_joins(config, labels),
        weights=config.weights,
        missing=tuple(config.missing),
        files=files,
        rows=counts,
    )
    return made, frozenset(fits.proven)


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


def _label(
    config: TableConfig,
    cells: TableCells,
    name: str,
    rows: Rows,
    diagnostics: list[Diagnostic],
) -> Fit[LabelColumn | None]:
    """Fits a column of labels, as it is declared or inferred; None after an error."""
    declared = config.columns.get(name)
    begun = None
    if not isinstance(declared, NumberColumnConfig | CategoryColumnConfig):
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
        begun = LabelScan(name, NumberColumnConfig())
        kind = yield from inferred_kind(
            cells, name, rows, begun, begun.texts, is_label=True
        )
        if isinstance(kind, list):
            diagnostics += kind
            return None
        is_number = kind == "number"
        declared = NumberColumnConfig() if is_number else CategoryColumnConfig()
    fitted = yield from fit_label(
        declared, cells, name, rows, begun, is_declared=name in config.columns
    )
    if isinstance(fitted, LabelColumn):
        return fitted
    diagnostics += fitted
    return None
