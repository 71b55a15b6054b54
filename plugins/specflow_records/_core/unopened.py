"""The error of a data set of a hub that cannot be opened."""

from specflow import DataError
from specflow.diagnostics.errors import Diagnostic

__all__ = ["unopened"]


def unopened(dataset: str, error: Exception, *, key: str, expected: str) -> DataError:
    """Returns the error for a data set, with the first line of that of its package.

    Args:
        dataset: as the user wrote it.
        error: of the package, which may list all data sets below its first line.
        key: dotted key of the split, which the error names if it is about a split.
        expected: what can be opened.

    >>> error = ValueError("Unknown split 'trian'")
    >>> print(unopened("plums", error, key="data.train", expected="a data set"))
    data.train: 'plums' cannot be opened: Unknown split 'trian'. Expected a data set.
    """
    first = str(error).strip().partition("\n")[0]
    return DataError(
        Diagnostic(
            key if "split" in first.lower() else "data.dataset",
            f"{dataset!r} cannot be opened: {first}",
            expected=expected,
            code="record-source",
        )
    )
