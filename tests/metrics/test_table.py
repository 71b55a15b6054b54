"""Merging of the results of a metric_fn, and invalid results."""

import dataclasses

import ml_dtypes
import numpy as np
import pytest

from specflow import metrics as m
from specflow.diagnostics.errors import SpecError

MEAN = m.Mean.from_batch(np.array([1.0, 2.0]))


class Largest:
    """A user's own state: no base class, only merge and compute."""

    def __init__(self, value):
        self.value = value

    def merge(self, other):
        return Largest(max(self.value, other.value))

    def compute(self):
        return self.value


@dataclasses.dataclass(frozen=True, slots=True)
class UsersTopK(m.Metric):
    """As the guide shows it."""

    hits: int = 0
    count: int = 0

    @classmethod
    def from_batch(cls, labels, logits, *, k):
        best = np.argpartition(-logits, k - 1, axis=-1)[:, :k]
        return cls(hits=int((best == labels[:, None]).any(-1).sum()), count=len(labels))

    def merge(self, other):
        return type(self)(self.hits + other.hits, self.count + other.count)

    def compute(self):
        return self.hits / self.count if self.count else float("nan")


def filled(*results):
    table = m.MetricTable()
    for result in results:
        table.update(result)
    return table


def test_states_merge_by_name_and_are_computed_once():
    labels, scores = np.array([0, 1, 1]), np.eye(3)[[0, 1, 2]]
    batches = [
        {
            "top": UsersTopK.from_batch(labels[rows], scores[rows], k=1),
            "mean": m.Mean.from_batch(labels[rows]),
            "table": m.ConfusionMatrix.from_batch(
                labels[rows], scores[rows].argmax(-1), classes=3
            ),
        }
        for rows in (slice(0, 2), slice(2, 3))
    ]
    result = filled(*batches).compute()
    assert list(result) == ["top", "mean", "table"]
    assert (result["top"], result["mean"]) == (2 / 3, 2 / 3)
    np.testing.assert_array_equal(result["table"], [[1, 0, 0], [0, 1, 1], [0, 0, 0]])


def test_a_pair_is_merged_by_its_second_part():
    one, two = (
        m.Mean.from_batch(np.array([1.0])),
        m.Mean.from_batch(np.array([2.0] * 3)),
    )
    table = filled({"a": (1.0, one), "b": (one, one)}, {"a": (2.0, two), "b": two})
    assert table.compute() == {"a": 1.75, "b": 1.75}


@pytest.mark.parametrize("nothing", [None, {}])
def test_none_and_an_empty_dict_are_no_metrics(nothing):
    assert filled(nothing, None, {}).compute() == {}
    assert m.MetricTable().compute() == {}


def test_a_state_is_any_object_that_merges_and_computes():
    table = filled({"top": Largest(3)}, {"top": Largest(5)}, {"top": Largest(4)})
    assert table.compute() == {"top": 5}


@pytest.mark.parametrize(
    ("computed", "expected"),
    [
        (np.float32(0.5), 0.5),
        (np.array(7), 7),
        (np.array(0.5, ml_dtypes.bfloat16), 0.5),
        (True, True),
        (3, 3),
    ],
)
def test_a_scalar_is_returned_as_a_python_number(computed, expected):
    value = filled({"a": Largest(computed)}).compute()["a"]
    assert (type(value), value) == (type(expected), expected)


def test_an_array_is_returned_as_numpy():
    value = filled({"a": Largest([1, 2])}).compute()["a"]
    assert isinstance(value, np.ndarray)
    assert value.tolist() == [1, 2]


