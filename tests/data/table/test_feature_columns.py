"""Declared columns make the features that TensorFlow's feature columns made.

Ground truth: `feature_columns.json`, recorded on TensorFlow 2.15.1. Every case has a
declaration here. Rows go through a file, as in training, and through the JSON document
and raw values, as in serving.
"""

import json

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from specflow.columns import FittedColumns
from specflow.config.sections.table import TableConfig
from specflow.data.table.fit_columns import fit_columns
from specflow.data.table.split_source import split_source
from specflow.data.table.table_cells import TableCells
from specflow.data.table.table_files import table_files
from specflow.data.table.table_reader import read_columns
from specflow.model.zoo.category_embeddings import CategoryEmbeddings
from specflow.model.zoo.linear_model import Linear
from tests.columns.test_fingerprint64 import CASES

RAW = {"name": "number", "scale": "none"}
COLORS = {"vocabulary": ["red", "green", "blue"], "oov_buckets": 0, "missing": "none"}
TWO = {**COLORS, "vocabulary": ["red", "green"]}
HASHED = {"name": "category", "missing": "none"}
CATEGORY = {"name": "category", **COLORS}
SET = {"name": "set", "missing": "none"}
IDS = {**SET, "identity": 4}
WEIGHTED = {**IDS, "weights": "w"}
VECTORS = {**IDS, "encoding": "embedding", "embedding_size": 2}
A_B = {"name": "cross", "of": ["a", "b"], "hash_buckets": 20}
PARTS = {"a": "ignore", "b": "ignore"}
BUCKETS = {"name": "number", "buckets": [0, 10, 100]}
DECLARED = {
    "numeric scalar": {"x": RAW},
    "numeric vector shape 2": {"x": {**RAW, "size": 2}},
    "numeric integers": {"x": RAW},
    "bucketized boundaries 0 10 100 (left closed)": {"x": BUCKETS},
    # A missing number is in the last bucket if it is filled with a large one.
    "bucketized NaN": {"x": {**BUCKETS, "missing": 100.0, "indicator": False}},
    "bucketized vector": {"x": {**BUCKETS, "buckets": [1, 2], "size": 2}},
    "vocabulary indicator": {"c": CATEGORY},
    "vocabulary default_value 1": {"c": {"name": "category", **TWO, "default": 1}},
    "vocabulary 2 oov buckets": {"c": {"name": "category", **TWO, "oov_buckets": 2}},
    "vocabulary multi valued, repeated": {"c": {**SET, **COLORS}},
    "integer vocabulary": {"c": {**CATEGORY, "vocabulary": ["10", "20", "30"]}},
    "identity 4 buckets default 0": {"c": {**HASHED, "identity": 4, "default": 0}},
    "identity out of range no default": {"c": {**HASHED, "identity": 4}},
    "hash bucket strings 10": {"c": {**HASHED, "hash_buckets": 10}},
    "hash bucket integers 1000": {"c": {**HASHED, "hash_buckets": 1_000}},
    "crossed strings 20": {**PARTS, "a_b": A_B},
    "crossed bucketized and vocabulary 50": {
        "buckets": {**BUCKETS, "column": "x"},
        "color": {**CATEGORY, "column": "c"},
        "x_c": {"name": "cross", "of": ["buckets", "color"], "hash_buckets": 50},
    },
    "crossed multi valued": {**PARTS, "a_b": A_B},
    "crossed hash_key 7": {**PARTS, "a_b": {**A_B, "hash_key": 7}},
    **{
        f"embedding {combiner}, table 0..7 as 4x2": {
            "c": {**VECTORS, "combiner": combiner}
        }
        for combiner in ("mean", "sum", "sqrtn")
    },
    "weighted indicator": {"c": WEIGHTED},
    **{
        f"weighted embedding {combiner}": {
            "c": {**VECTORS, "weights": "w", "combiner": combiner}
        }
        for combiner in ("mean", "sum", "sqrtn")
    },
    "order of columns in the dense layer": {"a": RAW, "z": RAW, "c": CATEGORY},
    "embedding max_norm 3": {"c": {**VECTORS, "combiner": "sum", "max_norm": 3.0}},
}
FEATURES = {
    "crossed bucketized and vocabulary 50": ["x_c"],
    # TensorFlow sorts columns by name.
    "order of columns in the dense layer": ["a", "c", "z"],
}
ELSEWHERE = {
    "numeric with normalizer (x-3)/2",
    "string_to_hash_bucket_fast 2**31",
    "string_to_hash_bucket_fast 100",
}
"""Cases of test_number_column.py and test_fingerprint64.py."""
LINEAR = "linear_model sparse_combiner sum: x weight 10, c weights 1 2 4, bias 100"
BY_NAME = {case["name"]: case for case in CASES}


