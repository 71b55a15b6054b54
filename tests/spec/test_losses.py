"""Losses against scikit-learn and NumPy in float64, masked and weighted."""

from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from sklearn import metrics

from specflow.config.base import Target
from specflow.config.generated.other_losses import (
    AbsoluteErrorConfig,
    HuberConfig,
    PoissonConfig,
    SigmoidCrossEntropyConfig,
    SquaredErrorConfig,
)
from specflow.config.sections.spec import LossConfig, SoftmaxCrossEntropyConfig
from specflow.diagnostics.errors import SpecError
from specflow.spec.losses import example_losses, mean_loss

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(6, 4)) * 3
CLASSES = RNG.integers(0, 4, 6)
NUMBERS = RNG.normal(size=6) * 2
BINARY = np.array([0, 1, 1, 0, 1, 0])
WHERE = "spec.loss.it"


def losses(config, labels, outputs, **more):
    scope = {"labels": jnp.asarray(labels), "outputs": jnp.asarray(outputs), **more}
    result = jax.jit(lambda scope: example_losses(config, scope, where=WHERE))(scope)
    assert result.dtype == jnp.float32
    return result


def bind(function, **arguments) -> Target:
    target = Target.model_validate({"_target_": "my_package.loss", **arguments})
    target.bind(function)
    return target


def smoothed(logits, labels, share):
    """By the definition: the cross-entropy of the mixed distribution."""
    mixed = np.full(logits.shape, share / logits.shape[-1])
    mixed[np.arange(len(labels)), labels] += 1 - share
    return -(mixed * scipy.special.log_softmax(logits, axis=-1)).sum(-1)


POSITIVE = scipy.special.expit(NUMBERS)

