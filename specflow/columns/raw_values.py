"""Raw values of a cell: numbers as float64 with NaN, and categories as text."""

import re
from collections.abc import Collection, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["MISSING", "NUMBER", "as_number", "as_numbers", "as_text", "as_texts"]

MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None")
"""Texts that are a missing number by default."""
NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
"""Regular expression of a number in a text file."""
_NUMBER = re.compile(NUMBER)
_EXACT = 2**53
"""Largest magnitude up to which every integer is a float64."""


def as_number(value: Any, missing: Collection[str] = MISSING) -> float | None:
    """Returns a raw value as a finite float64, or NaN if it is missing.

    Args:
        value: a number, a boolean, a text, or None.
        missing: texts of a missing number; surrounding blanks do not matter.

    Returns:
        None for anything else: another text, an infinity, an integer that float64
        cannot hold.

    >>> as_number(" 1.5e3 "), as_number("NA"), as_number("1,5"), as_number(2**53 + 1)
    (1500.0, nan, None, None)
    """
    if value is None:
        return float("nan")
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        text = value.strip(" \t")
        if text in missing:
            return float("nan")
        if not _NUMBER.fullmatch(text):
            return None
        number = float(text)
        if np.isinf(number):
            return None
        digits = text.lstrip("+-").lstrip("0")
        is_exact = not digits.isdigit() or int(digits) == abs(number)
        return number if is_exact else None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    if isinstance(value, int | np.integer) and int(value) != number:
        return None
    return None if np.isinf(number) else number


def as_numbers(
    values: Any, missing: Collection[str] = MISSING
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Returns raw values as float64, NaN where missing, and the rows of bad ones.

    >>> as_numbers(["1", "x", None])
    (array([ 1., nan, nan]), array([1]))
    """
    array = values if isinstance(values, np.ndarray) else None
    if array is not None and array.dtype.kind in "biuf" and array.ndim == 1:
        numbers = array.astype(np.float64, copy=False)
        wrong = np.isinf(numbers)
        if array.dtype.kind in "iu" and array.dtype.itemsize == 8:
            inexact = np.flatnonzero(np.abs(numbers) >= _EXACT)
            # As integers: NumPy would compare them as float64.
            wrong[[i for i in inexact if int(array[i]) != int(numbers[i])]] = True
        if not wrong.any():
            return numbers, np.array([], np.int64)
        return np.where(wrong, np.nan, numbers), np.flatnonzero(wrong)
    parsed = [as_number(value, missing) for value in values]
    bad = [row for row, number in enumerate(parsed) if number is None]
    numbers = [np.nan if number is None else number for number in parsed]
    return np.array(numbers, np.float64), np.array(bad, np.int64)


def as_text(value: Any) -> str:
    """Returns a raw value as the text of a category; empty if it is missing.

    Integers are their decimal digits, also those that a float holds, so that a column
    of numbers means the same in a text file and in Parquet.

    >>> [as_text(value) for value in ("01", 7, 7.0, 0.5, True, None)]
    ['01', '7', '7', '0.5', 'true', '']
    """
    if isinstance(value, str):
        return str(value)
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float | np.floating):
        number = float(value)
        if np.isnan(number):
            return ""
        return str(int(number)) if number.is_integer() else repr(number)
    return str(value)


def as_texts(values: Iterable[Any]) -> list[str]:
    """Returns raw values as texts of categories."""
    if isinstance(values, np.ndarray):
        values = values.tolist()
    return [value if type(value) is str else as_text(value) for value in values]
