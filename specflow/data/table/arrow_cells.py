"""Numbers and texts of a whole column of cells, by Arrow's functions.

The values are those of `specflow.columns.as_number` and `as_text` for each cell, which
served rows take; a cell that Arrow may read otherwise is given to them.
"""

import contextlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from specflow.columns import CodedTexts, as_numbers, as_texts
from specflow.columns.raw_values import NUMBER

__all__ = ["coded_texts", "has_texts", "is_float64", "leading_zeros", "numbers_of"]

_EXACT = 2.0**53
"""Magnitude from which a text of digits may be no float64."""
_NUMBER = re.compile(NUMBER)
_FEW = 64
"""Number of cells that show whether a column is probably one of numbers."""

Parsed = tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]


def numbers_of(cells: Any, missing: Sequence[str]) -> Parsed:
    """Cells of one file as float64, NaN where missing, and the rows of bad ones.

    Args:
        cells: an Arrow array, or a list of JSON values.
        missing: texts of a missing number.

    >>> import pyarrow as pa
    >>> numbers_of(pa.array(["1.5", "NA", "x"]), ["NA"])
    (array([1.5, nan, nan]), array([2]))
    """
    if isinstance(cells, list):
        return as_numbers(cells, missing)
    import pyarrow as pa

    if has_texts(cells):
        return _numbers_of_texts(cells.cast(pa.string()), missing)
    kind = cells.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return as_numbers(cells.to_pylist(), missing)
    if not cells.null_count:
        return as_numbers(cells.to_numpy(zero_copy_only=False), missing)
    absent = cells.is_null().to_numpy(zero_copy_only=False)
    # Filled first: with a null Arrow converts integers through float64.
    filled = cells.fill_null(pa.scalar(0, kind))
    numbers, bad = as_numbers(filled.to_numpy(zero_copy_only=False), missing)
    return np.where(absent, np.nan, numbers), bad


def coded_texts(cells: Any) -> CodedTexts:
    """Cells of one file as texts of categories, empty where missing.

    >>> import pyarrow as pa
    >>> list(coded_texts(pa.array([7.0, None, 0.5])))
    ['7', '', '0.5']
    """
    if isinstance(cells, list):
        return CodedTexts.of(as_texts(cells))
    import pyarrow as pa

    try:
        coded = cells.dictionary_encode()
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        return CodedTexts.of(as_texts(cells.to_pylist()))
    texts = as_texts(coded.dictionary.to_pylist())
    codes = coded.indices
    if codes.null_count:
        codes = codes.fill_null(len(texts))
        texts.append("")
    return CodedTexts.merged(codes.to_numpy(zero_copy_only=False), texts)


def has_texts(cells: Any) -> bool:
    """True if cells are texts, or one of a list of JSON values is."""
    if isinstance(cells, list):
        return any(isinstance(value, str) for value in cells)
    import pyarrow as pa

    kind = cells.type
    return (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
    )


def is_float64(cells: Any) -> bool:
    """True if cells are an Arrow array of float64."""
    if isinstance(cells, list):
        return False
    import pyarrow as pa

    return pa.types.is_float64(cells.type)


def leading_zeros(cells: Any) -> npt.NDArray[np.int64]:
    """Rows of texts of digits that begin with a zero, such as 007."""
    if isinstance(cells, list):
        texts = [
            value.strip(" \t") if isinstance(value, str) else "" for value in cells
        ]
        is_code = [
            text.isdigit() and len(text) > 1 and text[0] == "0" for text in texts
        ]
        return np.flatnonzero(is_code)
    if not has_texts(cells):
        return np.array([], np.int64)
    import pyarrow as pa
    import pyarrow.compute

    pc: Any = pyarrow.compute
    cells = cells.cast(pa.string())
    # By the first bytes: a regular expression takes ten times as long.
    rows = _rows_that_may_be_codes(cells)
    if not rows.size:
        return rows
    matching = pc.match_substring_regex(
        cells.take(pa.array(rows)), r"^[ \t]*0[0-9]+[ \t]*$"
    )
    return rows[matching.to_numpy(zero_copy_only=False)]


