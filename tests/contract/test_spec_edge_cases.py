"""Edge cases of specs: frozen fields, defaults, metric types, dtypes of losses."""

import jax
import numpy as np
import optax
import pytest

import specflow as sf
from specflow.metrics import Mean

ROWS = np.zeros((4, 2), np.float32)
LOSS = np.float32(1)


def test_setting_a_field_raises_as_of_a_named_tuple():
    spec = sf.TPUEstimatorSpec("eval", loss=LOSS)
    for kind in (AttributeError, ValueError, sf.SpecError):
        with pytest.raises(kind) as error:
            spec.loss = LOSS
    assert str(error.value) == (
        "TPUEstimatorSpec.loss: cannot be set: it is frozen. Create a new one."
    )


def test_all_fields_but_mode_have_defaults():
    spec = sf.TPUEstimatorSpec("eval", loss=LOSS)
    assert spec[1:] == ({}, LOSS, None, None, None)
    assert (spec.host_call, spec.training_hooks) == (None, ())
    with pytest.raises(TypeError):
        sf.TPUEstimatorSpec()


def test_replace_validates_and_only_an_estimator_spec_keeps_its_mode():
    tpu = sf.TPUEstimatorSpec("eval", {"x": ROWS}, LOSS)
    assert tpu._replace(mode="infer").mode is sf.Mode.PREDICT
    plain = sf.EstimatorSpec("eval", {"x": ROWS}, LOSS)
    with pytest.raises(ValueError, match="cannot change from eval to infer"):
        plain._replace(mode="infer")
    with pytest.raises(ValueError, match="is missing"):
        plain._replace(loss=None)


@pytest.mark.parametrize(
    "predictions",
    [[ROWS], (ROWS,), 3, {"a": [ROWS]}, {"a": None}, {"a": {"b": (ROWS,)}}],
)
def test_lists_and_other_objects_as_predictions_are_type_errors(predictions):
    with pytest.raises(TypeError, match="predictions"):
        sf.TPUEstimatorSpec("infer", predictions)


def test_hooks_of_any_iterable_become_a_tuple():
    class Bell:
        def end(self, step): ...

    bell = Bell()
    for field in ("training_hooks", "evaluation_hooks", "prediction_hooks"):
        spec = sf.TPUEstimatorSpec("eval", loss=LOSS, **{field: iter([bell])})
        assert getattr(spec, field) == (bell,)


@pytest.mark.parametrize(
    "metric", [[1.0, Mean()], (1.0, 2.0), (1, 2, 3), (Mean(),), 1.0, ROWS, Mean, None]
)
def test_a_metric_must_be_a_state_or_a_tuple_of_two(metric):
    with pytest.raises(TypeError, match=r"eval_metric_ops\['m'\]"):
        sf.EstimatorSpec("eval", loss=LOSS, eval_metric_ops={"m": metric})


def test_eval_metric_ops_default_to_empty_and_must_be_a_dict():
    assert sf.EstimatorSpec("eval", loss=LOSS).eval_metric_ops == {}
    with pytest.raises(TypeError, match="eval_metric_ops"):
        sf.EstimatorSpec("eval", loss=LOSS, eval_metric_ops=[Mean()])


def test_a_metric_of_python_numbers_is_an_attribute_error_too():
    spec = sf.TPUEstimatorSpec(
        "eval", loss=LOSS, eval_metrics=(lambda x: {"m": (1.0, 2.0)}, [ROWS])
    )
    with pytest.raises(AttributeError) as error:
        spec.as_estimator_spec()
    assert str(error.value) == (
        "EstimatorSpec.eval_metric_ops['m']: got (float, float). Expected a metric "
        "state (merge, compute) or a tuple (value, state)."
    )


def test_scalar_metric_tensors_are_refused_with_their_shapes():
    pair = (lambda x, y: {}, [LOSS, LOSS])
    with pytest.raises(RuntimeError) as error:
        sf.TPUEstimatorSpec("eval", loss=LOSS, eval_metrics=pair)
    assert str(error.value.diagnostics[1]) == (
        "TPUEstimatorSpec.eval_metrics[1]['1']: is float32[], and has no rows. "
        "Expected a batch-major tensor: its first axis is the batch. "
        "Give one value for each example; reduce in the function."
    )


def test_as_estimator_spec_keeps_the_other_fields():
    class Bell:
        def end(self, step): ...

    bell, train_op = Bell(), optax.sgd(0.1)
    spec = sf.TPUEstimatorSpec(
        "infer", {"x": ROWS}, LOSS, train_op, prediction_hooks=[bell]
    )
    plain = spec.as_estimator_spec()
    assert type(plain) is sf.EstimatorSpec
    assert plain.mode is sf.Mode.PREDICT
    assert plain.predictions == {"x": ROWS}
    assert (plain.loss, plain.train_op) == (LOSS, train_op)
    assert plain.prediction_hooks == (bell,)
    assert plain.export_outputs.keys() == {"serving_default"}
    assert plain.eval_metric_ops == {}


def test_an_eval_loss_may_be_integer_or_float64():
    for dtype in (np.int32, np.float64, bool):
        spec = sf.TPUEstimatorSpec("eval", loss=jax.ShapeDtypeStruct((1, 1), dtype))
        assert spec.loss.shape == ()
