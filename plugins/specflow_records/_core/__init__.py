"""Sections of the config; a reader is imported when its records are opened."""

from typing import Any, ClassVar, Literal

from specflow import RecordFilesConfig, RecordSplitsConfig

__all__ = ["HuggingFaceConfig", "TfRecordConfig"]


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
