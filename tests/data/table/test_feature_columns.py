"""Declared columns make the features that TensorFlow's feature columns made.

Ground truth: `feature_columns.json` and `further_feature_columns.json`, recorded on
TensorFlow 2.15.1. Every case has a declaration here. Rows go through a file, as in
training, and through the JSON document and raw values, as in serving.
"""

import json
from pathlib import Path
from typing import Any

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
IN_COLUMN_C = {"name": "category", "column": "c"}
BOUNDS = {"name": "number", "column": "x", "buckets": [0, 10, 100]}
FURTHER = {
    "crossed three strings 100": {
        **PARTS,
        "d": "ignore",
        "cross": {**A_B, "of": ["a", "b", "d"], "hash_buckets": 100},
    },
    "crossed strings with integers 100": {
        "a": "ignore",
        "n": "ignore",
        "cross": {**A_B, "of": ["a", "n"], "hash_buckets": 100},
    },
    "crossed order of columns 100": {
        **PARTS,
        "cross": {**A_B, "of": ["b", "a"], "hash_buckets": 100},
    },
    "crossed identity and string 100": {
        "a": "ignore",
        "ids": {**IN_COLUMN_C, "identity": 4, "default": 1},
        "cross": {**A_B, "of": ["ids", "a"], "hash_buckets": 100},
    },
    "crossed nested 1000": {
        **PARTS,
        "pairs": A_B,
        "bounds": BOUNDS,
        "cross": {**A_B, "of": ["pairs", "bounds"], "hash_buckets": 1_000},
    },
    "crossed vocabulary missing 50": {
        "a": "ignore",
        "color": {**COLORS, **IN_COLUMN_C},
        "cross": {**A_B, "of": ["color", "a"], "hash_buckets": 50},
    },
    "crossed vocabulary oov buckets 50": {
        "a": "ignore",
        "color": {**TWO, **IN_COLUMN_C, "oov_buckets": 2},
        "cross": {**A_B, "of": ["color", "a"], "hash_buckets": 50},
    },
    "crossed multi valued three 64": {
        **PARTS,
        "d": "ignore",
        "cross": {**A_B, "of": ["a", "b", "d"], "hash_buckets": 64},
    },
    "crossed embedding mean 20, table 0..39 as 20x2": {
        **PARTS,
        "cross": {
            **A_B,
            "missing": "none",
            "encoding": "embedding",
            "embedding_size": 2,
        },
    },
    "crossed buckets of two numbers 100": {
        "bounds": BOUNDS,
        "others": {"name": "number", "column": "y", "buckets": [0.3, 0.6]},
        "cross": {**A_B, "of": ["bounds", "others"], "hash_buckets": 100},
    },
    "crossed hash_key 0": {**PARTS, "cross": {**A_B, "hash_key": 0}},
    "weighted hash indicator 8": {"c": {**SET, "hash_buckets": 8, "weights": "w"}},
    **{
        f"embedding {combiner} of vocabulary with unknown": {
            "c": {
                **SET,
                **COLORS,
                "encoding": "embedding",
                "embedding_size": 2,
                "combiner": combiner,
            }
        }
        for combiner in ("mean", "sum", "sqrtn")
    },
    "embedding sqrtn max_norm 3": {
        "c": {**VECTORS, "combiner": "sqrtn", "max_norm": 3.0}
    },
    "vocabulary integer oov buckets 3": {
        "c": {
            **CATEGORY,
            "vocabulary": ["10", "20"],
            "oov_buckets": 3,
            "missing_texts": ["-1"],
        }
    },
    "vocabulary file size 3": {
        "c": {
            **HASHED,
            "vocabulary_file": "colors.txt",
            "max_size": 3,
            "oov_buckets": 0,
        }
    },
    "vocabulary file oov buckets 2": {
        "c": {**HASHED, "vocabulary_file": "colors.txt", "oov_buckets": 2}
    },
    "identity multi valued indicator": {"c": {**IDS, "default": 2}},
    "bucketized edge and negative": {"x": {**BUCKETS, "buckets": [0, 1]}},
    "hash bucket long strings 1000 embedding": {
        "c": {
            "name": "category",
            "hash_buckets": 1_000,
            "encoding": "embedding",
            "embedding_size": 1,
        }
    },
    "shared embedding mean": {
        name: {
            **SET,
            **COLORS,
            "encoding": "embedding",
            "embedding_size": 2,
            "shared": "colors",
        }
        for name in ("a", "b")
    },
}
SEQUENCES = {
    "sequence vocabulary indicator": {**SET, **COLORS, "encoding": "sequence"},
    "sequence identity embedding": {**IDS, "encoding": "sequence"},
}
FEATURES = {
    **{name: ["cross"] for name in FURTHER if name.startswith("crossed")},
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
FURTHER_FILE = Path(__file__).parents[2] / "columns" / "further_feature_columns.json"
FURTHER_CASES = json.loads(FURTHER_FILE.read_text(encoding="utf-8"))["cases"]
BY_NAME = {case["name"]: case for case in (*CASES, *FURTHER_CASES)}


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
    fitted, _ = fit_columns(
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
    assert {*DECLARED, *ELSEWHERE, LINEAR} == {case["name"] for case in CASES}
    assert {*FURTHER, *SEQUENCES} == {case["name"] for case in FURTHER_CASES}
    assert (len(CASES), len(FURTHER_CASES)) == (32, 25)


@pytest.mark.parametrize("name", [*DECLARED, *FURTHER])
def test_declared_columns_are_those_of_tensorflow(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("colors.txt").write_text("red\ngreen\nblue\nwhite\n")
    case, columns = BY_NAME[name], (DECLARED | FURTHER)[name]
    rows = rows_of(case, columns)
    fitted_to = [{"x": 5.0}] if name == "bucketized NaN" else []
    made, fitted = features_of(
        tmp_path, columns, rows, FEATURES.get(name), fitted_to=fitted_to
    )
    np.testing.assert_allclose(dense_of(made, fitted), expected(case), rtol=1e-6)


@pytest.mark.parametrize("name", SEQUENCES)
def test_sequences_are_those_of_tensorflow(name, tmp_path):
    case, column = BY_NAME[name], SEQUENCES[name]
    made, fitted = features_of(tmp_path, {"c": column}, rows_of(case, {"c": column}))
    ids, mask = made["c"]["ids"], made["c"]["mask"]
    made_of: Any = fitted.columns["c"]
    table = (
        np.eye(made_of.size) if "indicator" in name else np.arange(8.0).reshape(4, 2)
    )
    np.testing.assert_array_equal(table[ids] * mask[..., None], case["dense"])


def expected(case):
    """Dense features of a case, of which wide ones are stored by their nonzeros."""
    if "dense" in case:
        return case["dense"]
    dense = np.zeros((len(case["nonzero"]), case["width"]))
    for row, pairs in enumerate(case["nonzero"]):
        for place, value in pairs:
            dense[row, place] = value
    return dense


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
