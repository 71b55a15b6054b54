"""Records of any source: splits, roles, digests, and what a plugin may return."""

from typing import ClassVar, Literal

import numpy as np
import pytest

import specflow as sf
from specflow import ConfigError, DataError, SpecflowWarning
from specflow.data import RecordField, build_data
from specflow.data.known_rows import known_rows
from tests.data.records.conftest import ListRecords

ROWS = 50


def columns(rows=ROWS, first=0):
    number = np.arange(first, first + rows)
    return {
        "x": np.stack([number, number**2], 1).astype(np.float32),
        "group": number // 5,
        "y": number % 2,
        "tag": [f"t{each}" for each in number],
    }


def settings(**more):
    return {"features": ["x"], "labels": ["y"], "id": ["tag"], **more}


def tags(source):
    return source.ids["tag"].tolist()


def test_the_order_and_the_rows_are_those_of_arrays(list_config):
    config = list_config(parts={"train": ListRecords(columns())}, **settings())
    data = build_data(config)
    again = build_data(config)
    assert tags(data.train) == tags(again.train)
    assert not set(tags(data.train)) & set(tags(data.eval))
    arrays = sf.data.ArraySource(
        {"x": data.train.column("features.x")}, data.train.column("labels")
    )
    plans = [sf.data.BatchPlan(each, 8, seed=2) for each in (data.train, arrays)]
    mine, theirs = (plan.rows(3, 5) for plan in plans)
    np.testing.assert_array_equal(mine[0]["x"], theirs[0]["x"], strict=True)
    np.testing.assert_array_equal(mine[1], theirs[1], strict=True)


