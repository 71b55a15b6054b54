"""Rows as the model gets them: raw cells beside features, pictures, tokens."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from specflow.columns import FittedColumns
from specflow.data import Data, RawRows
from specflow.data.array_tree import named_leaves
from specflow.data.row_draws import AugmentedSource, RowDraws
from specflow.data.source import Source
from specflow.exploration.split_columns import class_names
from specflow.runtime.formatting import columns as aligned
from specflow.runtime.formatting import short

__all__ = ["ShownRow", "as_text", "bytes_as_text", "picture_of", "shown_rows"]

Reading: TypeAlias = Callable[[npt.NDArray[Any]], str]

_MOST_NUMBERS = 12
"""Numbers of an array that are printed."""
_LARGEST_PICTURE = 32
"""Side of a printed picture, in pixels."""
_SHADES = " .:-=+*#%@"


@dataclasses.dataclass(frozen=True, eq=False)
class ShownRow:
    """One row: what the file has, and what the model gets."""

    row: int
    """Number of the row in its split, from 0."""
    place: str
    """File and line; empty for data that is no table."""
    ids: Mapping[str, Any]
    raw: Mapping[str, Any]
    """Column -> raw cell; empty for data that is no table."""
    features: Mapping[str, npt.NDArray[Any]]
    """Key path -> array of the row, as the model gets it."""
    by_column: Mapping[str, npt.NDArray[Any]]
    """Column of a table -> its part of the features."""
    labels: Mapping[str, npt.NDArray[Any]]
    names: Mapping[str, str]
    """Key path of a label -> name of its class."""
    read: Reading | None = None
    """Reads the integers of a vector as text; None: they are numbers."""
    epoch: int | None = None
    """Epoch whose augmentation the features have; None: they have none."""

    def _plain_raw(self) -> dict[str, Any]:
        return {
            name: _cell(value) if isinstance(value, bytes) else value
            for name, value in self.raw.items()
        }

    def to_json(self) -> dict[str, Any]:
        """The row as plain values, with every number."""

        def listed(arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
            return {name: np.asarray(array).tolist() for name, array in arrays.items()}

        return {
            "row": self.row,
            **({} if self.epoch is None else {"epoch": self.epoch}),
            **({"place": self.place} if self.place else {}),
            **(
                {"ids": {n: np.asarray(v).tolist() for n, v in self.ids.items()}}
                if self.ids
                else {}
            ),
            **(
                {"raw": self._plain_raw(), "columns": listed(self.by_column)}
                if self.raw
                else {}
            ),
            "features": listed(self.features),
            "labels": listed(self.labels),
            **({"classes": dict(self.names)} if self.names else {}),
        }


def shown_rows(
    data: Data,
    split: str,
    rows: slice,
    *,
    read: Reading | None = None,
    epochs: int = 0,
    seed: int = 0,
) -> list[ShownRow]:
    """Reads some rows of a split.

    Args:
        data: of an experiment or a run.
        split: `train`, `eval` or `test`.
        rows: numbers of the rows, in the order of the split.
        read: reads the integers of a vector as text, as of `data=text`.
        epochs: number of first epochs of a training run as whose rows each one is
            shown, augmented; 0: it is shown once, as it is.
        seed: of that run.
    """
    source = data.split(split)
    numbers = range(len(source))[rows]
    plain = _read(data, source, numbers, read)
    if not epochs:
        return plain
    assert isinstance(source, AugmentedSource)
    ids = np.array(numbers)
    shown: list[list[ShownRow]] = []
    for epoch in range(epochs):
        draws = RowDraws(seed, np.full_like(ids, epoch), ids)
        taken = named_leaves(*source.take_augmented(ids, draws))
        shown.append(
            [
                _augmented(row, _of_row(taken, "features", index), epoch)
                for index, row in enumerate(plain)
            ]
        )
    return [row for of_row in zip(*shown, strict=True) for row in of_row]


def _augmented(
    row: ShownRow, features: Mapping[str, npt.NDArray[Any]], epoch: int
) -> ShownRow:
    """The row with the features of an epoch, in place of those of its columns too."""
    by_column = {
        name: features.get(f"features.{name}", part)
        for name, part in row.by_column.items()
    }
    return dataclasses.replace(row, features=features, by_column=by_column, epoch=epoch)


def _read(
    data: Data, source: Source, numbers: range, read: Reading | None
) -> list[ShownRow]:
    """Reads rows as they are."""
    taken = named_leaves(*source.take(slice(numbers.start, numbers.stop)))
    raw: Mapping[str, Sequence[Any]] = {}
    by_column: Sequence[tuple[str, Any]] = ()
    if isinstance(source, RawRows) and data.columns is not None:
        some = slice(numbers.start, numbers.stop)
        raw = source.raw(some)
        by_column = _by_column(data.columns, source.served_raw(some))
    place = getattr(source, "place", None)
    ids = getattr(source, "ids", {})
    return [
        ShownRow(
            row=number,
            place=place(number) if place is not None else "",
            ids={name: values[number] for name, values in ids.items()},
            raw={name: values[index] for name, values in raw.items()},
            features=_of_row(taken, "features", index),
            by_column=_of_row(by_column, "", index),
            labels=(labels := _of_row(taken, "labels", index)),
            names=_names(data.columns, labels),
            read=read,
        )
        for index, number in enumerate(numbers)
    ]


def as_text(row: ShownRow, *, draws: bool = True) -> str:
    """Returns a row as lines of text.

    Args:
        row: the row.
        draws: pictures are drawn, by characters.
    """
    head = f"row {row.row}" + (f" ({row.place})" if row.place else "")
    head += "" if row.epoch is None else f"  epoch {row.epoch}"
    head += "".join(f"  {name} {value}" for name, value in row.ids.items())
    for path, label in row.labels.items():
        name = f" ({row.names[path]})" if path in row.names else ""
        shown = _shown(label, row.read)
        head += f"  {path} {shown}{name}"
    if row.raw:
        cells = [
            (name, _cell(row.raw.get(name, " ")), _shown(row.by_column[name]))
            if name in row.by_column
            else (name, _cell(row.raw.get(name)), "")
            for name in dict.fromkeys([*row.raw, *row.by_column])
        ]
        drawn = [
            line
            for array in (row.by_column.values() if draws else ())
            for line in _picture(array)
        ]
        table = aligned([("column", "cell", "features"), *cells])
        return "\n".join([head, _indented(table), *drawn])
    lines = []
    for path, array in row.features.items():
        lines.append(f"{path} {short(array)}: {_shown(array, row.read)}")
        if draws and (picture := picture_of(array)) is not None:
            lines += _drawn(picture)
    return f"{head}\n{_indented(chr(10).join(lines))}"


def picture_of(
    array: npt.NDArray[Any], *, largest: int = _LARGEST_PICTURE
) -> npt.NDArray[np.float64] | None:
    """A small picture of an array, float64 "h w c" in [0, 1]; None if it is none.

    One or three channels come last, and values are scaled from their own range.

    Args:
        array: of a feature.
        largest: side in pixels to which larger pictures are sampled.

    >>> picture_of(np.arange(64.0).reshape(8, 8, 1)).shape
    (8, 8, 1)
    >>> picture_of(np.zeros(64)) is None
    True
    """
    array = np.asarray(array)
    is_picture = (
        array.ndim == 3 and array.shape[2] in (1, 3) and min(array.shape[:2]) > 3
    )
    if not is_picture:
        return None
    height, width = (
        np.linspace(0, side - 1, min(side, largest)).round().astype(int)
        for side in array.shape[:2]
    )
    small = array[np.ix_(height, width)].astype(np.float64)
    low, high = float(small.min()), float(small.max())
    return (small - low) / (high - low) if high > low else np.zeros_like(small)


def _of_row(
    arrays: Sequence[tuple[str, Any]], part: str, index: int
) -> dict[str, npt.NDArray[Any]]:
    return {
        path: np.asarray(array)[index]
        for path, array in arrays
        if not part or path.partition(".")[0] == part
    }


def _by_column(fitted: FittedColumns, raw: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Features of each column, by the code that makes those of the model."""
    apart = dataclasses.replace(fitted, joined=False)(raw)
    return [
        (path.removeprefix("features."), a) for path, a in named_leaves(apart, None)
    ]


