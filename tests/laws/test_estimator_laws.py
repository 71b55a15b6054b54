"""One model function and seed give the same numbers on the CPU path and every mesh."""

import jax
import numpy as np
import pytest

import specflow as sf
from specflow.config.sections.mesh import AxesConfig, MeshConfig
from specflow.metrics import Accuracy, Mean
from tests.laws.conftest import model_fn

STEPS = 6
ROUNDING = 2e-6
"""Relative, as in `test_curve_laws.py`: eight devices add the same float32 numbers in
another order. A wrong row, seed or mean would differ by more than 1e-3."""

PATHS = {
    "use_tpu=False": {"use_tpu": False},
    "1 device": {"mesh": MeshConfig(axes=AxesConfig())},
    "2 devices": {"mesh": MeshConfig(axes=AxesConfig(data=2))},
    "8 devices": {"mesh": MeshConfig(axes=AxesConfig(data=8))},
}


def measured(labels, classes, wrong):
    return {
        "accuracy": Accuracy.from_batch(labels, classes),
        "wrong": Mean.from_batch(wrong),
    }


def with_tensors(form):
    """The model function of the laws, with a list or a dict of eval tensors."""

    def function(model, features, labels, mode):
        spec = model_fn(model, features, labels, mode)
        if mode is sf.Mode.PREDICT:
            return spec
        tensors = {
            "labels": labels,
            "classes": spec.predictions["class"],
            "wrong": spec.predictions["class"] != labels,
        }
        given = tensors if form is dict else form(tensors.values())
        return spec._replace(eval_metrics=(measured, given))

    return function


def everything(estimator, case):
    """Losses, metrics and predictions of an estimator after a few steps."""
    estimator.train(case.input_fn, steps=STEPS)
    metrics = estimator.evaluate(case.input_fn)
    rows = list(estimator.predict(case.input_fn))
    estimator.close()
    return metrics, np.stack([row["logits"] for row in rows])


@pytest.mark.slow
def test_numbers_agree_on_the_cpu_path_and_on_meshes_of_1_2_and_8(case, estimator_of):
    def through(path, form=list):
        estimator = estimator_of(
            case, steps_a_loop=3, model_fn=with_tensors(form), **PATHS[path]
        )
        return everything(estimator, case)

    metrics, logits = through("1 device")
    assert logits.shape[0] == len(case.features)
    for path in PATHS.keys() - {"1 device"}:
        other_metrics, scores = through(path)
        assert other_metrics == pytest.approx(metrics, rel=ROUNDING), path
        np.testing.assert_allclose(scores, logits, rtol=1e-4, atol=1e-5, err_msg=path)
        if path == "use_tpu=False":  # It is one device: not a bit may differ.
            assert other_metrics == metrics


@pytest.mark.parametrize("path", PATHS)
def test_lists_and_dicts_of_tensors_give_the_same_metrics(mlp, path, estimator_of):
    results = [
        estimator_of(
            mlp, steps_a_loop=3, model_fn=with_tensors(form), **PATHS[path]
        ).evaluate(mlp.input_fn)
        for form in (list, tuple, dict)
    ]
    assert results[0] == results[1] == results[2]
    assert results[0].keys() == {"loss", "global_step", "accuracy", "wrong"}


def test_a_model_function_may_return_the_plain_spec(mlp, estimator_of):
    """As ported ones do: `return spec if use_tpu else spec.as_estimator_spec()`."""
    seen = {"tpu": [], "plain": []}

    def through(which):
        def function(model, features, labels, mode, params):
            spec = with_tensors(dict)(model, features, labels, mode)
            call = (lambda x: seen[which].append(x.copy()), [features["x"]])
            spec = spec._replace(host_call=call)
            return spec if which == "tpu" else spec.as_estimator_spec()

        path = {"use_tpu": False, "params": {"any": 1}}
        return estimator_of(mlp, steps_a_loop=3, model_fn=function, **path)

    metrics, logits = everything(through("tpu"), mlp)
    other_metrics, scores = everything(through("plain"), mlp)
    assert other_metrics == metrics
    assert other_metrics.keys() == {"loss", "global_step", "accuracy", "wrong"}
    np.testing.assert_array_equal(scores, logits)
    np.testing.assert_array_equal(seen["plain"], seen["tpu"])
    assert len(seen["tpu"]) > STEPS


def test_evaluation_is_what_as_estimator_spec_gives_for_all_rows(case, estimator_of):
    """The plain spec, its metrics computed for one batch of all rows, without jit."""
    estimator = estimator_of(case, steps_a_loop=3, model_fn=with_tensors(list))
    estimator.train(case.input_fn, steps=STEPS)
    metrics = estimator.evaluate(case.input_fn)
    _, state = estimator._states.to_evaluate()
    features, labels = case.input_fn()
    module = estimator.program.model.merge(
        jax.device_get(state.params), jax.device_get(state.model_state), train=False
    )
    spec = with_tensors(list)(module, features, labels, sf.Mode.EVAL)
    plain = spec.as_estimator_spec()
    assert isinstance(plain, sf.EstimatorSpec)
    for name, state in plain.eval_metric_ops.items():
        assert state.compute() == metrics[name]
    assert float(plain.loss) == pytest.approx(metrics["loss"], rel=1e-5)


def test_an_export_gives_the_predictions_of_predict(mlp, estimator_of, tmp_path):
    """Bit for bit on CPU: the same program for the same rows."""
    estimator = estimator_of(mlp, steps_a_loop=3, mesh=PATHS["1 device"]["mesh"])
    estimator.train(mlp.input_fn, steps=STEPS)
    folder = estimator.export(
        tmp_path, features={"x": mlp.features[:4]}, platforms=["cpu"]
    )
    load = sf.load_export(folder)
    for batch in (1, 7, 80, 100):
        estimator._batch_sizes[sf.Mode.PREDICT] = batch
        rows = list(estimator.predict(mlp.input_fn, yield_single_examples=False))
        for number, predicted in enumerate(rows):
            sent = mlp.features[number * batch : (number + 1) * batch]
            answer = load("serving_default", x=sent)
            np.testing.assert_array_equal(answer["logits"], predicted["logits"])
            np.testing.assert_array_equal(answer["class"], predicted["class"])
