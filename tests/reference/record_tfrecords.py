"""Records TFRecord files, and what TensorFlow parses of them.

Run once, in an environment of its own, on Python 3.11:

    pip install tensorflow-cpu==2.15.1 'numpy<2'
    python tests/reference/record_tfrecords.py

It writes `tests/reference/tfrecords`: the same 20 examples without compression, with
GZIP and with ZLIB, and `expected.json` of `tf.io.parse_example`.
"""

import json
from pathlib import Path

import numpy as np
import tensorflow as tf

FOLDER = Path(__file__).parent / "tfrecords"
ROWS = 20


def example(row: int, random: np.random.Generator) -> tf.train.Example:
    image = random.integers(0, 256, (4, 6, 3), dtype=np.uint8)
    values = {
        "id": tf.train.Int64List(value=[2**53 + 1 + row]),
        "label": tf.train.Int64List(value=[row % 3]),
        "name": tf.train.BytesList(value=[f"pear \u00e9 {row}".encode()]),
        "vector": tf.train.FloatList(value=random.normal(size=5)),
        "signed": tf.train.Int64List(value=[-row, -(2**31) + row, 300 * row]),
        "image": tf.train.BytesList(value=[tf.io.encode_png(image).numpy()]),
        "raw": tf.train.BytesList(
            value=[np.arange(row, row + 4, dtype="<i2").tobytes()]
        ),
        "words": tf.train.Int64List(value=range(row % 4)),
    }
    features = {
        name: tf.train.Feature(
            **{
                {
                    tf.train.Int64List: "int64_list",
                    tf.train.FloatList: "float_list",
                    tf.train.BytesList: "bytes_list",
                }[type(value)]: value
            }
        )
        for name, value in values.items()
    }
    if row % 5:
        weight = tf.train.FloatList(value=[row / 8])
        features["weight"] = tf.train.Feature(float_list=weight)
    return tf.train.Example(features=tf.train.Features(feature=features))


FEATURES = {
    "id": tf.io.FixedLenFeature([], tf.int64),
    "label": tf.io.FixedLenFeature([], tf.int64),
    "name": tf.io.FixedLenFeature([], tf.string),
    "vector": tf.io.FixedLenFeature([5], tf.float32),
    "signed": tf.io.FixedLenFeature([3], tf.int64),
    "image": tf.io.FixedLenFeature([], tf.string),
    "raw": tf.io.FixedLenFeature([], tf.string),
    "words": tf.io.VarLenFeature(tf.int64),
    "weight": tf.io.FixedLenFeature([], tf.float32, default_value=1.0),
}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    random = np.random.default_rng(0)
    contents = [example(row, random).SerializeToString() for row in range(ROWS)]
    for name, kind in (("plain", ""), ("gzip", "GZIP"), ("zlib", "ZLIB")):
        path = str(FOLDER / f"{name}.tfrecord")
        with tf.io.TFRecordWriter(path, kind) as writer:
            for content in contents:
                writer.write(content)
    parsed = tf.io.parse_example(contents, FEATURES)
    expected = {
        name: parsed[name].numpy().tolist()
        for name in ("id", "label", "vector", "signed", "weight")
    }
    expected["name"] = [name.decode() for name in parsed["name"].numpy()]
    expected["words"] = tf.sparse.to_dense(parsed["words"], -1).numpy().tolist()
    images = [tf.io.decode_png(each) for each in parsed["image"]]
    expected["image"] = tf.stack(images).numpy().tolist()
    expected["raw"] = tf.io.decode_raw(parsed["raw"], tf.int16).numpy().tolist()
    document = {"tensorflow": tf.__version__, "rows": ROWS, "expected": expected}
    (FOLDER / "expected.json").write_text(json.dumps(document) + "\n")


if __name__ == "__main__":
    main()