def _rows_that_may_be_codes(cells: Any) -> npt.NDArray[np.int64]:
    """Rows of texts that begin with a zero and a digit, or with a blank."""
    _, offsets, content = cells.buffers()
    if content is None or not content.size:
        return np.array([], np.int64)
    starts = np.frombuffer(offsets, np.int32)[cells.offset :][: len(cells) + 1]
    text = np.frombuffer(content, np.uint8)
    first = text[np.minimum(starts[:-1], len(text) - 1)]
    rows = np.flatnonzero((first == ord("0")) | (first == ord(" ")) | (first == 9))
    # An empty text has the first byte of the next one.
    lengths = starts[rows + 1] - starts[rows]
    second = text[np.minimum(starts[rows] + 1, len(text) - 1)]
    is_digit = (second >= ord("0")) & (second <= ord("9"))
    return rows[(lengths > 1) & ((first[rows] != ord("0")) | is_digit)]


def _numbers_of_texts(cells: Any, missing: Sequence[str]) -> Parsed:
    """The values of `as_number`.

    Arrow's own reading of texts as numbers takes more texts than the common syntax only
    where the result is not finite, and fails at the first text that is none. So whole
    columns are read by it once missing cells are found; cells whose result is infinite,
    NaN or past the exact integers are read one by one.
    """
    import pyarrow as pa
    import pyarrow.compute

    pc: Any = pyarrow.compute  # Its functions are made when it is imported.
    if not any(map(_NUMBER.fullmatch, missing)) and not cells.null_count:
        # Most columns miss nothing.
        with contextlib.suppress(pa.ArrowInvalid):
            numbers = _float64(cells)
            if numbers.size and -_EXACT < numbers.min() and numbers.max() < _EXACT:
                return numbers, np.array([], np.int64)
    declared = pa.array(list(missing), pa.string())
    is_missing = pc.or_(pc.is_in(cells, value_set=declared), pc.is_null(cells))
    try:
        numbers = _float64(pc.if_else(is_missing, pa.scalar(None, pa.string()), cells))
    except pa.ArrowInvalid:
        return _numbers_of_different(cells, missing)
    with np.errstate(invalid="ignore"):
        suspect = ~(np.abs(numbers) < _EXACT)
    suspect &= ~is_missing.to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(suspect)
    if not rows.size:
        return numbers, rows
    parsed, bad = as_numbers(cells.take(pa.array(rows)).to_pylist(), missing)
    numbers = numbers.copy()
    numbers[rows] = parsed
    return numbers, rows[bad]


def _float64(texts: Any) -> npt.NDArray[np.float64]:
    """Texts as float64, NaN for a null.

    Raises:
        pyarrow.ArrowInvalid: one is no number.
    """
    import pyarrow as pa

    # A failure takes long where many cells fail: first for a few.
    texts.slice(0, _FEW).cast(pa.float64())
    return texts.cast(pa.float64()).to_numpy(zero_copy_only=False)


def _numbers_of_different(cells: Any, missing: Sequence[str]) -> Parsed:
    """The values of `as_number`, which each different text is given to."""
    coded = coded_texts(cells)
    numbers, bad = as_numbers(list(coded.texts), missing)
    is_bad = np.zeros(len(numbers), np.bool_)
    is_bad[bad] = True
    if not len(coded):
        return np.array([], np.float64), np.array([], np.int64)
    values, is_bad = numbers[coded.codes], is_bad[coded.codes]
    if cells.null_count:
        absent = cells.is_null().to_numpy(zero_copy_only=False)
        values, is_bad = np.where(absent, np.nan, values), is_bad & ~absent
    return values, np.flatnonzero(is_bad)
