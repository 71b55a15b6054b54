"""Contract C1 to C4 where A is silent."""

import jax
import numpy as np
import optax
import pytest

import specflow as sf
from specflow.metrics import Mean

ROWS = np.zeros((4, 2), np.float32)
LOSS = np.float32(1)


def test_c1_1_a_field_cannot_be_set_as_of_a_named_tuple():
    spec = sf.TPUEstimatorSpec("eval", loss=LOSS)
    for kind in (AttributeError, ValueError, sf.SpecError):
        with pytest.raises(kind) as error:
            spec.loss = LOSS
    assert str(error.value) == (
        "TPUEstimatorSpec.loss: cannot be set: what is checked is frozen. "
        "Make a new one."
    )


def test_c1_2_all_fields_but_mode_default_to_nothing():
    spec = sf.TPUEstimatorSpec("eval", loss=LOSS)
    assert spec[1:] == ({}, LOSS, None, None, None)
    assert (spec.host_call, spec.training_hooks) == (None, ())
    with pytest.raises(TypeError):
        sf.TPUEstimatorSpec()


def test_c1_5_replace_checks_and_only_the_plain_spec_keeps_its_mode():
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
def test_c2_5_lists_and_what_is_no_array_are_type_errors(predictions):
    with pytest.raises(TypeError, match="predictions"):
        sf.TPUEstimatorSpec("infer", predictions)


def test_c2_7_hooks_of_any_iterable_are_a_tuple():
    class Bell:
        def end(self, step): ...

    bell = Bell()
    for field in ("training_hooks", "evaluation_hooks", "prediction_hooks"):
        spec = sf.TPUEstimatorSpec("eval", loss=LOSS, **{field: iter([bell])})
        assert getattr(spec, field) == (bell,)


@pytest.mark.parametrize(
    "metric", [[1.0, Mean()], (1.0, 2.0), (1, 2, 3), (Mean(),), 1.0, ROWS, Mean, None]
)
def test_c2_9_a_metric_is_a_state_or_a_tuple_of_two(metric):
    with pytest.raises(TypeError, match=r"eval_metric_ops\['m'\]"):
        sf.EstimatorSpec("eval", loss=LOSS, eval_metric_ops={"m": metric})


def test_c2_9_none_is_no_metrics_and_what_is_no_dict_is_a_type_error():
    assert sf.EstimatorSpec("eval", loss=LOSS).eval_metric_ops == {}
    with pytest.raises(TypeError, match="eval_metric_ops"):
        sf.EstimatorSpec("eval", loss=LOSS, eval_metric_ops=[Mean()])


def test_c3_5_pairs_of_python_numbers_are_attribute_errors_too():
    spec = sf.TPUEstimatorSpec(
        "eval", loss=LOSS, eval_metrics=(lambda x: {"m": (1.0, 2.0)}, [ROWS])
    )
    with pytest.raises(AttributeError) as error:
        spec.as_estimator_spec()
    assert str(error.value) == (
        "EstimatorSpec.eval_metric_ops['m']: got (float, float). Expected a metric "
        "state (merge, compute) or a tuple (value, state)."
    )


def test_c3_8_scalars_are_refused_each_with_its_shape():
    pair = (lambda x, y: {}, [LOSS, LOSS])
    with pytest.raises(RuntimeError) as error:
        sf.TPUEstimatorSpec("eval", loss=LOSS, eval_metrics=pair)
    assert str(error.value.diagnostics[1]) == (
        "TPUEstimatorSpec.eval_metrics[1]['1']: is float32[], and has no rows. "
        "Expected a batch-major tensor: its first axis is the batch. "
        "Give one value for each example; reduce in the function."
    )


def test_c4_4_other_fields_pass_through():
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


def test_c2_3_integer_and_float64_losses_pass_where_nothing_trains():
    for dtype in (np.int32, np.float64, bool):
        spec = sf.TPUEstimatorSpec("eval", loss=jax.ShapeDtypeStruct((1, 1), dtype))
        assert spec.loss.shape == ()
