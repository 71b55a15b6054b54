"""Records sequence examples, and the bytes that TensorFlow writes for examples.

Run once, in an environment of its own, on Python 3.11:

    pip install tensorflow-cpu==2.15.1 'numpy<2'
    python tests/reference/record_sequence_examples.py

It writes `sequences.tfrecord` to `tests/reference/tfrecords`, 12 sequence examples, and
`sequences.json`: what `tf.io.parse_sequence_example` makes of them, and values with
their deterministic serialization.
"""

import json
from pathlib import Path

import numpy as np
import tensorflow as tf

FOLDER = Path(__file__).parent / "tfrecords"
ROWS = 12

VALUES = [
    {"x": [7]},
    {"x": [0, 1, 127, 128, 300, -1, 2**31, -(2**63), 2**63 - 1]},
    {"y": [0.5, -1.25, 3.0e38], "x": [-5]},
    {"name": ["pear \u00e9"], "words": ["a", "", "long " * 40]},
    {"z": [1.5], "a": [2], "m": ["b"]},
]


def feature(values):
    if isinstance(values[0], str):
        encoded = [value.encode() for value in values]
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=encoded))
    if isinstance(values[0], float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def sequence(row, random):
    steps = row % 4
    lists = {
        "tokens": [[1000 * row + step] for step in range(steps)],
        "points": [random.normal(size=3).tolist() for _ in range(steps)],
    }
    return tf.train.SequenceExample(
        context=tf.train.Features(
            feature={"label": feature([row % 2]), "name": feature([f"fig {row}"])}
        ),
        feature_lists=tf.train.FeatureLists(
            feature_list={
                name: tf.train.FeatureList(feature=[feature(each) for each in listed])
                for name, listed in lists.items()
            }
        ),
    )


def main() -> None:
    random = np.random.default_rng(0)
    contents = [sequence(row, random).SerializeToString() for row in range(ROWS)]
    with tf.io.TFRecordWriter(str(FOLDER / "sequences.tfrecord")) as writer:
        for content in contents:
            writer.write(content)
    context, lists, lengths = tf.io.parse_sequence_example(
        contents,
        context_features={
            "label": tf.io.FixedLenFeature([], tf.int64),
            "name": tf.io.FixedLenFeature([], tf.string),
        },
        sequence_features={
            "tokens": tf.io.FixedLenSequenceFeature([], tf.int64),
            "points": tf.io.FixedLenSequenceFeature([3], tf.float32),
        },
    )
    features = [
        {name: feature(values) for name, values in row.items()} for row in VALUES
    ]
    sequences = tf.train.SequenceExample(
        context=tf.train.Features(feature=features[4]),
        feature_lists=tf.train.FeatureLists(
            feature_list={
                "t": tf.train.FeatureList(feature=[feature([1]), feature([2])]),
                "none": tf.train.FeatureList(),
            }
        ),
    )
    document = {
        "tensorflow": tf.__version__,
        "label": context["label"].numpy().tolist(),
        "name": [name.decode() for name in context["name"].numpy()],
        "tokens": lists["tokens"].numpy().tolist(),
        "points": lists["points"].numpy().tolist(),
        "lengths": lengths["tokens"].numpy().tolist(),
        "values": VALUES,
        "serialized": [
            tf.train.Example(features=tf.train.Features(feature=each))
            .SerializeToString(deterministic=True)
            .hex()
            for each in features
        ],
        "serialized_sequence": sequences.SerializeToString(deterministic=True).hex(),
    }
    (FOLDER / "sequences.json").write_text(json.dumps(document) + "\n")


if __name__ == "__main__":
    main()
