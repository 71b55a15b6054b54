"""Declared splits and folds of records: those of a table with the same rows."""

import numpy as np
import pytest

from specflow import ConfigError, DataError
from specflow.config.sections.table import TableConfig
from specflow.data import build_data
from specflow.data.known_rows import known_rows
from tests.data.records.conftest import ListRecords

ROWS = 53
ROLES = {"features": ["x"], "labels": ["y"], "id": ["tag"]}


def columns():
    number = np.arange(ROWS)
    return {
        "x": number.astype(np.float32),
        "kind": number // 7 % 3,
        "family": number // 3,
        "y": number % 2,
        "time": (number * 31) % ROWS,
        "part": [["train", "eval", "test"][each % 3] for each in number],
        "tag": [f"t{each}" for each in number],
    }


def tags(source):
    return source.ids["tag"].tolist()


@pytest.mark.parametrize(
    ("by", "name", "folds"),
    [
        ("random", None, 5),
        ("stratified", "kind", 4),
        ("group", "family", 2),
        ("hash", "tag", 3),
        ("hash", None, 3),
        ("time", "time", None),
        ("column", "part", None),
        ("hash", "tag", None),
    ],
)
def test_records_are_divided_as_a_table_is(list_config, tmp_path, by, name, folds):
    data, file = columns(), tmp_path / "rows.csv"
    lines = [",".join(map(str, row)) for row in zip(*data.values(), strict=True)]
    file.write_text("\n".join([",".join(data), *lines]) + "\n")
    rule = {"by": by, "test": 0.2, "seed": 3, "folds": folds}
    seen = []
    for fold in range(folds) if folds else [None]:
        table = TableConfig(
            files=[str(file)], split={**rule, "column": name}, fold=fold, **ROLES
        )
        records = list_config(
            parts={"train": ListRecords(data)},
            split={**rule, "field": name},
            fold=fold,
            **ROLES,
        )
        mine, theirs = build_data(records), build_data(table)
        for part in ("train", "eval", "test"):
            assert tags(mine.split(part)) == tags(theirs.split(part))
        seen += tags(mine.eval)
        if by in ("random", "stratified"):
            assert known_rows(records) in (None, len(mine.train))
    if folds:
        assert sorted(seen + tags(mine.split("test"))) == sorted(data["tag"])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"split": {"folds": 3}}, "a fold from 0 to 2"),
        ({"split": {"folds": 3}, "fold": 3}, "a fold from 0 to 2"),
        ({"fold": 1}, "null, as .split.folds is"),
        ({"split": {"folds": 3, "by": "time", "field": "x"}}, "makes no folds"),
        ({"split": {"by": "hash"}}, "fields that identify records"),
    ],
)
def test_settings_of_folds_that_do_not_suit_are_refused(list_config, fields, message):
    with pytest.raises(ConfigError, match=message):
        list_config(parts={"train": ListRecords(columns())}, **fields)


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (
            {"by": "column", "field": "tag"},
            "tag is 't0'. Expected train, eval or test",
        ),
        ({"by": "time", "field": "tag"}, "tag is 't0'. Expected one number"),
    ],
)
def test_a_value_that_the_rule_cannot_read_is_named(list_config, split, message):
    config = list_config(parts={"train": ListRecords(columns())}, split=split, **ROLES)
    with pytest.raises(DataError) as error:
        build_data(config)
    assert message in str(error.value)
