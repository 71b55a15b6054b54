"""A column with a fixed number of numbers a row."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from specflow.columns.column_problem import ColumnProblem
from specflow.columns.number_column import NumberColumn
from specflow.columns.raw_values import MISSING, as_numbers
from specflow.columns.tokenizers import items_of

__all__ = ["VectorColumn"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class VectorColumn:
    """Fitted preprocessing of vectors: a column of numbers for each place.

    >>> column = VectorColumn.fit(np.array([[1.0, 10.0], [3.0, 30.0]]))
    >>> column.apply(np.array([[3.0, 20.0]]))
    array([[1., 0.]], dtype=float32)
    """

    numbers: tuple[NumberColumn, ...]
    separator: str = "|"
    """Separates the numbers of a text."""
    sources: tuple[str, ...] = ()
    """The raw column; empty: it has the name of this one."""
    embedding: ClassVar[None] = None

    @classmethod
    def fit(
        cls,
        values: npt.NDArray[np.float64],
        *,
        separator: str = "|",
        sources: tuple[str, ...] = (),
        **settings: Any,
    ) -> Self:
        """Fits the column to vectors of the training split.

        Args:
            values: float64 "n d", NaN where missing; each place has a number.
            separator: separates the numbers of a text.
            sources: the raw column.
            **settings: arguments of `NumberColumn.fit`.
        """
        numbers = tuple(NumberColumn.fit(place, **settings) for place in values.T)
        return cls(numbers=numbers, separator=separator, sources=sources)

    @property
    def width(self) -> int:
        """Number of features of a row."""
        return sum(number.width for number in self.numbers)

    @property
    def values_per_row(self) -> int:
        """Number of features of a row."""
        return self.width

    @property
    def expected(self) -> str:
        """Description of valid values."""
        return f"{len(self.numbers)} numbers"

    def parse(
        self, values: Sequence[Sequence[Any]], missing: Collection[str] = MISSING
    ) -> tuple[npt.NDArray[np.float64], list[ColumnProblem]]:
        """Vectors of raw values, float64 "n d", and the rows of bad ones.

        Args:
            values: of the raw column, alone in a sequence.
            missing: texts of a missing number.
        """
        vectors, wrong = self._vectors(values[0], missing)
        outside = [
            number.outside(place)
            for number, place in zip(self.numbers, vectors.T, strict=True)
        ]
        bad_rows = {*wrong, *np.flatnonzero(np.any(outside, axis=0)).tolist()}
        if not bad_rows:
            return vectors, []
        return vectors, [ColumnProblem("", sorted(bad_rows), self.expected)]

    def apply(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        """Features of vectors, float32 "n width".

        Args:
            values: float64 "n d", NaN where missing.
        """
        places = zip(self.numbers, values.T, strict=True)
        return np.concatenate([number.apply(place) for number, place in places], axis=1)

    def _vectors(
        self, values: Sequence[Any], missing: Collection[str]
    ) -> tuple[npt.NDArray[np.float64], list[int]]:
        """Vectors of raw values, NaN where missing, and the rows of other ones."""
        size = len(self.numbers)
        if (array := _array(values, size)) is not None:
            numbers, bad = as_numbers(array.ravel(), missing)
            return numbers.reshape(array.shape), np.unique(bad // size).tolist()
        vectors = np.full((len(values), size), np.nan)
        wrong: list[int] = []
        for row, value in enumerate(values):
            is_text = isinstance(value, str) or np.ndim(value) == 0
            cells = items_of(value, self.separator) if is_text else value
            numbers, bad = as_numbers(list(cells), missing)
            if bad.size or len(numbers) not in (0, size):
                wrong.append(row)
            elif len(numbers):
                vectors[row] = numbers
        return vectors, wrong

    def to_json(self) -> dict[str, Any]:
        """The column as plain values."""
        return {
            "name": "vector",
            "numbers": [number.to_json() for number in self.numbers],
            "separator": self.separator,
            "sources": list(self.sources),
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """The column of the result of `to_json`."""
        return cls(
            numbers=tuple(NumberColumn.from_json(each) for each in plain["numbers"]),
            separator=plain["separator"],
            sources=tuple(plain["sources"]),
        )

    def __str__(self) -> str:
        return f"{len(self.numbers)} numbers: {self.numbers[0]}" + (
            ", ..." if len({*map(str, self.numbers)}) > 1 else ""
        )


def _array(values: Sequence[Any], size: int) -> npt.NDArray[Any] | None:
    """The array of lists that all have this number of numbers; None for others."""
    first = values[0] if len(values) else None
    if not isinstance(first, list | tuple | np.ndarray) or len(first) != size:
        return None
    try:
        array = np.array(values if isinstance(values, np.ndarray) else list(values))
    except ValueError:
        return None
    has_numbers = array.dtype.kind in "iuf" and array.shape == (len(values), size)
    return array if has_numbers else None