def features_of(folder, columns, rows, features=None, fitted_to=()):
    """Features of rows of a JSON lines file, and the fitted columns.

    Also checks that the document of the columns makes the same bits of raw rows.

    Args:
        folder: for the file.
        columns: declared columns.
        rows: the rows, dicts.
        features: as in the config.
        fitted_to: further rows, which the columns are fitted to.
    """
    path = folder / "rows.jsonl"
    every = [*rows, *fitted_to]
    path.write_text("".join(json.dumps(row) + "\n" for row in every))
    config = TableConfig(files=[str(path)], columns=columns, features=features)
    files = table_files(config.files, key="data.files", format=None)
    names = list(every[0])
    read = read_columns(files, lambda header: [n for n in names if n in header], [])
    cells = TableCells(read, tuple(config.missing))
    if features is None:
        taken = set(config.renamed_columns)
        features = [name for name in names if name not in taken or name in columns]
        features += [name for name in columns if name not in names]
        features = [name for name in features if columns.get(name) != "ignore"]
    fitted = fit_columns(
        config, cells, np.arange(len(every)), features=features, files={}, counts={}
    )
    source = split_source(fitted, cells, np.arange(len(rows)), "train", [], False)
    made = source.take(np.arange(len(rows)))[0]
    document = FittedColumns.from_json(json.loads(json.dumps(fitted.to_json())))
    served = document({name: [row[name] for row in rows] for name in fitted.sources})
    assert_same_bits(served, made)
    return made, fitted


def assert_same_bits(served, made):
    assert served.keys() == made.keys()
    for name, array in made.items():
        if isinstance(array, dict):
            assert_same_bits(served[name], array)
        else:
            assert served[name].dtype == array.dtype
            np.testing.assert_array_equal(served[name], array)


def rows_of(case, columns):
    """Rows of a case: values in lists of one are single ones."""
    names = list(case["features"])
    several = {
        name
        for name in names
        if max(len(values) for values in case["features"][name]) > 1
        or "set" in str(columns.get(name))
    }
    return [
        {
            name: values if name in several else values[0]
            for name, values in zip(names, row, strict=True)
        }
        for row in zip(*case["features"].values(), strict=True)
    ]


def dense_of(features, fitted):
    """What the models of specflow make of features, with the recorded tables."""
    if "categories" not in features:
        return features["x"]
    embed = CategoryEmbeddings(fitted.embeddings, rngs=nnx.Rngs(0))
    for table in embed.tables.values():
        values = jnp.arange(float(table.embedding[...].size))
        table.embedding[...] = values.reshape(table.embedding[...].shape)
    return embed(None, features["categories"])


def test_every_recorded_case_has_a_declaration():
    assert {*DECLARED, *ELSEWHERE, LINEAR} == BY_NAME.keys()
    assert len(BY_NAME) == 32


@pytest.mark.parametrize("name", DECLARED)
def test_declared_columns_are_those_of_tensorflow(name, tmp_path):
    case, columns = BY_NAME[name], DECLARED[name]
    rows = rows_of(case, columns)
    fitted_to = [{"x": 5.0}] if name == "bucketized NaN" else []
    made, fitted = features_of(
        tmp_path, columns, rows, FEATURES.get(name), fitted_to=fitted_to
    )
    np.testing.assert_allclose(dense_of(made, fitted), case["dense"], rtol=1e-6)


def test_a_linear_model_sums_the_weights_of_tensorflow(tmp_path):
    case = BY_NAME[LINEAR]
    columns = {"x": RAW, "c": {**SET, **COLORS, "encoding": "embedding"}}
    made, fitted = features_of(tmp_path, columns, rows_of(case, columns))
    model = Linear(1, 1, embeddings=fitted.embeddings, rngs=nnx.Rngs(0))
    model.head.kernel[...] = jnp.array([[10.0]])
    assert model.categories is not None
    assert model.head.bias is not None
    model.head.bias[...] = jnp.array([100.0])
    table = model.categories.tables["c"].embedding
    table[...] = jnp.array([[1.0], [2.0], [4.0]])
    np.testing.assert_array_equal(model(made["x"], made["categories"]), case["dense"])
    # The same as one-hot features.
    columns = {"x": RAW, "c": {**SET, **COLORS}}
    made, _ = features_of(tmp_path, columns, rows_of(case, columns))
    weights = np.array([[10.0], [1.0], [2.0], [4.0]])
    np.testing.assert_array_equal(made["x"] @ weights + 100.0, case["dense"])
