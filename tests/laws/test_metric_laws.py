"""Merged metrics of any split of a data set equal the metric of all rows, bit for bit.

Merging is associative and commutative; a state without rows is its identity.
"""

import dataclasses
import functools
import struct
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from specflow import metrics as m
from specflow.metrics import curves

Rows = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Member:
    """A metric with its arguments and valid rows."""

    metric: type[m.Metric]
    draw: Callable[[np.random.Generator, int], Rows]
    arguments: dict[str, Any] = dataclasses.field(default_factory=dict)

    axes_in_row: int = 0
    """Number of last axes of the first tensor that share one weight."""

    def weighted_shape(self, rows: Rows) -> tuple[int, ...]:
        shape = next(iter(rows.values())).shape
        return shape[: len(shape) - self.axes_in_row]

    def state(self, rows: Rows) -> Any:
        return self.metric.from_batch(**rows, **self.arguments)


def _spread(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Floats over sixteen decades, for which rounded sums depend on the order."""
    return rng.standard_normal(shape) * 10.0 ** rng.integers(-8, 9, shape)


def _values(rng: np.random.Generator, n: int) -> Rows:
    return {"values": _spread(rng, n)}


def _tokens(rng: np.random.Generator, n: int) -> Rows:
    return {"losses": rng.exponential(size=(n, 3)).astype(np.float32)}


def _classes(rng: np.random.Generator, n: int, classes: int = 4) -> Rows:
    labels, predictions = rng.integers(0, classes, (2, n))
    return {"labels": labels, "predictions": predictions}


def _two_classes(rng: np.random.Generator, n: int) -> Rows:
    return _classes(rng, n, 2)


def _logits(rng: np.random.Generator, n: int) -> Rows:
    scores = rng.standard_normal((n, 2, 5)).astype(ml_dtypes.bfloat16)
    return {"labels": rng.integers(0, 5, (n, 2)), "scores": scores}


def _regression(rng: np.random.Generator, n: int) -> Rows:
    return {"labels": 1e6 + _spread(rng, n), "predictions": 1e6 + _spread(rng, n)}


def _ranking(rng: np.random.Generator, n: int) -> Rows:
    # One digit, so that scores tie within a batch and between batches.
    return {
        "labels": rng.integers(0, 2, n),
        "scores": np.round(rng.random(n), 1).astype(np.float32),
    }


def _argmax(rng: np.random.Generator, n: int) -> Rows:
    rows = _logits(rng, n)
    return {"labels": rows["labels"], "predictions": rows["scores"]}


def _relative(rng: np.random.Generator, n: int) -> Rows:
    return {
        **_regression(rng, n),
        "normalizer": rng.integers(0, 3, n) * _spread(rng, n),
    }


def _vectors(rng: np.random.Generator, n: int) -> Rows:
    return {"labels": _spread(rng, n, 2, 5), "predictions": _spread(rng, n, 2, 5)}


def _tensors(rng: np.random.Generator, n: int) -> Rows:
    return {"values": _spread(rng, n, 2, 3)}


def _lists(rng: np.random.Generator, n: int) -> Rows:
    # Five classes, three listed, two labels a row, which may be one twice.
    return {
        "labels": rng.integers(0, 5, (n, 2)),
        "top": rng.random((n, 5)).argsort(-1)[:, :3],
    }


def _one_of_a_list(rng: np.random.Generator, n: int) -> Rows:
    rows = _lists(rng, n)
    return {**rows, "labels": rows["labels"][:, 0]}


AVERAGES = ("macro", "micro", "weighted")
MEMBERS = {
    "mean": Member(m.Mean, _values),
    "accuracy": Member(m.Accuracy, _classes),
    "accuracy of logits": Member(m.Accuracy, _argmax),
    "top_k": Member(m.TopK, _logits, {"k": 2}),
    "confusion_matrix": Member(m.ConfusionMatrix, _classes, {"classes": 4}),
    "auc": Member(m.AUC, _ranking),
    "mse": Member(m.MSE, _regression),
    "rmse": Member(m.RMSE, _regression),
    "mae": Member(m.MAE, _regression),
    "r2": Member(m.R2, _regression),
    "perplexity": Member(m.Perplexity, _tokens),
    "bits_per_byte": Member(m.BitsPerByte, _tokens, {"bytes_per_token": 4.3}),
    "mean, 0 of nothing": Member(m.Mean, _values, {"undefined": 0.0}),
    "sum": Member(m.Sum, _values),
    "relative_error": Member(m.RelativeError, _relative),
    "cosine_distance": Member(m.CosineDistance, _vectors, axes_in_row=1),
    "mean_tensor": Member(m.MeanTensor, _tensors),
    "per_class_accuracy": Member(m.PerClassAccuracy, _classes, {"classes": 6}),
    "per_class_accuracy, 0 of nothing": Member(
        m.PerClassAccuracy, _classes, {"classes": 6, "undefined": 0.0}
    ),
    "precision_at_k": Member(m.PrecisionAtK, _lists, axes_in_row=1),
    "recall_at_k": Member(m.RecallAtK, _lists, axes_in_row=1),
    "recall_at_k of a class": Member(
        m.RecallAtK, _lists, {"class_id": 2}, axes_in_row=1
    ),
    "average_precision_at_k": Member(m.AveragePrecisionAtK, _one_of_a_list),
}
CUTS = {"thresholds": curves.evenly_spread(11)}
for read in (
    None,
    curves.precisions,
    curves.recalls,
    curves.SensitivityAt(0.7),
    curves.SpecificityAt(0.7),
    curves.Area(),
    curves.Area("PR", "careful_interpolation"),
    curves.Area("PR", "minoring"),
    curves.Area("ROC", "majoring"),
):
    MEMBERS[f"thresholds read by {getattr(read, '__name__', read)}"] = Member(
        m.ThresholdCounts, _ranking, {**CUTS, "read": read}
    )
for each in (m.Precision, m.Recall, m.F1, m.IoU):
    MEMBERS[f"{each.__name__} binary"] = Member(each, _two_classes)
    for average in AVERAGES:
        MEMBERS[f"{each.__name__} {average}"] = Member(
            each, _classes, {"average": average}
        )

ALL_WEIGHTS = ("none", "fractions", "some zero", "mask", "a weight an example")


def test_every_metric_of_the_package_is_a_member():
    metrics = {
        value
        for value in map(functools.partial(getattr, m), m.__all__)
        if isinstance(value, type) and issubclass(value, m.Metric)
    }
    assert metrics - {m.Metric} == {member.metric for member in MEMBERS.values()}


def _draw(member: Member, seed: int, n: int, weights: str) -> Rows:
    rng = np.random.default_rng(seed)
    rows = member.draw(rng, n)
    shape = member.weighted_shape(rows)
    if weights == "a weight an example":
        rows["weights"] = rng.random(n)
    elif weights == "mask":
        rows["weights"] = rng.random(shape) < 0.7
    elif weights != "none":
        rows["weights"] = rng.random(shape)
        if weights == "some zero":
            rows["weights"][rng.random(shape) < 0.5] = 0.0
    return rows


def _take(rows: Rows, index: Any) -> Rows:
    return {name: array[index] for name, array in rows.items()}


def _merge(states: list[Any]) -> Any:
    return functools.reduce(lambda a, b: a.merge(b), states)


def _bits(state: Any) -> bytes:
    value = state.compute()
    if isinstance(value, np.ndarray):
        return value.dtype.str.encode() + value.tobytes()
    return struct.pack("d", value)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Member, Rows, int, list[int], int]:
    """A member, its rows, their number, split points, and a seed for a permutation."""
    member = MEMBERS[draw(st.sampled_from(sorted(MEMBERS)))]
    n = draw(st.integers(1, 200))
    seed = draw(st.integers(0, 2**32 - 1))
    rows = _draw(member, seed, n, draw(st.sampled_from(ALL_WEIGHTS)))
    cuts = sorted(draw(st.lists(st.integers(0, n), max_size=6)))
    return member, rows, n, cuts, seed


def _pieces(member: Member, rows: Rows, n: int, cuts: list[int]) -> list[Any]:
    bounds = zip([0, *cuts], [*cuts, n], strict=True)
    return [member.state(_take(rows, slice(*each))) for each in bounds]


@pytest.mark.parametrize("weights", ALL_WEIGHTS)
@pytest.mark.parametrize("name", MEMBERS)
def test_batches_of_every_size_give_the_metric_of_all_rows(name, weights):
    member, n = MEMBERS[name], 23
    rows = _draw(member, 7, n, weights)
    whole = _bits(member.state(rows))
    for size in range(1, n + 1):
        pieces = _pieces(member, rows, n, list(range(size, n, size)))
        assert _bits(_merge(pieces)) == whole, f"batches of {size}"


@settings(max_examples=300)
@given(cases())
def test_splitting_anywhere_gives_the_metric_of_all_rows(case):
    member, rows, n, cuts, _ = case
    pieces = _pieces(member, rows, n, cuts)
    assert _bits(_merge(pieces)) == _bits(member.state(rows))


@settings(max_examples=200)
@given(cases())
def test_the_order_of_merging_and_of_rows_does_not_matter(case):
    member, rows, n, cuts, seed = case
    whole = _bits(member.state(rows))
    rng = np.random.default_rng(seed)
    pieces = _pieces(member, rows, n, cuts)
    assert _bits(_merge([pieces[i] for i in rng.permutation(len(pieces))])) == whole
    assert _bits(member.state(_take(rows, rng.permutation(n)))) == whole


@settings(max_examples=200)
@given(cases())
def test_merge_is_associative(case):
    member, rows, n, cuts, _ = case
    assume(len(cuts) >= 2)
    pieces = _pieces(member, rows, n, cuts)
    a, b, c = pieces[0], _merge(pieces[1:-1]), pieces[-1]
    assert _bits(a.merge(b).merge(c)) == _bits(a.merge(b.merge(c)))


@settings(max_examples=200)
@given(cases())
def test_a_state_without_rows_adds_nothing(case):
    member, rows, *_ = case
    state = member.state(rows)
    for empty in (member.metric(), member.state(_take(rows, slice(0, 0)))):
        assert _bits(empty.merge(state)) == _bits(state)
        assert _bits(state.merge(empty)) == _bits(state)
        assert _bits(empty.merge(empty)) == _bits(empty)


@settings(max_examples=200)
@given(cases())
def test_merging_leaves_both_states_as_they_were(case):
    member, rows, n, cuts, _ = case
    pieces = _pieces(member, rows, n, [*cuts, n])
    before = [_bits(piece) for piece in pieces]
    _merge(pieces)
    assert [_bits(piece) for piece in pieces] == before


@pytest.mark.parametrize("name", MEMBERS)
def test_a_row_of_weight_zero_has_no_effect(name):
    member = MEMBERS[name]
    rows = _draw(member, 3, 40, "some zero")
    # The rows left out hold what no metric takes: NaN, or no class.
    masked = dict(rows)
    out = rows["weights"] == 0.0
    for key, array in masked.items():
        if key != "weights":
            masked[key] = np.where(
                out if array.ndim == out.ndim else out[..., None],
                np.nan if array.dtype.kind != "i" else -100,
                array.astype(np.float64) if array.dtype.kind != "i" else array,
            )
    assert _bits(member.state(masked)) == _bits(member.state(rows))


@settings(max_examples=100)
@given(
    st.lists(st.sampled_from([1.0, 1e308, -1e308, 5e-324, np.inf, -np.inf, np.nan])),
    st.integers(0, 2**32 - 1),
)
def test_values_at_and_beyond_the_ends_of_float64_merge_in_any_order(values, seed):
    whole = _bits(m.Mean.from_batch(np.array(values, np.float64)))
    order = np.random.default_rng(seed).permutation(len(values))
    pieces = [m.Mean.from_batch(np.array([values[index]])) for index in order]
    assert _bits(_merge([m.Mean(), *pieces])) == whole
