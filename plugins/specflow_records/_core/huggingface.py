"""Data sets of Hugging Face, read by number from their Arrow tables.

The tables are read without the formats of `datasets`: these return pictures of uint8 as
int64, and another float type for a slice than for a row.
"""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets  # type: ignore
import datasets.exceptions  # type: ignore
import numpy as np
import numpy.typing as npt

from specflow import DataError, data
from specflow.diagnostics.errors import Diagnostic, did_you_mean, nearest
from specflow_records._core.arrow_values import values_of
from specflow_records._core.unopened import unopened

if TYPE_CHECKING:
    from specflow_records._core import HuggingFaceConfig

__all__ = ["HuggingFaceRecords"]

_ERRORS = (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError)
_SAVED = ("dataset_dict.json", "state.json")
"""Files of a folder of `save_to_disk`: of several splits, and of one."""


class HuggingFaceRecords:
    """One split of a data set.

    Args:
        config: the `data` section.
        split: name of the split, or a slice of it such as `train[:80%]`.
        key: dotted key that names it, for messages.

    Raises:
        DataError: the data set or the split does not exist, or cannot be read.
    """

    def __init__(self, config: "HuggingFaceConfig", split: str, *, key: str):
        self._name = f"{config.dataset}[{split}]"
        rows = _opened(config, split, key)
        if getattr(rows, "_indices", None) is not None:
            rows = rows.flatten_indices()  # Its table is in another order.
        self._features = rows.features
        self._batches = rows.data.table.to_batches()
        self._firsts = np.cumsum([0, *(batch.num_rows for batch in self._batches)])
        self.files: Mapping[str, str] = _digests(rows)

    def __len__(self) -> int:
        return int(self._firsts[-1])

    @functools.cached_property
    def fields(self) -> dict[str, data.RecordField]:
        """The features of the data set."""
        return {name: _field(feature) for name, feature in self._features.items()}

    def place(self, row: int) -> str:
        """Data set, split and number of a record."""
        return f"{self._name}, row {row}"

    def read(
        self, rows: npt.NDArray[np.int64], fields: Sequence[str] | None
    ) -> dict[str, Any]:
        """Reads rows: column -> its values."""
        names = list(self._features) if fields is None else list(fields)
        batches = np.searchsorted(self._firsts, rows, side="right") - 1
        parts: list[tuple[npt.NDArray[Any], Any]] = []
        for number in np.unique(batches).tolist():
            places = np.flatnonzero(batches == number)
            batch = self._batches[number].select(names)
            inside = rows[places] - self._firsts[number]
            start, count = int(inside[0]), len(inside)
            if np.array_equal(inside, np.arange(start, start + count)):
                batch = batch.slice(start, count)
            else:
                batch = batch.take(_arrow_array(inside))
            parts.append((places, batch))
        return {name: self._joined(name, parts, len(rows)) for name in names}

    def _joined(self, name: str, parts: Sequence[Any], rows: int) -> Any:
        """Values of a column of all batches, in the requested order."""
        is_image = self.fields[name].kind == "image"
        values = [
            (places, values_of(batch.column(name), is_image=is_image))
            for places, batch in parts
        ]
        if all(isinstance(each, np.ndarray) for _, each in values):
            shapes = {each.shape[1:] for _, each in values}
            if len(shapes) == 1:
                if len(values) == 1:
                    return values[0][1]
                joined = np.empty((rows, *shapes.pop()), values[0][1].dtype)
                for places, each in values:
                    joined[places] = each
                return joined
        listed: list[Any] = [None] * rows
        for places, each in values:
            for place, value in zip(places.tolist(), each, strict=True):
                listed[place] = value
        return listed


def _arrow_array(rows: npt.NDArray[np.int64]) -> Any:
    import pyarrow as pa

    return pa.array(rows)


def _opened(config: "HuggingFaceConfig", split: str, key: str) -> Any:
    folder = config.user_path("dataset")
    try:
        if any((folder / name).is_file() for name in _SAVED):
            return _of_folder(datasets.load_from_disk(str(folder)), config, split, key)
        return datasets.load_dataset(
            str(folder) if folder.is_dir() else config.dataset,
            name=config.subset,
            revision=config.revision,
            data_files=config.data_files,
            split=split,
        )
    except DataError:
        raise
    except _ERRORS as error:
        expected = "a folder of save_to_disk, or what datasets.load_dataset takes"
        raise unopened(config.dataset, error, key=key, expected=expected) from error


def _of_folder(value: Any, config: "HuggingFaceConfig", split: str, key: str) -> Any:
    """A split of a saved data set."""
    if not isinstance(value, datasets.DatasetDict):
        value = {str(value.split or "train"): value}
    if split in value:
        return value[split]
    raise DataError(
        Diagnostic(
            key,
            f"{config.dataset} has no split {split!r}",
            expected=f"one of {', '.join(map(str, value))}",
            hint=did_you_mean(nearest(split, list(map(str, value))))
            or "A slice of a saved split is data.split.",
            code="record-source",
        )
    )


def _digests(rows: Any) -> dict[str, str]:
    """Digest of each Arrow file; of rows in memory, their fingerprint."""
    files = {each["filename"] for each in rows.cache_files}
    if not files:
        return {"rows in memory": str(rows._fingerprint)}
    return {name: data.file_digest(name, Path(name)) for name in sorted(files)}


def _field(feature: Any) -> data.RecordField:
    """Translates a feature of `datasets`."""
    about = repr(feature)
    if isinstance(feature, datasets.ClassLabel):
        return data.RecordField(
            kind="numbers",
            dtype=np.dtype(np.int64),
            classes=tuple(feature.names),
            about=about,
        )
    if isinstance(feature, datasets.Image):
        return data.RecordField(kind="image", about=about)
    if isinstance(feature, datasets.Value):
        return _of_type(feature.dtype, (), about)
    dimensions: list[int] = []
    while isinstance(feature, datasets.List | datasets.LargeList):
        dimensions.append(getattr(feature, "length", -1))
        feature = feature.feature
    shape = getattr(feature, "shape", None)
    if shape is not None:
        dimensions += [-1 if size is None else size for size in shape]
    dtype = getattr(feature, "dtype", "")
    if not dimensions or not isinstance(dtype, str):
        return data.RecordField(kind="other", about=about)
    return _of_type(dtype, tuple(dimensions), about)


def _of_type(dtype: str, shape: tuple[int, ...], about: str) -> data.RecordField:
    if dtype in ("string", "large_string", "string_view", "binary", "large_binary"):
        return data.RecordField(kind="other" if shape else "text", about=about)
    try:
        kind = np.dtype(dtype)
    except TypeError:  # A time, a decimal.
        return data.RecordField(kind="other", about=about)
    if kind.kind not in "biuf":
        return data.RecordField(kind="other", about=about)
    if -1 in shape:
        listed = "list" if len(shape) == 1 else "other"
        return data.RecordField(kind=listed, dtype=kind, about=about)
    return data.RecordField(kind="numbers", dtype=kind, shape=shape, about=about)
