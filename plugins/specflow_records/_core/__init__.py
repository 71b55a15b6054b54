"""Sections of the config; a reader is imported when its records are opened."""

from typing import Any, ClassVar, Literal

from specflow import RecordFilesConfig, RecordSplitsConfig

__all__ = [
    "ArrayRecordConfig",
    "HuggingFaceConfig",
    "NpyConfig",
    "TfRecordConfig",
    "TfdsConfig",
]


class TfRecordConfig(RecordFilesConfig):
    """TFRecord files of `tf.train.Example`, without TensorFlow.

    Checksums are checked. Files may be compressed by GZIP or ZLIB: they are then
    decompressed once, to the user's cache. A feature of one value is a number, and one
    of as many values in every record an array.
    """

    packages: ClassVar[tuple[str, ...]] = ("google_crc32c",)
    requirement: ClassVar[str] = "specflow-jax[tfrecord]"

    name: Literal["tfrecord"] = "tfrecord"

    def build(self, *, part: str) -> Any:
        """Opens the records of a part."""
        from specflow_records._core.tfrecord import TfRecords

        return TfRecords(self.named(part), key=self.key(part))


class ArrayRecordConfig(RecordFilesConfig):
    """ArrayRecord files, of `tf.train.Example` or of bytes.

    Files of `group_size:1` have random access to each record; other ones are read, with
    a warning, a group for each record.
    """

    packages: ClassVar[tuple[str, ...]] = ("array_record",)
    requirement: ClassVar[str] = "specflow-jax[array_record]"

    name: Literal["array_record"] = "array_record"
    payload: Literal["example", "bytes"] = "example"
    """Content of a record: a `tf.train.Example`, or the bytes of the field `record`,
    which `fields.record` decodes."""

    def build(self, *, part: str) -> Any:
        """Opens the records of a part."""
        from specflow_records._core.array_record import ArrayRecords

        return ArrayRecords(self.named(part), payload=self.payload, key=self.key(part))

    def known_rows(self, part: str) -> int:
        """Number of records of a part, which the files say at their ends."""
        from specflow_records._core.array_record import number_of_records

        return number_of_records(self.named(part), key=self.key(part))


class NpyConfig(RecordFilesConfig):
    """NumPy arrays of files, mapped: they may be larger than memory.

    A path is a folder of `.npy` files, one for each field, rows first, or an `.npz`
    file that `numpy.savez` has written, without compression. Several paths follow one
    another.
    """

    name: Literal["npy"] = "npy"

    def build(self, *, part: str) -> Any:
        """Opens the records of a part."""
        from specflow_records._core.npy import NpyRecords

        return NpyRecords(self.named(part), key=self.key(part))

    def known_rows(self, part: str) -> int:
        """Number of rows of a part, of the headers of its arrays."""
        from specflow_records._core.npy import number_of_rows

        return number_of_rows(self.named(part), key=self.key(part))


class TfdsConfig(RecordSplitsConfig):
    """A data set of TensorFlow Datasets, by `as_data_source`, without TensorFlow.

    It is one that was prepared in the format array_record or parquet.
    """

    packages: ClassVar[tuple[str, ...]] = ("tensorflow_datasets", "importlib_resources")
    requirement: ClassVar[str] = "specflow-jax[tfds]"

    name: Literal["tfds"] = "tfds"
    dataset: str
    """Folder of a prepared data set, with `dataset_info.json`; or its name, as of
    `tfds.builder`: `mnist`, `glue/cola:2.0.0`."""
    data_dir: str | None = None
    """Folder that has the data sets by name; null: that of TFDS."""

    def build(self, *, part: str) -> Any:
        """Opens the records of a part."""
        from specflow_records._core.tfds import TfdsRecords

        return TfdsRecords(self, str(self.named(part)), key=self.key(part))

    def known_rows(self, part: str) -> int:
        """Number of examples of a split, of `dataset_info.json`."""
        from specflow_records._core.tfds import number_of_examples

        return number_of_examples(self, str(self.named(part)), key=self.key(part))


class HuggingFaceConfig(RecordSplitsConfig):
    """A data set of Hugging Face `datasets`, by its Arrow files.

    Pictures, labels and arrays have exactly the shapes and types of its features.
    """

    packages: ClassVar[tuple[str, ...]] = ("datasets",)
    requirement: ClassVar[str] = "specflow-jax[huggingface]"

    name: Literal["huggingface"] = "huggingface"
    dataset: str
    """Folder of `save_to_disk`, or what `datasets.load_dataset` takes: a folder of data
    files, a builder such as `parquet` or `imagefolder`, or a name on the hub."""
    subset: str | None = None
    """Subset of the data set, also called its configuration; null: the default one."""
    revision: str | None = None
    """Commit of a data set on the hub; without one, its newest is read."""
    data_files: dict[str, list[str]] | None = None
    """Split -> files or globs, for a builder such as `parquet`."""

    def build(self, *, part: str) -> Any:
        """Opens the records of a part."""
        from specflow_records._core.huggingface import HuggingFaceRecords

        return HuggingFaceRecords(self, str(self.named(part)), key=self.key(part))
