"""The five checks: planted problems are found, and clean data has none."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score

from specflow.cli.main import main
from specflow.columns import CodedTexts
from specflow.exploration.column_statistics import data_statistics
from specflow.exploration.data_checks import data_checks, order_of
from specflow.exploration.leakage_check import label_score, row_hashes
from specflow.exploration.split_columns import SplitColumn, SplitColumns
from tests.compose.conftest import golden
from tests.exploration.planted_table import (
    SETTINGS,
    clean_rows,
    planted_rows,
    write_csv,
)

__all__ = ["golden"]


@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("specflow.exploration.pipeline_speed._SECONDS", 0.01)
    write_csv(tmp_path / "clean.csv", clean_rows())
    write_csv(tmp_path / "planted.csv", planted_rows())
    return tmp_path


def test_clean_rows_have_no_findings(table, capsys, golden):
    assert main(["data", "check", *SETTINGS, "data.files=clean.csv"]) == 0
    printed = capsys.readouterr().out
    golden("data/clean.txt", printed.partition("\npipeline")[0])
    assert "rows/s over" in printed


def test_planted_problems_are_found_with_numbers_and_advice(table, capsys, golden):
    """Each check has a finding, and errors decide the status."""
    words = [*SETTINGS, "data.files=planted.csv", "data.shuffle=false"]
    assert main(["data", "check", *words]) == 1
    golden("data/planted.txt", capsys.readouterr().out.partition("\npipeline")[0])


def test_tools_get_the_same_as_json(table, capsys):
    words = [*SETTINGS, "data.files=planted.csv", "data.shuffle=false"]
    assert main(["data", "check", *words, "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["status"] == 1
    checks = {check["check"]: check for check in document["checks"]}
    assert list(checks) == ["missing", "constant", "leakage", "imbalance", "order"]
    assert {name: check["severity"] for name, check in checks.items()} == {
        "missing": "warning",
        "constant": "warning",
        "leakage": "error",
        "imbalance": "warning",
        "order": "warning",
    }
    (imbalance,) = checks["imbalance"]["findings"]
    assert imbalance["code"] == "data-imbalance"
    numbers = imbalance["numbers"]
    assert numbers["ratio"] == numbers["most"] / numbers["least"]
    speed = document["speed"]
    assert set(speed["seconds_a_row"]) == {"order", "read", "batch", "queue"}
    assert speed["rows_per_second"] > 0


def test_a_table_larger_than_memory_is_checked_by_blocks(table, capsys):
    words = [*SETTINGS, "data.files=planted.csv", "data.memory=256KiB"]
    assert main(["data", "check", *words, "data.shuffle=blocks", "--json"]) == 1
    checks = json.loads(capsys.readouterr().out)["checks"]
    (order,) = next(c["findings"] for c in checks if c["check"] == "order")
    assert "are shuffled by blocks" in order["problem"]
    assert "data.shuffle=rows" in order["hint"]


def columns(**values):
    """Columns of a split; `y` is the label."""
    return tuple(
        SplitColumn(
            name,
            "label" if name == "y" else "feature",
            "category" if isinstance(cells[0], str) else "number",
            *([] if isinstance(cells[0], str) else [np.array(cells, np.float64)]),
            texts=CodedTexts.of(cells if isinstance(cells[0], str) else ()),
        )
        for name, cells in values.items()
    )


def checked(train, held, *, shuffle=True):
    splits = {
        name: SplitColumns(len(each[0]), 1, each)
        for name, each in (("train", train), ("eval", held))
    }
    results = data_checks(splits, data_statistics(splits), shuffle=shuffle)
    return {result.name: result for result in results}


def test_a_column_missing_in_one_split_is_found():
    nan = float("nan")
    train = columns(y=["a", "b"] * 50, x=[1.0, 2.0, 3.0, 4.0] * 25)
    held = columns(y=["a", "b"] * 50, x=[1.0, nan, nan, 3.0] * 25)
    (finding,) = checked(train, held)["missing"].findings
    assert finding.numbers == {"train": 0.0, "eval": 0.5}


def test_a_class_without_rows_to_evaluate_is_found():
    train = columns(y=["a", "b", "c"] * 20, x=np.arange(60.0))
    held = columns(y=["a", "b"] * 20, x=np.arange(40.0) + 0.5)
    (finding,) = checked(train, held)["imbalance"].findings
    assert "1 of 3 classes have no row to evaluate on: c" in finding.diagnostic.problem


def test_a_label_with_one_value_is_an_error():
    train = columns(y=["a"] * 30, x=np.arange(30.0))
    found = checked(train, train)["constant"]
    assert (found.severity, found.findings[0].diagnostic.where) == ("error", "y")


@pytest.mark.parametrize("shuffle", [True, "rows"])
def test_a_sorted_file_is_no_problem_where_all_rows_are_shuffled(shuffle):
    train = columns(y=["a"] * 50 + ["b"] * 50, x=np.arange(100.0))
    assert checked(train, train, shuffle=shuffle)["order"].severity == "ok"
    for by_blocks in (False, "blocks"):
        assert checked(train, train, shuffle=by_blocks)["order"].severity == "warning"


def test_rows_that_are_equal_by_chance_are_no_leak():
    """Two columns of a few values: most rows have a twin in any other split."""
    rng = np.random.default_rng(0)
    splits = [
        columns(
            y=rng.choice(["a", "b"], 400).tolist(),
            x=rng.choice(["l", "m", "n"], 400).tolist(),
            z=rng.integers(0, 9, 400).astype(float),
        )
        for _ in range(2)
    ]
    assert checked(*splits)["leakage"].severity == "ok"
    # The same rows once more are a leak where their values are rare.
    rare = [(*split, *columns(w=rng.normal(size=400).tolist())) for split in splits]
    assert checked(*rare)["leakage"].severity == "ok"
    assert checked(rare[0], rare[0])["leakage"].severity == "error"


@settings(max_examples=30)
@given(
    rows=st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from([0.0, -0.0, 1.5, np.nan])),
        min_size=2,
        max_size=12,
    ),
    cut=st.integers(1, 11),
)
def test_equal_rows_have_equal_hashes_in_both_splits(rows, cut):
    cut = min(cut, len(rows) - 1)
    parts = [rows[:cut], rows[cut:]]
    splits = [
        SplitColumns(
            len(part),
            1,
            columns(y=[text for text, _ in part], x=[number for _, number in part]),
        )
        for part in parts
    ]
    hashes = np.concatenate(row_hashes(*splits)).tolist()
    keys = [(text, repr(number + 0.0)) for text, number in rows]
    for i, first in enumerate(keys):
        for j, second in enumerate(keys):
            assert (hashes[i] == hashes[j]) == (first == second)


def test_the_score_of_a_number_for_a_number_is_r2_of_a_line():
    rng = np.random.default_rng(0)
    x, held_x = rng.normal(size=300), rng.normal(size=200)
    y, held_y = 3 * x + rng.normal(size=300), 3 * held_x + rng.normal(size=200)
    fitted = LinearRegression().fit(x[:, None], y)
    expected = r2_score(held_y, fitted.predict(held_x[:, None]))
    found = label_score(
        (columns(y=y)[0], columns(y=held_y)[0]), (columns(x=x)[0], columns(x=held_x)[0])
    )
    assert found == pytest.approx(expected, rel=1e-9)


def test_the_score_of_a_category_is_that_of_its_most_frequent_class():
    rng = np.random.default_rng(0)
    x = rng.choice(["p", "q", "r"], 500)
    flips = rng.random(500) < 0.2
    y = np.where(flips, "b", np.where(x == "p", "a", "c"))
    train, held = slice(0, 300), slice(300, None)
    rule = {
        value: max("abc", key=lambda c: (y[train][x[train] == value] == c).sum())
        for value in "pqr"
    }
    most = max("abc", key=lambda c: (y[train] == c).sum())
    wrong = np.mean(np.array([rule[value] for value in x[held]]) != y[held])
    expected = 1 - wrong / (y[held] != most).mean()
    found = label_score(
        tuple(columns(y=y[part].tolist())[0] for part in (train, held)),
        tuple(columns(x=x[part].tolist())[0] for part in (train, held)),
    )
    assert found == pytest.approx(expected, rel=1e-12)


@settings(max_examples=30)
@given(values=st.lists(st.integers(-9, 9), min_size=2, max_size=30))
def test_order_compares_neighbours_with_all_pairs(values):
    numbers = np.array(values, np.float64)
    between = np.abs(np.diff(numbers)).mean()
    pairs = np.abs(numbers[:, None] - numbers[None, :]).mean()
    expected = min(1.0, max(0.0, 1 - between / pairs)) if pairs else 0.0
    (column,) = columns(y=numbers)
    assert order_of(column) == pytest.approx(expected, abs=1e-12)
