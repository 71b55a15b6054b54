"""Data sets of TensorFlow Datasets, read by number without TensorFlow."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import tensorflow_datasets as tfds  # type: ignore

from specflow import DataError, data
from specflow.diagnostics.errors import Diagnostic
from specflow_records._core.unopened import unopened

if TYPE_CHECKING:
    from specflow_records._core import TfdsConfig

__all__ = ["TfdsRecords", "number_of_examples"]

_PREPARED = "a data set that TFDS has prepared as array_record or parquet"


class TfdsRecords:
    """One split of a data set.

    Args:
        config: the `data` section.
        split: name of the split, or a slice of it such as `train[:80%]`.
        key: dotted key that names it, for messages.

    Raises:
        DataError: the data set or the split does not exist, or is not prepared.
    """

    def __init__(self, config: "TfdsConfig", split: str, *, key: str):
        self._name = f"{config.dataset}[{split}]"
        builder = _builder(config)
        features = builder.info.features
        if not isinstance(features, tfds.features.FeaturesDict):
            raise _unopened("data.dataset", f"{config.dataset!r} has unnamed features")
        # Its own order differs between processes.
        self._features = dict(sorted(features.items()))
        # Pictures are decoded, and resized, as those of other sources.
        encoded = {
            name: tfds.decode.SkipDecoding()
            for name, feature in self._features.items()
            if _is_picture(feature)
        }
        try:
            self._examples: Any = builder.as_data_source(split, decoders=encoded)
            files = builder.info.splits[split].filepaths
        except (ValueError, KeyError, OSError, NotImplementedError) as error:
            raise unopened(
                config.dataset, error, key=key, expected=_PREPARED
            ) from error
        names = sorted(map(str, files))
        self.files: Mapping[str, str] = {
            name: data.file_digest(name, Path(name)) for name in names
        }

    def __len__(self) -> int:
        return len(self._examples)

    @functools.cached_property
    def fields(self) -> dict[str, data.RecordField]:
        """The features of the data set."""
        return {name: _field(feature) for name, feature in self._features.items()}

    def place(self, row: int) -> str:
        """Data set, split and number of an example."""
        return f"{self._name}, example {row}"

    def read(
        self, rows: npt.NDArray[np.int64], fields: Sequence[str] | None
    ) -> dict[str, Any]:
        """Reads examples: feature -> its values."""
        try:
            examples = self._examples.__getitems__(rows.tolist())
        except (RuntimeError, ValueError) as error:
            first = str(error).strip().partition("\n")[0]
            raise DataError(
                Diagnostic(
                    self._name,
                    f"cannot be read: {first}",
                    expected="a data set as TFDS has prepared it",
                    hint="Prepare it again.",
                    code="data-file",
                )
            ) from error
        names = list(self._features) if fields is None else fields
        return {name: [_value(each[name]) for each in examples] for name in names}


def number_of_examples(config: "TfdsConfig", split: str, *, key: str) -> int:
    """Number of examples of a split, as `dataset_info.json` has it."""
    try:
        return _builder(config).info.splits[split].num_examples
    except (ValueError, KeyError) as error:
        raise _unopened(key, f"{config.dataset!r} has no split {split!r}") from error


def _builder(config: "TfdsConfig") -> Any:
    folder = config.user_path("dataset")
    problem = f"{config.dataset!r} is not found"
    try:
        if (folder / "dataset_info.json").is_file():
            return tfds.builder_from_directory(str(folder))
        root = None if config.data_dir is None else str(config.user_path("data_dir"))
        builder = tfds.builder(config.dataset, data_dir=root)
    except (ValueError, KeyError, OSError) as error:
        # TFDS lists all of its data sets below.
        first = str(error).strip().partition("\n")[0]
        raise _unopened("data.dataset", f"{problem}: {first}") from error
    if not builder.is_prepared():
        raise _unopened(
            "data.dataset",
            f"{config.dataset!r} is not prepared in {builder.data_dir}",
            hint="Prepare it once: tfds build, or tfds.builder(name, "
            "file_format='array_record').download_and_prepare().",
        )
    return builder


def _unopened(where: str, problem: str, hint: str = "") -> DataError:
    return DataError(
        Diagnostic(
            where,
            problem,
            expected=_PREPARED,
            hint=hint,
            code="record-source",
        )
    )


def _is_picture(feature: Any) -> bool:
    return type(feature) is tfds.features.Image


def _value(value: Any) -> Any:
    """A value as records have it: an array, bytes, a text, or what is none of them."""
    if isinstance(value, bytes | str):
        return value
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return value
    array = np.asarray(value) if not isinstance(value, Mapping) else None
    return array if array is not None and array.dtype.kind in "biuf" else [value]


def _field(feature: Any) -> data.RecordField:
    """Translates a feature of TFDS."""
    about = repr(feature)
    if _is_picture(feature):
        return data.RecordField(kind="image", about=about)
    if isinstance(feature, tfds.features.ClassLabel):
        names = None if feature.num_classes is None else tuple(feature.names)
        return data.RecordField(
            kind="numbers", dtype=np.dtype(np.int64), classes=names, about=about
        )
    if isinstance(feature, tfds.features.Text):
        return data.RecordField(kind="text", about=about)
    shape, dtype = feature.shape, feature.np_dtype
    if isinstance(shape, Mapping) or isinstance(dtype, Mapping):
        return data.RecordField(kind="other", about=about)
    kind = np.dtype(dtype).kind
    if kind not in "biuf":
        return data.RecordField(kind="other" if shape else "text", about=about)
    if None in shape:
        listed = "list" if len(shape) == 1 else "other"
        return data.RecordField(kind=listed, dtype=np.dtype(dtype), about=about)
    return data.RecordField(
        kind="numbers", dtype=np.dtype(dtype), shape=tuple(shape), about=about
    )
