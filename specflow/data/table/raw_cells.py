"""Cells of one file as the values that a client would send."""

from typing import Any

__all__ = [
    "are_lists_of_texts",
    "are_times",
    "listed_values",
    "raw_value",
    "raw_values",
]


def raw_values(cells: Any) -> Any:
    """Returns cells as Python values.

    Args:
        cells: an Arrow array, or a list of JSON values.

    Returns:
        A list; of times without a zone an array of datetime64.
    """
    if isinstance(cells, list):
        return cells
    import pyarrow as pa

    if pa.types.is_timestamp(cells.type):
        # Microseconds: Python has no nanoseconds.
        micro = cells.cast(pa.timestamp("us", cells.type.tz), safe=False)
        if cells.type.tz is None:
            return micro.to_numpy(zero_copy_only=False)
        return micro.to_pylist()
    if pa.types.is_date(cells.type):
        days = cells.cast(pa.date32()).to_numpy(zero_copy_only=False)
        return days.astype("datetime64[us]")
    return cells.to_pylist()


def raw_value(cell: Any) -> Any:
    """Returns one cell as a Python value.

    Args:
        cell: an Arrow scalar, or a JSON value.
    """
    if not hasattr(cell, "as_py"):
        return cell
    import pyarrow as pa

    if pa.types.is_timestamp(cell.type):
        # Microseconds, as in `raw_values`.
        cell = cell.cast(pa.timestamp("us", cell.type.tz), safe=False)
    return cell.as_py()


def listed_values(cells: Any) -> list[Any]:
    """Returns the `raw_value` of each cell.

    Args:
        cells: an Arrow array, or a list of JSON values.
    """
    if isinstance(cells, list):
        return cells
    import pyarrow as pa

    if pa.types.is_timestamp(cells.type):
        cells = cells.cast(pa.timestamp("us", cells.type.tz), safe=False)
    return cells.to_pylist()


def are_times(cells: Any) -> bool:
    """True if cells are dates or times of Arrow."""
    if isinstance(cells, list):
        return False
    import pyarrow as pa

    return pa.types.is_timestamp(cells.type) or pa.types.is_date(cells.type)


def are_lists_of_texts(cells: Any) -> bool:
    """True if cells are lists of texts, at least one of them with a text."""
    if isinstance(cells, list):
        lists = [value for value in cells if value is not None]
        return any(lists) and all(
            isinstance(value, list)
            and all(isinstance(item, str | None) for item in value)
            for value in lists
        )
    import pyarrow as pa

    kind, types = cells.type, pa.types
    is_list = types.is_list(kind) or types.is_large_list(kind)
    return is_list and (
        types.is_string(kind.value_type) or types.is_large_string(kind.value_type)
    )
