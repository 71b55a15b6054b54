"""Predictions and export outputs: every member of their words, by NumPy and SciPy."""

from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from specflow.config.base import Target
from specflow.config.sections.predictions_and_exports import (
    ExpConfig,
    IdentityConfig,
    PredictExportConfig,
    RegressionExportConfig,
    RescaleConfig,
    SigmoidConfig,
    ThresholdConfig,
)
from specflow.config.sections.spec import (
    ArgmaxConfig,
    ClassificationExportConfig,
    ExportConfig,
    PredictionConfig,
    SoftmaxConfig,
)
from specflow.contract import ClassificationOutput, PredictOutput, RegressionOutput
from specflow.diagnostics.errors import SpecError
from specflow.spec.exports import export_output
from specflow.spec.predictions import predicted

SCORES = np.random.default_rng(0).normal(size=(5, 3))
ONE = SCORES[:, :1]


def bind(function, **arguments) -> Target:
    target = Target.model_validate({"_target_": "my_package.f", **arguments})
    target.bind(function)
    return target


CASES = {
    "softmax": (SoftmaxConfig(), SCORES, scipy.special.softmax(SCORES, axis=-1)),
    "sigmoid": (SigmoidConfig(), SCORES, scipy.special.expit(SCORES)),
    "sigmoid of one": (SigmoidConfig(), ONE, scipy.special.expit(ONE[:, 0])),
    "argmax": (ArgmaxConfig(), SCORES, SCORES.argmax(-1)),
    "threshold": (ThresholdConfig(at=0.1), ONE, (ONE[:, 0] >= 0.1).astype(int)),
    "exp": (ExpConfig(), SCORES, np.exp(SCORES)),
    "exp of one": (ExpConfig(), ONE, np.exp(ONE[:, 0])),
    "identity": (IdentityConfig(), SCORES, SCORES),
    "identity of one": (IdentityConfig(), ONE, ONE[:, 0]),
    "rescale": (RescaleConfig(offset=2.0, divisor=3.0), SCORES, 3.0 * SCORES + 2.0),
    "rescale of logarithms": (
        RescaleConfig(offset=2.0, divisor=0.5, transform="log1p"),
        ONE,
        np.expm1(0.5 * ONE[:, 0] + 2.0),
    ),
    "rescale undeclared": (RescaleConfig(), ONE, ONE[:, 0]),
    "target": (bind(lambda x, by: x * by, x="outputs", by=2.0), SCORES, 2 * SCORES),
}


@pytest.mark.parametrize("case", CASES)
def test_a_prediction_equals_its_formula(case):
    config, outputs, expected = CASES[case]
    got = jax.jit(
        lambda outputs: predicted(
            config, {"outputs": outputs}, where="spec.predictions.p"
        )
    )(jnp.asarray(outputs))
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    assert got.dtype.kind == np.asarray(expected).dtype.kind


def test_every_prediction_is_tested_here():
    def members(word):
        _, kinds = get_args(word)
        return {*kinds.members.values()}

    assert members(PredictionConfig) == {type(config) for config, *_ in CASES.values()}
    assert members(ExportConfig) == {
        PredictExportConfig,
        ClassificationExportConfig,
        RegressionExportConfig,
        Target,
    }


@pytest.mark.parametrize("config", [IdentityConfig(), SigmoidConfig()])
def test_a_batch_of_one_keeps_its_axis(config):
    got = predicted(config, {"outputs": jnp.ones(1)}, where="spec.predictions.p")
    assert got.shape == (1,)


@pytest.mark.parametrize("config", [SoftmaxConfig(), ArgmaxConfig()])
def test_a_prediction_over_classes_needs_their_axis(config):
    with pytest.raises(SpecError) as caught:
        predicted(config, {"outputs": jnp.ones(4)}, where="spec.predictions.p")
    assert str(caught.value) == (
        "spec.predictions.p: outputs is float32[4]. Expected a batch of scores, one "
        "for each class on the last axis. For one score per example use sigmoid or "
        "threshold."
    )


def test_a_target_that_returns_no_tensor_is_refused():
    with pytest.raises(SpecError) as caught:
        predicted(bind(lambda: "x"), {}, where="spec.predictions.p")
    assert str(caught.value) == (
        "spec.predictions.p: my_package.f returned str. "
        "Expected a tensor, first axis the batch."
    )


SCOPE = {"predictions": {"p": jnp.ones((2, 3)), "c": jnp.zeros(2, int)}}
WHERE = "spec.export_outputs.serve"


def test_a_predict_signature_renames_tensors():
    config = PredictExportConfig(outputs={"probability": "predictions.p"})
    output = export_output(config, SCOPE, where=WHERE)
    assert isinstance(output, PredictOutput)
    assert output.outputs == {"probability": SCOPE["predictions"]["p"]}


def test_a_classification_signature_has_scores_classes_and_names():
    config = ClassificationExportConfig(
        scores="predictions.p", classes="predictions.c", class_names=["a", "b", "c"]
    )
    output = export_output(config, SCOPE, where=WHERE)
    assert isinstance(output, ClassificationOutput)
    assert output.scores is SCOPE["predictions"]["p"]
    assert output.classes is SCOPE["predictions"]["c"]
    assert output.class_names == ("a", "b", "c")
    config = ClassificationExportConfig(scores="predictions.p")
    assert export_output(config, SCOPE, where=WHERE).classes is None


def test_a_regression_signature_has_a_value():
    config = RegressionExportConfig(value="predictions.p")
    output = export_output(config, SCOPE, where=WHERE)
    assert isinstance(output, RegressionOutput)
    assert output.value is SCOPE["predictions"]["p"]


def test_a_target_may_build_a_signature():
    config = bind(lambda x: PredictOutput({"x": x}), x="predictions.p")
    output = export_output(config, SCOPE, where=WHERE)
    assert list(output.outputs) == ["x"]


def test_a_signature_path_without_a_tensor_is_reported_with_its_key():
    config = PredictExportConfig(outputs={"probability": "predictions.q"})
    with pytest.raises(SpecError) as caught:
        export_output(config, SCOPE, where=WHERE)
    assert str(caught.value) == (
        "spec.export_outputs.serve.outputs.probability: predictions.q names no tensor. "
        "Expected one of predictions.p, predictions.c."
    )