def test_groups_stay_together_and_in_place_when_records_are_appended(list_config):
    split = {"by": "group", "field": "group", "eval": 0.3, "test": 0.2}
    held = {}
    for rows in (ROWS, 2 * ROWS):
        records = ListRecords(columns(rows))
        config = list_config(parts={"train": records}, **settings(split=split))
        data = build_data(config)
        held[rows] = {
            tag: part
            for part in ("train", "eval", "test")
            for tag in tags(data.split(part))
        }
        groups = {}
        for tag, part in held[rows].items():
            groups.setdefault(int(tag[1:]) // 5, set()).add(part)
        assert all(len(parts) == 1 for parts in groups.values())
    assert held[ROWS].items() <= held[2 * ROWS].items()


def test_labels_are_read_once_for_all_checks(list_config):
    records = ListRecords(columns())
    data = build_data(list_config(parts={"train": records}, **settings()))
    records.reads.clear()
    data.train.column("labels")
    sf.data.check_range(data.train, "labels", 0, 2)
    assert records.reads == []


def test_changed_files_are_refused_and_new_ones_are_evaluated_whole(list_config):
    def config(rows, **files):
        parts = {"train": ListRecords(columns(rows), files=files)}
        return list_config(parts=parts, **settings())

    fitted = build_data(config(ROWS, a="1", b="2")).columns
    same = {"columns": fitted, "same_files": True}
    assert len(build_data(config(ROWS, renamed="1", b="2"), **same).train) == 40
    with pytest.raises(DataError, match="a: has changed since the run was trained"):
        build_data(config(ROWS, a="9", b="2"), **same)
    with pytest.raises(DataError, match="Records that are held out change"):
        build_data(config(ROWS, a="9", b="2"), columns=fitted)
    new = build_data(config(7, other="3"), columns=fitted, needs_labels=False)
    assert len(new.eval) == 7


def test_stable_splits_of_changed_files_are_evaluated_with_a_warning(list_config):
    def config(digest):
        records = ListRecords(columns(), files={"a": digest, "b": "2"})
        split = {"by": "group", "field": "group"}
        return list_config(parts={"train": records}, **settings(split=split))

    fitted = build_data(config("1")).columns
    with pytest.warns(SpecflowWarning, match="has changed since"):
        build_data(config("9"), columns=fitted)


def test_rows_to_predict_need_no_labels(list_config):
    unlabeled = columns(5)
    del unlabeled["y"]
    parts = {"train": ListRecords(columns()), "eval": ListRecords(unlabeled, name="n")}
    data = build_data(list_config(parts=parts, **settings()), needs_labels=False)
    assert data.eval.take(slice(2))[1] is None
    with pytest.raises(DataError, match="y is missing"):
        build_data(list_config(parts=parts, **settings())).eval.take(slice(2))


def test_labels_of_several_fields_are_named(list_config):
    given = settings(labels=["y", "group"])
    data = build_data(list_config(parts={"train": ListRecords(columns())}, **given))
    _, labels = data.train.take(slice(3))
    np.testing.assert_array_equal(
        labels["group"], data.train.column("labels.group")[:3]
    )
    assert set(data.columns.labels) == {"y", "group"}


def test_texts_are_classes_and_bytes(list_config):
    values = {"t": ["ab", "\u00e9", "abcd"] * 4, "y": ["no", "yes", "no"] * 4}
    fields = {
        "t": {"decode": "bytes", "length": 3},
        "y": {"classes": ["no", "yes"]},
    }
    config = list_config(
        parts={"train": ListRecords(values)}, labels=["y"], fields=fields
    )
    data = build_data(config)
    text = {bytes(row[mask].astype(np.uint8)) for row, mask in zip(
        *(data.train.take(slice(None))[0]["t"][each] for each in ("values", "mask")),
        strict=True,
    )}  # fmt: skip
    assert text == {b"ab", "\u00e9".encode(), b"abc"}
    assert data.columns.labels["y"].classes == ("no", "yes")


class AbsentConfig(sf.RecordFilesConfig):
    """A source whose package is not installed."""

    packages: ClassVar = ("a_package_that_is_not_there",)
    requirement: ClassVar = "specflow-jax[absent]"
    name: Literal["absent"] = "absent"

    def build(self, *, part):
        raise AssertionError("it was opened")


def test_a_missing_package_is_named_with_its_extra(golden):
    with pytest.raises(ConfigError) as raised:
        build_data(AbsentConfig(files=["a"]))
    golden("records/package.txt", f"{raised.value}\n")


@pytest.mark.parametrize("case", ["no_records", "empty", "no_features", "one_record"])
def test_what_cannot_be_used_is_reported(case, list_config, golden):
    records = {
        "no_records": [1, 2],
        "empty": ListRecords(columns(0)),
        "no_features": ListRecords({"y": np.arange(9)}),
        "one_record": ListRecords(columns(1)),
    }[case]
    given = {"labels": ["y"]} if case == "no_features" else settings()
    with pytest.raises((ConfigError, DataError)) as raised:
        build_data(list_config(parts={"train": records}, **given))
    golden(f"records/{case}.txt", f"{raised.value}\n")


BROKEN = {
    "raw": {"fields": {"x": {"decode": "raw"}}},
    "bytes": {"fields": {"x": {"decode": "bytes"}}},
    "both": {"fields": {"x": {"shape": [2], "length": 3}}},
    "picture": {"fields": {"x": {"decode": "image", "shape": [2, 2]}}},
    "split": {"split": {"by": "group"}},
    "fractions": {"split": {"eval": 0.6, "test": 0.5}},
    "roles": {"labels": ["x"], "features": ["x"]},
    "sets": {"eval_sets": {"train": ["a"]}},
}


@pytest.mark.parametrize("case", BROKEN)
def test_settings_that_do_not_suit_each_other_are_refused(case, golden):
    with pytest.raises(ConfigError) as raised:
        AbsentConfig(files=["a"], **BROKEN[case])
    golden(f"records/rule_{case}.txt", f"{raised.value}\n")


def test_rows_are_known_where_the_source_says_so(list_config):
    class Known(AbsentConfig):
        def known_rows(self, part):
            return 100

    assert known_rows(Known(files=["a"])) == 80
    assert known_rows(Known(files=["a"], eval_files=["b"])) == 100
    assert known_rows(Known(files=["a"], split={"by": "group", "field": "g"})) is None
    assert known_rows(AbsentConfig(files=["a"])) is None


def test_fields_of_the_source_are_used_as_they_are(list_config):
    fields = {
        "x": RecordField(kind="numbers", dtype=np.dtype(np.float32), shape=(2, 1)),
        "y": RecordField(kind="numbers", dtype=np.dtype(np.int8), classes=("a", "b")),
    }
    records = ListRecords(columns(), fields)
    data = build_data(list_config(parts={"train": records}, labels=["y"]))
    features, labels = data.train.take(slice(4))
    assert (features["x"].shape, labels.dtype) == ((4, 2, 1), np.int32)
