"""From the `data` word, or the user's own callable, to two sources."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import specflow
from specflow.config.base import Target
from specflow.config.sections.data import DigitsConfig
from specflow.config.sections.data_sources import (
    BreastCancerConfig,
    DiabetesConfig,
    NpzConfig,
    TextConfig,
)
from specflow.data import ArraySource, Data, build_data
from specflow.diagnostics.errors import DataError


def _target(function) -> Target:
    target = Target.model_validate({"_target_": "mine.load", "rows": 4})
    target.bind(function)
    return target


def _rows(rows, width=2):
    return {"x": np.zeros((rows, width), np.float32)}, np.zeros(rows, np.int32)


def _message(value) -> str:
    def load(rows):
        return value

    with pytest.raises(DataError) as caught:
        build_data(_target(load))
    return str(caught.value)


@pytest.mark.parametrize(
    ("config", "rows"),
    [
        (DigitsConfig(), (1438, 359)),
        (DiabetesConfig(), (354, 88)),
        (BreastCancerConfig(shuffle=False), (455, 114)),
    ],
)
def test_a_named_set_gives_rows_to_train_and_to_evaluate_on(config, rows):
    data = build_data(config)
    assert (len(data.train), len(data.eval)) == rows
    assert data.shuffle is config.shuffle


def test_text_and_files_are_built_too(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.py").write_text(name * 9)
        np.savez(tmp_path / f"{name}.npz", x=np.zeros(2), labels=np.zeros(2))
    text = build_data(TextConfig(root=str(tmp_path), length=4, eval_fraction=0.5))
    files = build_data(
        NpzConfig(train=str(tmp_path / "a.npz"), eval=str(tmp_path / "b.npz"))
    )
    assert (len(text.train), len(text.eval)) == (2, 2)
    assert (len(files.train), len(files.eval)) == (2, 2)


def test_a_callable_of_the_users_own_gives_arrays():
    def load(rows):
        return {"train": _rows(rows), "eval": _rows(1)}

    data = build_data(_target(load))
    assert (len(data.train), len(data.eval)) == (4, 1)


def test_a_callable_may_give_a_data_object_or_sources():
    held = ArraySource(*_rows(1))
    whole = Data(held, held, shuffle=False)
    assert build_data(_target(lambda rows: whole)) is whole
    parts = build_data(_target(lambda rows: {"train": held, "eval": held}))
    assert parts.train is held


def test_another_kind_of_result_is_named():
    assert _message([1]) == (
        "mine.load: returned list. "
        'Expected {"train": (features, labels), "eval": (features, labels)}.'
    )


def test_a_misspelled_part_gets_the_near_miss():
    assert _message({"trian": _rows(2), "eval": _rows(2)}) == (
        "mine.load: returned a dict of trian, eval. "
        'Expected {"train": (features, labels), "eval": (features, labels)}. '
        "Did you mean train?"
    )


def test_a_part_that_is_not_arrays_is_named():
    assert _message({"train": _rows(2), "eval": "rows.csv"}) == (
        "mine.load, eval: is str. "
        "Expected (features, labels): arrays or dicts of arrays, rows first."
    )


def test_a_fault_in_the_rows_names_the_part():
    assert _message({"train": _rows(2), "eval": _rows(0)}) == (
        "features.x: has no rows: the data set is empty (eval data of mine.load). "
        "Expected at least one row."
    )


def test_an_error_of_the_callable_keeps_its_type_and_says_where_it_was_raised():
    def load(rows):
        raise FileNotFoundError("rows.csv")

    with pytest.raises(FileNotFoundError, match=r"^rows\.csv") as caught:
        build_data(_target(load))
    assert caught.value.__notes__ == [
        "It was raised in mine.load, which the configuration names."
    ]


def test_parts_with_different_arrays_are_told_apart():
    train, held = _rows(2), _rows(2, width=3)
    held[0]["extra"] = np.zeros(2)
    assert _message({"train": train, "eval": (held[0], None)}) == (
        "eval data, features.extra: a row is float32[]. "
        "Expected no such array, as in the training data.\n"
        "eval data, features.x: a row is float32[3]. "
        "Expected float32[2], as in the training data.\n"
        "eval data, labels: is missing. Expected int32[], as in the training data."
    )


def test_building_data_and_the_first_chunk_load_no_heavy_library():
    code = (
        "import sys\n"
        "from specflow.config.sections.data import DigitsConfig\n"
        "from specflow.data import as_train_batches, build_data\n"
        "data = build_data(DigitsConfig())\n"
        "next(as_train_batches(data.train, batch_size=8, steps_per_chunk=5))\n"
        "print([m for m in ('jax', 'grain', 'sklearn', 'hydra') if m in sys.modules])\n"
    )
    path = str(Path(specflow.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"
