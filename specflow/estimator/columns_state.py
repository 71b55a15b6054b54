"""The fitted columns of a table, as a part of a run's state."""

from typing import Any

from specflow.columns import FittedColumns
from specflow.diagnostics.errors import DataError, Diagnostic

__all__ = ["ColumnsState", "changed_columns"]


class ColumnsState:
    """Saves the fitted columns in every checkpoint, and compares them on a resume.

    Args:
        columns: of the data.
        refits: those of the checkpoint may differ, as `data.refit` says.
    """

    def __init__(self, columns: FittedColumns, refits: bool = False):
        self._columns, self._refits = columns, refits

    def state(self, step: int) -> dict[str, Any]:
        """Returns the columns as JSON values."""
        return self._columns.to_json()

    def restore(self, value: Any) -> None:
        """Checks that the data has the columns of the checkpoint.

        Raises:
            DataError: they differ, so the model would be given other features.
        """
        saved = FittedColumns.from_json(value, where="the checkpoint's columns")
        if not self._refits and saved.digest != self._columns.digest:
            raise changed_columns()


def changed_columns() -> DataError:
    """The error for columns that are not those of a run."""
    return DataError(
        Diagnostic(
            "columns",
            "those of the data differ from those of the checkpoint",
            expected="the columns that the run was trained with",
            hint="Restore columns.json of the run, train in another output.dir, or "
            "train on with the new ones: data.refit=true.",
            code="table-changed",
        )
    )
