"""Precision and recall at k of tf.metrics, against sets counted row by row."""

import math

import numpy as np
import pytest
import sklearn.metrics as sk

from specflow.metrics import top_classes
from specflow.tf import metrics as m

RNG = np.random.default_rng(13)
N, C = 40, 6
SCORES = np.round(RNG.standard_normal((N, C)), 1)
SEVERAL = RNG.integers(-1, C + 1, (N, 3))
ONE = RNG.integers(0, C, N)
WEIGHTS = RNG.random(N) * (RNG.random(N) < 0.8)
WEIGHTINGS = pytest.mark.parametrize(
    "weights", [None, WEIGHTS], ids=["plain", "weighted"]
)
LABELS = pytest.mark.parametrize("labels", [ONE, SEVERAL], ids=["one", "several"])


def close(value):
    return pytest.approx(value, rel=1e-12, nan_ok=True)


def best(scores, k):
    """TF's top_k: of equal scores the first class comes first."""
    return sorted(range(len(scores)), key=lambda c: (-scores[c], c))[:k]


def sets(labels, k, class_id):
    for label, scores in zip(labels.reshape(N, -1), SCORES, strict=True):
        chosen, sought = set(best(scores, k)), set(label.tolist())
        if class_id is not None:
            chosen, sought = chosen & {class_id}, sought & {class_id}
        yield chosen, sought


def streamed(function, labels, *, weights=None, **arguments):
    """The value after batches of 9, having seen that one batch gives the same."""
    state = None
    for start in range(0, N, 9):
        rows = slice(start, start + 9)
        given = {} if weights is None else {"weights": weights[rows]}
        _, more = function(labels[rows], SCORES[rows], **given, **arguments)
        state = more if state is None else state.merge(more)
    value, _ = function(labels, SCORES, weights=weights, **arguments)
    np.testing.assert_equal(state.compute(), value)
    return value


@WEIGHTINGS
@LABELS
@pytest.mark.parametrize("class_id", [None, 2])
@pytest.mark.parametrize("k", [1, 3, C])
def test_precision_and_recall_at_k_count_sets(k, class_id, labels, weights):
    each = np.ones(N) if weights is None else weights
    pairs = [*sets(labels, k, class_id)]
    hits, chosen, sought = (
        np.dot(each, [len(part) for part in parts])
        for parts in (
            [a & b for a, b in pairs],
            [a for a, _ in pairs],
            [b for _, b in pairs],
        )
    )
    arguments = {"k": k, "class_id": class_id, "weights": weights}
    assert streamed(m.precision_at_k, labels, **arguments) == close(hits / chosen)
    assert streamed(m.recall_at_k, labels, **arguments) == close(hits / sought)


@WEIGHTINGS
@pytest.mark.parametrize("k", [1, 2, 4])
def test_recall_of_one_label_is_the_top_k_accuracy_of_scikit_learn(k, weights):
    scores = np.random.default_rng(1).standard_normal((N, C))
    ours = m.recall_at_k(ONE, scores, k, weights=weights)[0]
    expected = sk.top_k_accuracy_score(
        ONE, scores, k=k, sample_weight=weights, labels=np.arange(C)
    )
    assert ours == close(expected)


@WEIGHTINGS
@LABELS
@pytest.mark.parametrize("k", [1, 3, C])
def test_average_precision_is_the_sum_over_hits_by_the_number_of_labels(
    k, labels, weights
):
    labels = np.where(np.arange(3) == 0, ONE[:, None], labels.reshape(N, -1))
    values = []
    for label, scores in zip(labels, SCORES, strict=True):
        top = best(scores, k)
        hits = [place for place, c in enumerate(top, 1) if c in label]
        total = sum(count / place for count, place in enumerate(hits, 1))
        values.append(total / min(k, ((label >= 0) & (label < C)).sum()))
    ours = streamed(m.average_precision_at_k, labels, k=k, weights=weights)
    assert ours == close(np.average(values, weights=weights))


@WEIGHTINGS
def test_average_precision_of_all_classes_is_that_of_scikit_learn(weights):
    truth = np.random.default_rng(2).random((N, C)) < 0.4
    truth[:, 0] |= ~truth.any(1)
    scores = np.random.default_rng(3).standard_normal((N, C))
    labels = np.where(truth, np.arange(C), -1)
    ours = m.average_precision_at_k(labels, scores, C, weights)[0]
    expected = sk.label_ranking_average_precision_score(
        truth, scores, sample_weight=weights
    )
    assert ours == close(expected)


def test_metrics_of_top_k_indices_are_those_of_scores():
    top = top_classes(SCORES, k=3)
    assert top.tolist() == [best(scores, 3) for scores in SCORES]
    arguments = {"class_id": 1, "weights": WEIGHTS}
    for scored, chosen in (
        (m.precision_at_k, m.precision_at_top_k),
        (m.recall_at_k, m.recall_at_top_k),
    ):
        expected = scored(SEVERAL, SCORES, 3, **arguments)[0]
        assert chosen(SEVERAL, top, **arguments)[0] == expected
        assert chosen(SEVERAL, top, 3, **arguments)[0] == expected


def test_rows_may_be_tokens():
    scores, labels = SCORES.reshape(8, 5, C), ONE.reshape(8, 5)
    weights = WEIGHTS.reshape(8, 5)
    value = m.recall_at_k(labels, scores, 2, weights=weights)[0]
    assert value == m.recall_at_k(ONE, SCORES, 2, weights=WEIGHTS)[0]


def test_a_class_that_never_occurs_is_undefined():
    assert math.isnan(m.recall_at_k(ONE, SCORES, 2, class_id=99)[0])
    assert math.isnan(m.precision_at_k(ONE, SCORES, 2, class_id=99)[0])


def test_average_precision_is_zero_without_rows_and_nan_without_labels():
    assert m.average_precision_at_k(ONE, SCORES, 2, weights=0.0)[0] == 0.0
    assert math.isnan(m.average_precision_at_k(ONE - C, SCORES, 2)[0])