def _names(
    fitted: FittedColumns | None, labels: Mapping[str, npt.NDArray[Any]]
) -> dict[str, str]:
    names = {}
    for path, label in labels.items():
        classes = class_names(fitted, path.removeprefix("labels."))
        if classes and np.ndim(label) == 0 and 0 <= int(label) < len(classes):
            names[path] = classes[int(label)]
    return names


def _cell(value: Any) -> str:
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    text = "(missing)" if value is None or value == "" else str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def bytes_as_text(array: npt.NDArray[Any]) -> str:
    """Reads bytes of UTF-8.

    >>> bytes_as_text(np.array([104, 105]))
    'hi'
    """
    return bytes(array.astype(np.uint8)).decode("utf-8", "replace")


def _shown(array: Any, read: Reading | None = None) -> str:
    """The numbers of an array, the first ones of a long one; tokens as text."""
    array = np.asarray(array)
    if read is not None and array.dtype.kind in "iu" and array.ndim == 1:
        return repr(read(array))
    flat = array.reshape(-1)
    if array.ndim == 0 or flat.size == 1:
        return f"{flat[0]:.6g}" if flat.dtype.kind == "f" else str(flat[0])
    first = ", ".join(f"{number:.4g}" for number in flat[:_MOST_NUMBERS].tolist())
    return f"[{first}{', ...' if flat.size > _MOST_NUMBERS else ''}]"


def _picture(array: npt.NDArray[Any]) -> list[str]:
    picture = picture_of(array)
    return [] if picture is None else _drawn(picture)


def _drawn(picture: npt.NDArray[np.float64]) -> list[str]:
    """Lines of characters, two for each pixel."""
    shades = (picture.mean(axis=2) * (len(_SHADES) - 1)).round().astype(int)
    return ["".join(2 * _SHADES[shade] for shade in line) for line in shades]


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
