"""Names of classes that a run has from the labels of its table."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from specflow.columns import FittedColumns
from specflow.diagnostics.errors import DataError

__all__ = ["ClassNames", "class_names_of", "numbered"]

ClassNames: TypeAlias = Callable[[int], Sequence[str]]
"""Number of classes -> their names, or their numbers as text."""


def numbered(count: int) -> Sequence[str]:
    """Returns the numbers of classes without names.

    >>> numbered(3)
    ['0', '1', '2']
    """
    return [*map(str, range(count))]


def class_names_of(columns: Path) -> ClassNames:
    """Returns the names by the labels of a table, if one label alone has as many.

    Args:
        columns: `columns.json` of the run; missing: no class has a name.
    """
    try:
        labels = FittedColumns.read(columns).labels.values()
    except DataError:
        return numbered
    named = [label.classes for label in labels if label.classes]

    def names(count: int) -> Sequence[str]:
        found = {classes for classes in named if len(classes) == count}
        return found.pop() if len(found) == 1 else numbered(count)

    return names
