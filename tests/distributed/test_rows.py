"""Checks that processes read equal data; threads act as processes.

Expected rows are computed by `numpy.nonzero` on the arrays as they are.
"""

import json
import sys
import threading
from types import SimpleNamespace

import ml_dtypes
import numpy as np
import pytest

from specflow.data import ArraySource, block_digests, compared_blocks
from specflow.data import digest as digests
from specflow.diagnostics.errors import ConfigError
from specflow.distributed import collectives
from specflow.estimator.synchronized_inputs import agree_on_form, agree_on_rows


class KeyValueService:
    """The key-value part of JAX's coordination service."""

    def __init__(self):
        self.values, self.changed = {}, threading.Condition()

    def key_value_set(self, key, value):
        with self.changed:
            assert key not in self.values
            self.values[key] = value
            self.changed.notify_all()

    def blocking_key_value_get(self, key, timeout_in_ms):
        with self.changed:
            if not self.changed.wait_for(
                lambda: key in self.values, timeout_in_ms / 1000
            ):
                raise RuntimeError("DEADLINE_EXCEEDED")
            return self.values[key]

    def key_value_delete(self, key):
        with self.changed:
            for each in [each for each in self.values if each.startswith(f"{key}/")]:
                del self.values[each]


class Turns(threading.local):
    turn = -1

    def __next__(self):
        self.turn += 1
        return self.turn


@pytest.fixture
def together(monkeypatch):
    """Calls a function as each of several processes: their error messages."""

    def call(*functions):
        keys, here = KeyValueService(), threading.local()
        errors = [None] * len(functions)

        def service():
            return SimpleNamespace(
                client=keys, process_id=here.index, num_processes=len(functions)
            )

        def process(index):
            here.index = index
            try:
                functions[index]()
            except ConfigError as error:
                errors[index] = str(error)

        monkeypatch.setattr(collectives, "coordination_service", service)
        monkeypatch.setattr(collectives, "_CALLS", Turns())
        threads = [
            threading.Thread(target=process, args=(index,), daemon=True)
            for index in range(len(functions))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()
        assert len(keys.values) <= len(functions)  # Of the last call only.
        return errors

    return call


def test_processes_gather_the_values_of_all(together):
    gathered = {}

    def say(index):
        for turn in range(3):
            gathered[index, turn] = collectives.gather([index, turn])

    assert (
        together(*(lambda index=index: say(index) for index in range(3))) == [None] * 3
    )
    for turn in range(3):
        expected = [[0, turn], [1, turn], [2, turn]]
        assert [gathered[index, turn] for index in range(3)] == [expected] * 3


RNG = np.random.default_rng(0)
X = RNG.normal(size=(1000, 8)).astype(np.float32)
Y = RNG.integers(0, 10, 1000).astype(np.int32)


def with_label(row, value):
    labels = Y.copy()
    labels[row] = value
    return X, labels


def with_feature(row):
    features = X.copy()
    features[row, 3] += 1e-6
    return features, Y


def compared(together, *data):
    return together(
        *(
            lambda own=own: agree_on_rows("training", ({"x": own[0]}, own[1]))
            for own in data
        )
    )


def test_equal_rows_pass(together):
    assert compared(together, (X, Y), (X.copy(), Y.copy())) == [None, None]


def test_a_differing_label_is_reported_with_both_values(together):
    messages = compared(together, (X, Y), with_label(417, 11), (X, Y))
    expected = (
        f"row 417 of labels of the training data: is 11 in process 1, and {Y[417]} "
        "in process 0. Expected the same rows, in the same order, in every process."
    )
    assert messages == [expected] * 3


def test_a_shared_nan_does_not_hide_other_differences(together):
    ages = RNG.normal(size=1000)
    ages[::2] = np.nan
    others = ages.copy()
    others[21] = 7.5
    messages = compared(together, (X, ages), (X, others))
    assert messages[0] == messages[1]
    assert messages[0].startswith(
        "row 21 of labels of the training data: is 7.5 in process 1, and "
    )
    assert compared(together, (X, ages), (X, ages.copy())) == [None, None]


def test_rows_in_bfloat16_are_compared(together):
    rows = X.astype(ml_dtypes.bfloat16)
    others = rows.copy()
    others[5, 2] += 1
    assert compared(together, (rows, Y), (rows.copy(), Y)) == [None, None]
    messages = compared(together, (rows, Y), (others, Y))
    assert messages[0].startswith(
        'row 5 of features.x of the training data: is "bfloat16[8] of digest '
    )


def test_a_differing_value_is_reported(together):
    messages = compared(together, (X, Y), with_feature(999))
    assert messages[0] == messages[1]
    assert messages[0].startswith(
        'row 999 of features.x of the training data: is "float32[8] of digest '
    )


def test_a_differing_order_is_reported_by_its_first_row(together):
    shuffled = np.random.default_rng(1).permutation(1000)
    messages = compared(together, (X, Y), (X[shuffled], Y[shuffled]))
    first = np.nonzero((X != X[shuffled]).any(axis=1))[0][0]
    assert messages[1].startswith(
        f"row {first} of features.x of the training data: is "
    )


def test_every_differing_process_is_reported(together):
    messages = compared(together, (X, Y), with_label(5, 11), with_label(900, 12))
    assert messages[0].splitlines() == [
        f"row 5 of labels of the training data: is 11 in process 1, and {Y[5]} in "
        "process 0. Expected the same rows, in the same order, in every process.",
        f"row 900 of labels of the training data: is 12 in process 2, and {Y[900]} in "
        "process 0. Expected the same rows, in the same order, in every process.",
    ]


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ((X[:-1], Y[:-1]), "rows of the training data: is 999 in process 1, and 1000"),
        (
            (X[:, :-1], Y),
            "a row of features.x of the training data: is float32[7] in process 1, and "
            "float32[8]",
        ),
    ],
)
def test_differing_shapes_are_reported_before_rows(other, expected, together):
    messages = compared(together, (X, Y), other)
    assert messages[0].replace('"', "").startswith(expected)


