"""Fitted columns as a document, and raw rows as a client sends them."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

from specflow import DataError
from specflow.columns import (
    CategoryColumn,
    CrossColumn,
    CrossPart,
    DateColumn,
    FittedColumns,
    NumberColumn,
    SetColumn,
    VectorColumn,
)
from specflow.columns.raw_values import as_number
from specflow.runtime.file_digests import signed

FITTED = FittedColumns(
    columns={
        "age": NumberColumn.fit(np.array([20.0, 40.0, np.nan])),
        "city": CategoryColumn.fit(["Rome", "Oslo"], encoding="embedding"),
        "size": NumberColumn.fit(np.array([1.0, 2.0]), missing="error"),
    },
    files={"a.csv": "0" * 64},
)
RAW = {"age": ["20", None, 40], "city": ["Oslo", "Bonn", ""], "size": [1, 2, 1.5]}


def test_raw_rows_become_features():
    features = FITTED(RAW)
    x = [[-1, 0, -1], [0, 1, 1], [1, 0, 0]]
    assert features["x"].tolist() == x
    assert features["categories"]["city"].tolist() == [0, 2, 3]


def test_columns_that_are_not_joined_are_features_of_their_own():
    apart = FittedColumns(columns=FITTED.columns, joined=False)
    shapes = {name: array.shape for name, array in apart(RAW).items()}
    assert shapes == {"age": (3, 2), "city": (3,), "size": (3,)}


def test_a_document_survives_json_and_notices_a_change():
    plain = json.loads(json.dumps(FITTED.to_json()))
    assert FittedColumns.from_json(plain) == FITTED
    last_first = dict(reversed(FITTED.columns.items()))
    other = dataclasses.replace(FITTED, columns=last_first)
    by_key = json.loads(json.dumps(other.to_json(), sort_keys=True))
    assert list(FittedColumns.from_json(by_key).columns) == ["size", "city", "age"]
    plain["columns"]["age"]["offset"] = 7.0
    with pytest.raises(DataError, match=r"^x\.json: is damaged: its digest differs\."):
        FittedColumns.from_json(plain, where="x.json")


def test_wrong_requests_are_answered_by_column_and_row():
    with pytest.raises(DataError) as raised:
        FITTED({**RAW, "age": ["x", 1, float("inf")], "size": [None, 1, 2]})
    assert str(raised.value) == (
        "age: row 0 has 'x'. Expected a number.\n"
        "age: row 2 has inf. Expected a number.\n"
        "size: row 0 has None. Expected a number."
    )
    with pytest.raises(DataError) as raised:
        FITTED({"age": [1], "city": ["Rome"], "sise": [1]})
    assert str(raised.value) == (
        "size: is missing. Expected the columns age, city, size.\n"
        "sise: is no column of features. Expected the columns age, city, size. "
        "Did you mean size?"
    )
    with pytest.raises(DataError, match="columns differ in length: age has 1, city"):
        FITTED({"age": [1], "city": ["Rome", "Oslo"], "size": [1]})


def test_a_list_is_no_category_and_no_row_is_no_request():
    columns = {"age": [30, 40, 50], "city": ["Rome", ["Rome"], {"a": 1}]}
    with pytest.raises(DataError) as raised:
        FITTED({**columns, "size": [1, 2, 3]})
    expected = "Expected one category: a text, a number or a boolean."
    assert str(raised.value) == (
        f"city: row 1 has ['Rome']. {expected}\ncity: row 2 has {{'a': 1}}. {expected}"
    )
    with pytest.raises(DataError) as raised:
        FITTED({"age": [], "city": [], "size": np.zeros(0)})
    assert str(raised.value) == (
        "rows: there are none: columns age, city, size are empty. Expected one value "
        "for each row, of at least one row."
    )


def test_one_value_is_no_column():
    with pytest.raises(DataError) as raised:
        FITTED({"age": np.float64(30), "city": "Rome", "size": None})
    assert str(raised.value) == (
        "age: is np.float64(30.0), which is no column. Expected one value for each "
        "row. Write a list: [np.float64(30.0)].\n"
        "city: is 'Rome', which is no column. Expected one value for each row. "
        "Write a list: ['Rome'].\n"
        "size: is None, which is no column. Expected one value for each row. "
        "Write a list: [None]."
    )


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1.", 1.0),
        (".5", 0.5),
        ("+7", 7.0),
        ("-1e-3", -0.001),
        ("9007199254740993", None),
        ("1e999", None),
        ("1_000", None),
        ("0x10", None),
        ("inf", None),
        ("\u0661", None),
    ],
)
def test_texts_of_numbers_have_one_syntax(text, number):
    assert as_number(text) == number


KINDS = FittedColumns(
    columns={
        **FITTED.columns,
        "pair": VectorColumn.fit(np.array([[1.0, 2.0], [3.0, 5.0]])),
        "born": DateColumn(parts=("weekday",), encoding="one_hot", zone="Europe/Rome"),
        "tags": SetColumn(items=CategoryColumn.fit(["a", "b"]), encoding="embedding"),
        "note": SetColumn(items=CategoryColumn.fit(["to", "be"]), tokenizer="words"),
        "age_tags": CrossColumn(
            parts=(
                CrossPart(
                    "index", NumberColumn(edges=(30.0,), fill=0.0, sources=("age",))
                ),
                CrossPart(
                    "index",
                    SetColumn(items=CategoryColumn.fit(["a"]), sources=("tags",)),
                ),
            ),
            buckets=9,
            length=2,
        ),
    },
)
RAW_KINDS = {
    **RAW,
    "pair": [[1, 2], "3|5", [2.0, 3.5]],
    "born": ["2026-02-01", "2026-01-31T23:30Z", None],
    "tags": ["a|b", ["b"], ""],
    "note": ["to be", None, "be be"],
}


def test_every_kind_survives_json_and_shares_raw_columns():
    plain = json.loads(json.dumps(KINDS.to_json()))
    assert FittedColumns.from_json(plain) == KINDS
    assert KINDS.sources == [*RAW, "pair", "born", "tags", "note"]
    assert KINDS.kinds() == (
        "age: number and cross, city: category, size: number, pair: vector, "
        "born: date, tags: set and cross, note: text"
    )
    features = KINDS(RAW_KINDS)
    # Sunday in Rome, twice.
    width = len(FITTED.columns["age"].apply(np.zeros(1))[0]) + 1 + 2
    assert features["x"][:, width : width + 7].argmax(1).tolist() == [6, 6, 0]
    tags = features["categories"]["tags"]
    assert tags["ids"].tolist() == [[0], [1], [0]]
    assert tags["mask"].tolist() == [[True], [True], [False]]


def test_documents_of_the_first_format_are_read():
    column = {
        "age": {
            "name": "number",
            "clip": [None, None],
            "transform": None,
            "offset": 1.0,
            "divisor": 2.0,
            "edges": None,
            "fill": 1.0,
            "indicator": False,
        },
        "city": {
            "name": "category",
            "vocabulary": ["Rome"],
            "buckets": 1,
            "missing": "none",
            "encoding": "one_hot",
            "embedding_size": None,
        },
    }
    document = {
        "format": 1,
        "columns": column,
        "labels": {"y": {"kind": "class", "classes": ["a", "b"]}},
        "joined": True,
        "missing": [""],
        "files": {},
        "rows": {},
    }
    fitted = FittedColumns.from_json(signed(document))
    assert fitted({"age": [3, ""], "city": ["Rome", "Oslo"]})["x"].tolist() == [
        [1, 1, 0],
        [0, 0, 1],
    ]
    assert fitted.class_names == ("a", "b")
    with pytest.raises(DataError, match=r"has format 9\."):
        FittedColumns.from_json(signed({**document, "format": 9}))


def test_preprocessing_needs_numpy_alone(tmp_path):
    (tmp_path / "columns.json").write_text(json.dumps(KINDS.to_json()))
    code = (
        "import sys; sys.modules['jax'] = sys.modules['pydantic'] = None\n"
        "sys.modules['pyarrow'] = sys.modules['flax'] = None\n"
        "from specflow.columns import FittedColumns\n"
        f"columns = FittedColumns.read({str(tmp_path / 'columns.json')!r})\n"
        f"print(columns({RAW_KINDS!r})['x'].tolist())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert json.loads(done.stdout) == KINDS(RAW_KINDS)["x"].tolist()