REFUSED = {
    "a list": (
        [MEAN],
        TypeError,
        "eval_metrics: metric_fn returned list. "
        "Expected a dict of name -> metric state.",
    ),
    "a bare state": (
        MEAN,
        TypeError,
        "eval_metrics: metric_fn returned Mean. "
        "Expected a dict of name -> metric state.",
    ),
    "a number": (
        {"a": 0.5},
        TypeError,
        "eval_metrics['a']: is float. Expected a metric state, or a (value, state) "
        "pair. A state has merge and compute, such as Mean.from_batch(values).",
    ),
    "an array": (
        {"a": np.zeros((2, 3), np.float32)},
        TypeError,
        "eval_metrics['a']: is float32[2,3]. Expected a metric state, or a (value, "
        "state) pair. A state has merge and compute, such as Mean.from_batch(values).",
    ),
    "a list of two": (
        {"a": [0.5, MEAN]},
        TypeError,
        "eval_metrics['a']: is list. Expected a metric state, or a (value, state) "
        "pair. A state has merge and compute, such as Mean.from_batch(values).",
    ),
    "a triple": (
        {"a": (0.5, MEAN, MEAN)},
        TypeError,
        "eval_metrics['a']: is (float, Mean, Mean). Expected a metric state, or a "
        "(value, state) pair. A state has merge and compute, such as "
        "Mean.from_batch(values).",
    ),
    "a pair the wrong way round": (
        {"a": (MEAN, 0.5)},
        TypeError,
        "eval_metrics['a']: is (Mean, float). Expected a metric state, or a (value, "
        "state) pair. A state has merge and compute, such as Mean.from_batch(values).",
    ),
    "a class": (
        {"a": m.Mean},
        TypeError,
        "eval_metrics['a']: is the class Mean. Expected a metric state, or a (value, "
        "state) pair. A state has merge and compute, such as Mean.from_batch(values).",
    ),
    "a name that is no text": (
        {3: MEAN},
        TypeError,
        "eval_metrics: the name 3 is of type int. Expected a str.",
    ),
    "the name of the loss": (
        {"loss": MEAN},
        ValueError,
        "eval_metrics['loss']: the name is reserved: evaluation reports its own. "
        "Give the metric another name.",
    ),
    "the name of the step": (
        {"global_step": (1, MEAN)},
        ValueError,
        "eval_metrics['global_step']: the name is reserved: evaluation reports its "
        "own. Give the metric another name.",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_invalid_result_raises_the_full_message(case):
    result, kind, message = REFUSED[case]
    with pytest.raises(SpecError) as caught:
        filled(result)
    assert str(caught.value) == message
    assert isinstance(caught.value, kind)


def test_all_diagnostics_of_a_result_are_reported_together():
    with pytest.raises(SpecError) as caught:
        filled({"loss": MEAN, "a": 0.5, "b": MEAN})
    assert [diagnostic.where for diagnostic in caught.value.diagnostics] == [
        "eval_metrics['loss']",
        "eval_metrics['a']",
    ]
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, ValueError)


CHANGED = {
    "another name": (
        {"a": MEAN, "c": MEAN},
        "eval_metrics: metric_fn returned 'a', 'c' for this batch. "
        "Expected 'a', 'b', as for earlier batches.",
    ),
    "a name less": (
        {"a": MEAN},
        "eval_metrics: metric_fn returned 'a' for this batch. "
        "Expected 'a', 'b', as for earlier batches.",
    ),
    "none at all": (
        None,
        "eval_metrics: metric_fn returned no metrics for this batch. "
        "Expected 'a', 'b', as for earlier batches.",
    ),
    "another kind": (
        {"a": MEAN, "b": m.R2()},
        "eval_metrics['b']: is R2 for this batch. "
        "Expected Mean, as for earlier batches.",
    ),
}


@pytest.mark.parametrize("case", CHANGED)
def test_other_metrics_in_a_later_batch_raise_and_leave_the_table_unchanged(case):
    result, message = CHANGED[case]
    table = filled({"a": MEAN, "b": MEAN})
    with pytest.raises(SpecError) as caught:
        table.update(result)
    assert str(caught.value) == message
    assert isinstance(caught.value, ValueError)
    assert table.compute() == {"a": 1.5, "b": 1.5}


@pytest.mark.parametrize("computed", ["text", None, {"a": 1}])
def test_a_state_that_computes_no_number_raises(computed):
    with pytest.raises(SpecError) as caught:
        filled({"a": Largest(computed)}).compute()
    assert str(caught.value) == (
        f"eval_metrics['a']: compute() returned {type(computed).__name__}. "
        "Expected a real number or an array of them."
    )
    assert isinstance(caught.value, TypeError)