def test_an_iterable_is_compared_by_the_shapes_of_its_batches(together):
    forms = [{"features": {"x": np.zeros((16, size), np.float32)}} for size in (4, 5)]
    messages = together(
        *(lambda form=form: agree_on_form("training", form) for form in forms)
    )
    assert messages[0].replace('"', "") == (
        "training batch, array features.x: is float32[16, 5] in process 1, and "
        "float32[16, 4] in process 0. Expected the same data in every process."
    )


def test_a_limited_number_of_bytes_of_a_large_data_set_is_compared(monkeypatch):
    monkeypatch.setattr(digests, "_WHOLE", 1 << 16)
    source = ArraySource(RNG.normal(size=(100_000, 4)).astype(np.float32))
    blocks = compared_blocks(source)
    assert blocks == compared_blocks(source)
    assert blocks[0].start == 0
    assert blocks[-1].stop == 100_000
    assert sum(block.stop - block.start for block in blocks) * 16 <= 1 << 16
    assert len(blocks) == 64
    assert len(set(block_digests(source)["features"])) == 64


@pytest.mark.parametrize("rows", [1, 2, 3, 63, 64, 65, 129, 5000])
@pytest.mark.parametrize("whole", [1, 64, 1 << 10, 1 << 30])
def test_compared_blocks_are_existing_rows(rows, whole, monkeypatch):
    monkeypatch.setattr(digests, "_WHOLE", whole)
    blocks = compared_blocks(ArraySource(np.zeros((rows, 1), np.float32)))
    seen = [row for block in blocks for row in range(block.start, block.stop)]
    assert seen[0] == 0
    assert seen[-1] == rows - 1
    assert set(seen) <= set(range(rows))
    if whole >= rows * 4:
        assert seen == list(range(rows))


def test_gathered_values_are_plain_json():
    assert json.loads(json.dumps(block_digests(ArraySource(X))))


def test_a_process_without_jax_is_process_zero_and_does_not_load_it(monkeypatch):
    monkeypatch.delitem(sys.modules, "jax")
    assert (collectives.is_process_zero(), collectives.process_count()) == (True, 1)
    assert "jax" not in sys.modules