CASES = {
    # scikit-learn: log_loss of each row alone.
    "softmax": (
        SoftmaxCrossEntropyConfig(),
        CLASSES,
        LOGITS,
        [
            metrics.log_loss([label], [row], labels=range(4))
            for label, row in zip(
                CLASSES, scipy.special.softmax(LOGITS, axis=-1), strict=True
            )
        ],
    ),
    "softmax, smoothed": (
        SoftmaxCrossEntropyConfig(label_smoothing=0.1),
        CLASSES,
        LOGITS,
        smoothed(LOGITS, CLASSES, 0.1),
    ),
    "sigmoid": (
        SigmoidCrossEntropyConfig(),
        BINARY,
        NUMBERS,
        [
            metrics.log_loss([label], [row], labels=[0, 1])
            for label, row in zip(BINARY, POSITIVE, strict=True)
        ],
    ),
    "sigmoid of one output": (
        SigmoidCrossEntropyConfig(),
        BINARY,
        NUMBERS[:, None],
        -np.log(np.where(BINARY, POSITIVE, 1 - POSITIVE)),
    ),
    # SciPy: -log of the probability mass, less log(count!).
    "poisson": (
        PoissonConfig(),
        CLASSES,
        NUMBERS,
        -scipy.stats.poisson.logpmf(CLASSES, np.exp(NUMBERS))
        - scipy.special.gammaln(CLASSES + 1.0),
    ),
    # NumPy, float64: Stirling's approximation above a count of 1.
    "poisson in full": (
        PoissonConfig(full=True),
        np.array([0.0, 1.0, 2.0, 7.0, 40.0, 300.0]),
        NUMBERS[:, None],
        np.exp(NUMBERS)
        - np.array([0.0, 1.0, 2.0, 7.0, 40.0, 300.0]) * NUMBERS
        + [
            0.0,
            0.0,
            *(
                n * np.log(n) - n + 0.5 * np.log(2 * np.pi * n)
                for n in (2.0, 7.0, 40.0, 300.0)
            ),
        ],
    ),
    # NumPy, float64.
    "squared": (SquaredErrorConfig(), BINARY, NUMBERS, (NUMBERS - BINARY) ** 2),
    "squared, of one output": (
        SquaredErrorConfig(),
        BINARY,
        NUMBERS[:, None],
        (NUMBERS - BINARY) ** 2,
    ),
    "absolute": (AbsoluteErrorConfig(), BINARY, NUMBERS, np.abs(NUMBERS - BINARY)),
    "huber": (
        HuberConfig(delta=0.7),
        BINARY,
        NUMBERS,
        scipy.special.huber(0.7, NUMBERS - BINARY),
    ),
    "target": (
        bind(
            lambda said, truth, power: jnp.abs(said - truth) ** power,
            said="outputs",
            truth="labels",
            power=3,
        ),
        BINARY,
        NUMBERS,
        np.abs(NUMBERS - BINARY) ** 3,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_loss_equals_its_formula_for_each_example(case):
    config, labels, outputs, expected = CASES[case]
    # float32 against float64
    np.testing.assert_allclose(
        losses(config, labels, outputs), expected, rtol=2e-5, atol=1e-6
    )


def test_every_loss_is_tested_here():
    _, kinds = get_args(LossConfig)
    assert {*kinds.members.values()} == {type(config) for config, *_ in CASES.values()}
    assert TypeAdapter(LossConfig).validate_python({"name": "huber"}) == HuberConfig()


def test_a_negative_count_gives_nan():
    assert np.isnan(losses(PoissonConfig(), [-1, 1], [0.0, 0.0])[0])


def test_multi_label_classes_have_a_loss_each():
    marks = (LOGITS > 0).astype(int)
    said = scipy.special.expit(LOGITS)
    np.testing.assert_allclose(
        losses(SigmoidCrossEntropyConfig(), marks, LOGITS),
        -np.log(np.where(marks, said, 1 - said)),
        rtol=2e-5,  # float32 against float64
    )


def test_tokens_have_a_loss_each():
    logits, labels = LOGITS.reshape(2, 3, 4), CLASSES.reshape(2, 3)
    flat = CASES["softmax"][3]
    got = losses(SoftmaxCrossEntropyConfig(), labels, logits)
    np.testing.assert_allclose(got, np.reshape(flat, (2, 3)), rtol=2e-5)


@pytest.mark.parametrize("case", ["softmax", "sigmoid", "squared"])
def test_losses_of_bfloat16_outputs_are_computed_in_float32(case):
    config, labels, outputs, _ = CASES[case]
    half = jnp.asarray(outputs, jnp.bfloat16)
    np.testing.assert_array_equal(
        losses(config, labels, half), losses(config, labels, half.astype(jnp.float32))
    )


@pytest.mark.parametrize("logit", [-1e4, 1e4])
@pytest.mark.parametrize("label", [0, 1])
def test_large_logits_do_not_overflow(logit, label):
    expected = 0.0 if (logit > 0) == bool(label) else 1e4
    sigmoid = losses(SigmoidCrossEntropyConfig(), [label], [logit])
    softmax = losses(SoftmaxCrossEntropyConfig(), [label], [[0.0, logit]])
    np.testing.assert_allclose([sigmoid[0], softmax[0]], expected)


def test_a_label_outside_the_classes_gives_nan():
    assert np.isnan(losses(SoftmaxCrossEntropyConfig(), [4], LOGITS[:1]))


@pytest.mark.parametrize(
    ("config", "labels", "outputs", "message"),
    [
        (
            SoftmaxCrossEntropyConfig(),
            NUMBERS,
            LOGITS,
            "spec.loss.it: logits are float32[6,4], labels are float32[6]. "
            "Expected integer labels, the index of a class; or probabilities of the "
            "logits' shape. "
            "For numeric targets use squared_error.",
        ),
        (
            SoftmaxCrossEntropyConfig(),
            CLASSES,
            NUMBERS,
            "spec.loss.it: logits are float32[6], labels are int32[6]. "
            "Expected logits of the labels' shape with a last axis of classes. "
            "The logits have no axis of classes: end with one output per class.",
        ),
        (
            SoftmaxCrossEntropyConfig(),
            CLASSES[:, None],
            LOGITS,
            "spec.loss.it: logits are float32[6,4], labels are int32[6,1]. "
            "Expected logits of the labels' shape with a last axis of classes. "
            "Drop the labels' last axis.",
        ),
        (
            SoftmaxCrossEntropyConfig(),
            CLASSES,
            NUMBERS[:, None],
            "spec.loss.it: logits are float32[6,1], labels are int32[6]. "
            "Expected two classes or more. "
            "For one logit per example use sigmoid_cross_entropy.",
        ),
        (
            SquaredErrorConfig(),
            NUMBERS,
            LOGITS,
            "spec.loss.it: predictions are float32[6,4], labels are float32[6]. "
            "Expected equal shapes, except for a last axis of size 1.",
        ),
        (
            SigmoidCrossEntropyConfig(),
            BINARY,
            LOGITS,
            "spec.loss.it: logits are float32[6,4], labels are int32[6]. "
            "Expected equal shapes, except for a last axis of size 1.",
        ),
        (
            bind(lambda said: said.mean(), said="outputs"),
            BINARY,
            NUMBERS,
            "spec.loss.it: my_package.loss returned float32[] for said float32[6]. "
            "Expected one value for each example, first axis the batch. "
            "Return losses without reduction: the spec averages them, without padding.",
        ),
    ],
)
def test_mismatched_shapes_and_dtypes_are_refused_with_both_named(
    config, labels, outputs, message
):
    labels = np.asarray(labels, np.result_type(labels).str.replace("8", "4"))
    with pytest.raises(SpecError) as caught:
        losses(config, labels, np.asarray(outputs, np.float32))
    assert str(caught.value) == message


ROWS = st.integers(1, 6)


@settings(max_examples=30)
@given(
    rows=ROWS, padding=st.integers(0, 4), tokens=st.booleans(), weighted=st.booleans()
)
def test_padding_contributes_nothing_even_if_it_is_nan(rows, padding, tokens, weighted):
    shape = (3,) if tokens else ()
    real = RNG.uniform(0, 2, (rows, *shape))
    weights = RNG.uniform(0.5, 2, (rows, *shape))
    # NumPy, float64.
    expected = np.average(real, weights=weights if weighted else None)
    filler = np.full((padding, *shape), np.nan)
    got = mean_loss(
        jnp.concatenate([jnp.float32(real), jnp.float32(filler)]),
        jnp.concatenate([jnp.float32(weights), jnp.float32(filler)])
        if weighted
        else None,
        jnp.arange(rows + padding) < rows,
        where=WHERE,
    ).value
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_without_padding_the_loss_is_the_plain_mean():
    values = jnp.float32(RNG.uniform(size=(4, 3)))
    expected = np.asarray(values, np.float64).mean()
    for mask in (None, jnp.ones(4, bool)):
        got = mean_loss(values, None, mask, where=WHERE).value
        np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_example_weights_broadcast_over_tokens():
    values = jnp.array([[1.0, 3.0], [10.0, 20.0]])
    got = mean_loss(values, jnp.array([3.0, 1.0]), None, where=WHERE).value
    # By hand: (3 x 1 + 3 x 3 + 10 + 20) / (3 + 3 + 1 + 1).
    assert float(got) == 42 / 8


def test_an_empty_mean_and_its_gradient_are_zero():
    def mean(values):
        return mean_loss(values, None, jnp.zeros(2, bool), where=WHERE).value

    value, grad = jax.value_and_grad(mean)(jnp.array([1.0, np.inf]))
    assert value == 0.0
    np.testing.assert_array_equal(grad, [0.0, 0.0])


def test_weights_of_another_shape_are_refused():
    with pytest.raises(SpecError) as caught:
        mean_loss(jnp.ones((4, 3)), jnp.ones(3), None, where=WHERE)
    assert str(caught.value) == (
        "spec.loss.it.example_weights: are float32[3], and the losses are "
        "float32[4,3]. Expected one weight for each example, or one for each loss."
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_soft_labels_are_probabilities_of_the_classes(smoothing):
    soft = RNG.dirichlet(np.ones(4), 6)
    target = (1 - smoothing) * soft + smoothing / 4
    expected = -(target * scipy.special.log_softmax(LOGITS, axis=-1)).sum(axis=-1)
    config = SoftmaxCrossEntropyConfig(label_smoothing=smoothing)
    assert losses(config, soft, LOGITS) == pytest.approx(expected, rel=1e-5)
