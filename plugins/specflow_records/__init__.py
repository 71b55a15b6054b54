"""Sources of records: TFRecord, ArrayRecord, NumPy files, Hugging Face and TFDS.

Each is a section of `specflow.data`, of the public base `specflow.RecordsConfig`, and a
reader of records by number. What a reader imports comes with an extra.
"""

import importlib.util
import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

__all__ = ["write_tfrecords"]


def write_tfrecords(
    path: str | os.PathLike[str],
    examples: Iterable[Mapping[str, Any]],
    *,
    feature_lists: Collection[str] = (),
    compression: Literal["GZIP", "ZLIB"] | None = None,
) -> int:
    """Writes a TFRecord file of `tf.train.Example`s, without TensorFlow.

    Integers and booleans are lists of int64, other numbers of float32, texts and bytes
    of bytes; an array is flattened. An existing file is replaced once the new one is
    complete. Needs the extra `specflow-jax[tfrecord]`.

    Args:
        path: of the file; its folder has to exist.
        examples: name -> a number, text or bytes, or a list or array of one of them;
            one mapping a record, read one after another.
        feature_lists: names of values with an item for each step. With any, records
            are `tf.train.SequenceExample`s, whose context the other values are.
        compression: of the whole file; None: records can be read by number as they are.

    Returns:
        The number of records.

    Raises:
        ConfigError: the package google-crc32c is not installed.
        DataError: a value is none of an example, or the file cannot be written.

    >>> import tempfile
    >>> path = tempfile.mkdtemp() + "/figs.tfrecord"
    >>> write_tfrecords(path, ({"size": size, "kind": "fig"} for size in (1.5, 2.0)))
    2
    """
    if importlib.util.find_spec("google_crc32c") is None:
        from specflow import ConfigError
        from specflow.diagnostics.errors import Diagnostic

        raise ConfigError(
            Diagnostic(
                "write_tfrecords",
                "needs the package google-crc32c, which is not installed",
                hint="Run pip install 'specflow-jax[tfrecord]'.",
                code="package-missing",
            )
        )
    from specflow_records._core.tfrecord_writer import write_examples

    if isinstance(feature_lists, str):
        feature_lists = [feature_lists]
    return write_examples(
        Path(path), examples, feature_lists=feature_lists, compression=compression
    )
