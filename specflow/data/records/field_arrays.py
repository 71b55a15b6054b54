"""Makes arrays of the values of a field."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from specflow.data.narrowing import device_dtype
from specflow.data.records.images import decoded_images
from specflow.data.source import RowSpec
from specflow.runtime.typing import Tree, is_floating

__all__ = ["ArrayField", "Problem"]

_BYTES_DTYPE = np.dtype(np.int32)
"""Of the bytes of texts, which are indices of an embedding."""


class Problem(NamedTuple):
    """A value that a field does not take."""

    row: int
    """Index of the record among those that were read."""
    text: str
    expected: str
    hint: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ArrayField:
    """A field whose array is known: declared, of the source, or inferred."""

    name: str
    kind: Literal["numbers", "list", "image", "raw", "bytes", "classes"]
    """`classes`: texts that are indices of `classes`."""
    dtype: np.dtype[Any]
    shape: tuple[int, ...] = ()
    """Of a row; a list or a text has its length, and then the shape of an item."""
    pad: float = 0.0
    missing: float | None = None
    classes: tuple[str, ...] | None = None
    own_shape: bool = False
    """Pictures have this shape, and none is resized."""

    @property
    def spec(self) -> Tree:
        """A `RowSpec` in place of each array."""
        row = RowSpec(self.shape, device_dtype(self.dtype))
        if self.kind in ("list", "bytes"):
            return {"values": row, "mask": RowSpec(self.shape[:1], np.dtype(np.bool_))}
        return row

    def arrays(self, values: Any, problems: list[Problem]) -> Tree:
        """Makes the array of some records, or values and mask of lists.

        Args:
            values: as `Records.read` returns them.
            problems: takes those of values that do not suit.
        """
        match self.kind:
            case "image":
                return self._images(values, problems)
            case "raw":
                return self._raw(values, problems)
            case "list" | "bytes":
                return self._padded(values, problems)
            case "classes":
                return self._indices(values, problems)
        return self._numbers(values, problems)

    def _numbers(self, values: Any, problems: list[Problem]) -> npt.NDArray[Any]:
        size = math.prod(self.shape)
        if isinstance(values, np.ndarray) and values.dtype.kind in "biuf":
            wrong = values.size != len(values) * size
            if not wrong:
                return self._cast(values.reshape(len(values), *self.shape), problems)
            values = list(values)
        rows: list[Any] = []
        filler = np.full(size, self.missing or 0, self.dtype)
        for row, value in enumerate(values):
            if value is None:
                rows.append(filler)
                if self.missing is None:
                    problems.append(self._lacking(row))
                continue
            if isinstance(value, str | bytes):
                shown = f"has {value[:20]!r}"
                problems.append(Problem(row, shown, self._expected("numbers")))
                rows.append(filler)
                continue
            if _is_nested(value):
                shown = "has a list of texts, or of lists of several sizes"
                problems.append(Problem(row, shown, self._expected("numbers")))
                rows.append(filler)
                continue
            array = np.asarray(value).reshape(-1)
            if array.size != size or array.dtype.kind not in "biuf":
                problems.append(self._other_size(row, array))
                array = filler
            rows.append(array)
        joined = np.stack(rows) if rows else np.zeros((0, size), self.dtype)
        return self._cast(joined.reshape(len(rows), *self.shape), problems)

    def _padded(self, values: Any, problems: list[Problem]) -> Tree:
        length, *item = self.shape
        padded = np.full((len(values), *self.shape), self.pad).astype(self.dtype)
        mask = np.zeros((len(values), length), np.bool_)
        for row, value in enumerate(values):
            if value is None:  # A record without the field has an empty list.
                continue
            if self.kind == "bytes":
                content = value.encode() if isinstance(value, str) else value
                if not isinstance(content, bytes):
                    problems.append(Problem(row, "has no text", "a text"))
                    continue
                array = np.frombuffer(content[:length], np.uint8)
            elif isinstance(value, str | bytes):
                shown = f"has {value[:20]!r}"
                problems.append(Problem(row, shown, "a list of numbers"))
                continue
            elif _is_nested(value):
                shown = "has a list of texts, or of lists of several sizes"
                problems.append(Problem(row, shown, "a list of numbers"))
                continue
            else:
                array = np.asarray(value)
                if not array.size:
                    continue
                if item and list(array.shape[1:]) != item:
                    shown = f"has {list(array.shape)} numbers"
                    expected = f"items of {item} numbers, in a list"
                    problems.append(Problem(row, shown, expected))
                    continue
                array = array[:length] if item else array.reshape(-1)[:length]
                array = self._cast(array, problems, row=row)
            padded[row, : len(array)] = array
            mask[row, : len(array)] = True
        return {"values": padded, "mask": mask}

    def _images(self, values: Any, problems: list[Problem]) -> npt.NDArray[Any]:
        contents = self._contents(values, problems)

        def note(index: int, problem: str) -> None:
            row = contents[index][0]
            text = f"does not decode: {problem}"
            problems.append(Problem(row, text, "a picture that Pillow reads"))

        shape = None if self.own_shape else self.shape
        images = decoded_images([each for _, each in contents], shape, note)
        scaled = np.float32(255) if is_floating(self.dtype) else None
        result = np.zeros((len(values), *self.shape), self.dtype)
        for (row, _), image in zip(contents, images, strict=True):
            if image is None:
                continue
            if image.shape != self.shape:
                problems.append(
                    Problem(
                        row,
                        f"is a picture of {list(image.shape)}",
                        f"{list(self.shape)}, as the first records have",
                        f"Resize them: data.fields.{self.name}={{decode: image, "
                        f"shape: {list(self.shape)}}}.",
                    )
                )
                continue
            result[row] = image if scaled is None else image / scaled
        return result

    def _raw(self, values: Any, problems: list[Problem]) -> npt.NDArray[Any]:
        stored = self.dtype.newbyteorder("<")
        size = math.prod(self.shape) * stored.itemsize
        result = np.zeros((len(values), *self.shape), self.dtype)
        for row, content in self._contents(values, problems):
            if len(content) != size:
                expected = f"{size:,} bytes: {self.dtype}{list(self.shape)}"
                problems.append(Problem(row, f"has {len(content):,} bytes", expected))
                continue
            result[row] = np.frombuffer(content, stored).reshape(self.shape)
        self._check_finite(result, problems)
        return result

    def _indices(self, values: Any, problems: list[Problem]) -> npt.NDArray[Any]:
        classes = self.classes or ()
        known = {name: index for index, name in enumerate(classes)}
        indices = np.zeros(len(values), self.dtype)
        for row, value in enumerate(values):
            if value is None:
                problems.append(self._lacking(row))
                continue
            text = _as_text(value)
            if text not in known:
                expected = f"one of {', '.join(classes)}"
                problems.append(Problem(row, f"has {text!r}", expected))
                continue
            indices[row] = known[text]
        return indices

    def _contents(
        self, values: Sequence[Any], problems: list[Problem]
    ) -> list[tuple[int, bytes]]:
        """(row, bytes) of the records that have bytes."""
        found: list[tuple[int, bytes]] = []
        for row, value in enumerate(values):
            if isinstance(value, bytes):
                found.append((row, value))
            elif value is None:
                problems.append(self._lacking(row))
            else:
                text = f"has {_described(value)}"
                problems.append(Problem(row, text, f"bytes, for decode={self.kind}"))
        return found

    def _cast(
        self, array: npt.NDArray[Any], problems: list[Problem], row: int | None = None
    ) -> npt.NDArray[Any]:
        """Converts numbers to the type of the field, and checks that none is lost."""
        if is_floating(array.dtype):
            self._check_finite(array, problems, row)
        if array.dtype == self.dtype:
            self._check_range(array, problems, row)
            return array
        with np.errstate(invalid="ignore", over="ignore"):
            cast = array.astype(self.dtype)
            if not is_floating(self.dtype):
                wrong = cast.astype(array.dtype) != array
                if wrong.any():
                    at = tuple(np.argwhere(wrong)[0])
                    number = int(at[0]) if row is None else row
                    expected = f"numbers that {self.dtype} holds"
                    problems.append(Problem(number, f"has {array[at]}", expected))
        self._check_range(cast, problems, row)
        return cast

    def _check_range(
        self, array: npt.NDArray[Any], problems: list[Problem], row: int | None
    ) -> None:
        """Checks integers that are computed in fewer bits."""
        target = device_dtype(array.dtype)
        if array.dtype.kind not in "iu" or target == array.dtype or not array.size:
            return
        low, high = int(np.iinfo(target).min), int(np.iinfo(target).max)
        if low <= array.min() and array.max() <= high:
            return
        at = tuple(np.argwhere((array < low) | (array > high))[0])
        problems.append(
            Problem(
                int(at[0]) if row is None else row,
                f"has {array[at]}",
                f"integers in [{low}, {high}]: {array.dtype} is computed as {target}",
                f"If it says which record is which: data.id={self.name}.",
            )
        )

    def _check_finite(
        self, array: npt.NDArray[Any], problems: list[Problem], row: int | None = None
    ) -> None:
        finite = np.isfinite(array)
        if not finite.all():
            at = tuple(np.argwhere(~finite)[0])
            number = int(at[0]) if row is None else row
            problems.append(Problem(number, f"has {array[at]}", "finite numbers"))

    def _lacking(self, row: int) -> Problem:
        declares = self.kind == "numbers"
        hint = f"Or fill it: data.fields.{self.name}.missing=0." if declares else ""
        return Problem(row, "is missing", "the field in every record", hint)

    def _other_size(self, row: int, array: npt.NDArray[Any]) -> Problem:
        count = f"{array.size:,} value{'' if array.size == 1 else 's'}"
        hint = ""
        if len(self.shape) <= 1:
            hint = (
                "Lists of any length are padded: "
                f"data.fields.{self.name}.length={max(array.size, *self.shape, 1)}."
            )
        return Problem(row, f"has {count}", self._expected("numbers"), hint)

    def _expected(self, what: str) -> str:
        if not self.shape:
            return "one number"
        return f"{math.prod(self.shape):,} {what}: {self.dtype}{list(self.shape)}"


def _as_text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)


def _described(value: Any) -> str:
    if isinstance(value, str):
        return f"a text, {value[:20]!r}"
    return "numbers" if not isinstance(value, list) else "a list"


def _is_nested(value: Any) -> bool:
    """Returns whether a value is a list of something else than numbers."""
    return isinstance(value, list) and any(
        isinstance(item, bytes | str | np.ndarray) for item in value
    )
