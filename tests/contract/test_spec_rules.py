"""Rules of specs: accepted fields, refused fields, conversion.

Expected exception types are those of TF 2.15's TPUEstimatorSpec, as documented.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import specflow as sf
from specflow.contract import check_batch_major
from specflow.metrics import Accuracy

SGD = optax.sgd(0.1)
ROWS = np.zeros((4, 3), np.float32)
LOSS = np.float32(0.5).reshape(())


def accuracy_fn(labels, predictions):
    return {"accuracy": Accuracy.from_batch(labels, predictions)}


def diagnostics(error):
    return [str(diagnostic) for diagnostic in error.value.diagnostics]


# -- a named tuple of six, frozen, a pytree


def full_spec(**changes):
    fields = {
        "mode": "train",
        "predictions": {"p": ROWS},
        "loss": LOSS,
        "train_op": SGD,
        "eval_metrics": (accuracy_fn, [np.zeros(4, int), np.zeros(4, int)]),
    }
    return sf.TPUEstimatorSpec(**{**fields, **changes})


def test_fields_have_the_order_of_tensorflows_spec():
    spec = sf.TPUEstimatorSpec("infer", {"p": ROWS}, LOSS, SGD, None, None)
    assert spec._fields == (
        "mode", "predictions", "loss", "train_op", "eval_metrics", "export_outputs",
    )  # fmt: skip
    mode, predictions, loss, train_op, eval_metrics, export_outputs = spec
    assert mode is sf.Mode.PREDICT
    assert predictions is spec.predictions
    assert loss is spec.loss
    assert train_op is SGD
    assert eval_metrics is None
    assert export_outputs is spec.export_outputs
    assert len(spec) == 6


def test_a_spec_indexes_and_slices():
    spec = full_spec()
    assert spec[4] is spec.eval_metrics
    assert spec[0] is sf.Mode.TRAIN
    assert spec[-1] is None
    assert spec[2:4] == (spec.loss, SGD)


def test_replace_validates_the_new_spec():
    spec = full_spec()
    assert spec._replace(mode="eval").mode is sf.Mode.EVAL
    with pytest.raises(TypeError, match="loss"):
        spec._replace(loss=3)


def test_a_spec_is_frozen_and_closed():
    spec = full_spec()
    with pytest.raises(ValueError, match="frozen"):
        spec.loss = LOSS
    with pytest.raises(TypeError):
        sf.TPUEstimatorSpec("eval", loss=LOSS, losss=LOSS)


def test_fields_after_the_sixth_are_keyword_only():
    with pytest.raises(TypeError):
        sf.TPUEstimatorSpec("train", None, LOSS, SGD, None, None, None)


def test_only_arrays_are_leaves_of_the_pytree():
    leaves = jax.tree.leaves(full_spec())
    assert len(leaves) == 4
    assert all(hasattr(leaf, "dtype") for leaf in leaves)


def test_jit_and_eval_shape_return_a_complete_spec():
    def model_fn(x):
        return full_spec(predictions={"p": x}, loss=x.sum())

    compiled = jax.jit(model_fn)(jnp.ones((4, 3)))
    assert float(compiled.loss) == 12.0
    assert compiled.train_op is SGD
    assert compiled.eval_metrics.function is accuracy_fn
    abstract = jax.eval_shape(model_fn, jnp.ones((4, 3)))
    assert abstract.loss.shape == ()
    assert abstract.mode is sf.Mode.TRAIN


def test_export_outputs_are_pytrees():
    spec = sf.TPUEstimatorSpec(
        "infer",
        {"p": ROWS},
        export_outputs={
            "c": sf.ClassificationOutput(ROWS, class_names=["a", "b", "c"])
        },
    )
    doubled = jax.tree.map(lambda array: array * 2, spec)
    assert doubled.export_outputs["c"].class_names == ("a", "b", "c")


# -- validation by shape and dtype alone, all flaws together


@pytest.mark.parametrize(
    "make",
    [np.zeros, jnp.zeros, jax.ShapeDtypeStruct],
    ids=["numpy", "jax", "abstract"],
)
def test_numpy_jax_and_abstract_arrays_are_accepted(make):
    spec = sf.TPUEstimatorSpec(
        "train",
        {"p": make((4, 3), np.float32)},
        make((1, 1), np.float32),
        SGD,
        eval_metrics=(accuracy_fn, [make((4,), np.int32), make((4,), np.int32)]),
    )
    assert spec.loss.shape == ()


def test_tracers_are_accepted_under_grad():
    def loss(x):
        return sf.TPUEstimatorSpec("train", loss=(x**2).sum(), train_op=SGD).loss

    assert jax.grad(loss)(jnp.float32(3.0)) == 6.0


def test_all_flaws_are_reported_together_with_their_fields():
    with pytest.raises(sf.SpecError) as error:
        sf.TPUEstimatorSpec("train", predictions=[1], loss=3, train_op="adam")
    assert diagnostics(error) == [
        "TPUEstimatorSpec.predictions: got list. "
        "Expected an array or a dict of arrays.",
        "TPUEstimatorSpec.loss: got 3. Expected an array of one element.",
        "TPUEstimatorSpec.train_op: got 'adam'. "
        "Expected an optax GradientTransformation, a TrainOp, or a function "
        "(state, batch) -> (state, metrics). For example "
        "train_op=optax.adamw(1e-3).",
    ]
    assert isinstance(error.value, TypeError)


def test_an_error_of_flaws_of_two_kinds_is_of_both_kinds():
    with pytest.raises(sf.SpecError) as error:
        sf.TPUEstimatorSpec("train", predictions=[1], loss=LOSS)
    assert isinstance(error.value, TypeError)
    assert isinstance(error.value, ValueError)


# -- modes


@pytest.mark.parametrize("mode", ["train", "eval", "infer", *sf.Mode])
def test_a_mode_is_given_by_name_or_enum(mode):
    assert full_spec(mode=mode).mode is sf.Mode(mode)


@pytest.mark.parametrize("mode", ["predict", "TRAIN", None, 1])
def test_an_unknown_mode_is_refused(mode):
    with pytest.raises(ValueError, match="mode"):
        full_spec(mode=mode)


@pytest.mark.parametrize(
    ("mode", "missing"),
    [
        ("train", "loss"),
        ("train", "train_op"),
        ("eval", "loss"),
        ("infer", "predictions"),
    ],
)
def test_a_mode_refuses_a_missing_required_field(mode, missing):
    with pytest.raises(ValueError, match=f"{missing}: is missing, and Mode"):
        full_spec(mode=mode, **{missing: None})


@pytest.mark.parametrize("mode", list(sf.Mode))
def test_every_mode_accepts_every_field(mode):
    spec = full_spec(mode=mode)
    assert spec.loss is not None
    assert spec.train_op is SGD
    assert spec.eval_metrics is not None


# -- loss


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_a_loss_of_one_element_becomes_a_scalar(shape):
    assert full_spec(loss=np.ones(shape, np.float32)).loss.shape == ()


@pytest.mark.parametrize("shape", [(0,), (2,), (2, 2)])
def test_a_loss_of_another_size_is_refused(shape):
    with pytest.raises(ValueError, match="one element"):
        full_spec(loss=np.ones(shape, np.float32))


@pytest.mark.parametrize("loss", [1.0, 1, "1", [1.0]])
def test_a_loss_that_is_no_array_is_refused(loss):
    with pytest.raises(TypeError, match="loss"):
        full_spec(loss=loss)


def test_a_training_loss_must_be_floating():
    with pytest.raises(TypeError, match="floating"):
        full_spec(loss=np.ones((), np.int32))
    assert full_spec(mode="eval", loss=np.ones((), np.int32)).loss.dtype == np.int32
    assert full_spec(loss=jnp.ones((), jnp.bfloat16)).loss.dtype == jnp.bfloat16


# -- train_op


def step_fn(state, batch):
    return state, {}


@pytest.mark.parametrize("train_op", [SGD, sf.TrainOp(SGD, wrt=["head.**"]), step_fn])
def test_train_op_accepts_three_forms(train_op):
    assert full_spec(train_op=train_op).train_op is train_op


@pytest.mark.parametrize("train_op", ["adam", 3, int, [SGD]])
def test_train_op_refuses_other_forms(train_op):
    with pytest.raises(TypeError, match="train_op"):
        full_spec(train_op=train_op)


def test_a_train_op_selects_parameters_by_globs():
    assert sf.TrainOp(SGD, wrt="head.**").wrt == ("head.**",)
    with pytest.raises(ValueError, match="wrt"):
        sf.TrainOp(SGD, wrt=[])
    with pytest.raises(TypeError, match="optimizer"):
        sf.TrainOp("adam")


def test_train_op_survives_eval_shape():
    def model_fn(x):
        return sf.TPUEstimatorSpec("train", loss=x.sum(), train_op=SGD)

    assert jax.eval_shape(model_fn, jnp.ones(3)).train_op is SGD


# -- predictions


@pytest.mark.parametrize("predictions", [ROWS, {"a": ROWS}, {"a": {"b": ROWS}}, {}])
def test_predictions_are_an_array_or_nested_dicts_of_arrays(predictions):
    assert full_spec(mode="infer", predictions=predictions).predictions is predictions


def test_predictions_default_to_an_empty_dict():
    assert full_spec(predictions=None).predictions == {}


@pytest.mark.parametrize("predictions", [[ROWS], 3, {"a": 3}, {"a": {"b": "x"}}])
def test_other_predictions_are_refused(predictions):
    with pytest.raises(TypeError, match="predictions"):
        full_spec(predictions=predictions)


# -- the eval_metrics pair


@pytest.mark.parametrize("pair", [(), (accuracy_fn,), (accuracy_fn, [], []), "x", 3])
def test_eval_metrics_must_be_a_pair(pair):
    with pytest.raises(ValueError, match="eval_metrics"):
        full_spec(eval_metrics=pair)


def test_eval_metrics_may_be_a_list_of_two():
    spec = full_spec(eval_metrics=[accuracy_fn, [np.zeros(4), np.zeros(4)]])
    assert spec.eval_metrics[0] is accuracy_fn


def test_the_first_of_eval_metrics_must_be_callable():
    with pytest.raises(TypeError, match="a function"):
        full_spec(eval_metrics=(3, [ROWS]))


@pytest.mark.parametrize("tensors", [ROWS, {1}, 3])
def test_the_second_of_eval_metrics_must_be_a_list_or_dict(tensors):
    with pytest.raises(ValueError, match="a list of tensors"):
        full_spec(eval_metrics=(accuracy_fn, tensors))


@pytest.mark.parametrize("mode", list(sf.Mode))
def test_eval_metrics_are_checked_in_every_mode(mode):
    with pytest.raises(ValueError, match="eval_metrics"):
        full_spec(mode=mode, eval_metrics=(accuracy_fn,))


def test_listed_tensors_must_match_the_number_of_parameters():
    with pytest.raises(RuntimeError, match="missing a required argument"):
        full_spec(eval_metrics=(accuracy_fn, [ROWS]))
    with pytest.raises(RuntimeError, match="too many"):
        full_spec(eval_metrics=(accuracy_fn, [ROWS, ROWS, ROWS]))


def with_default(labels, predictions, weights=None):
    return {}


def takes_any(*tensors):
    return {}


class Bound:
    def method(self, labels):
        return {}

    def __call__(self, labels):
        return {}


@pytest.mark.parametrize(
    ("function", "count"),
    [
        (with_default, 2),
        (with_default, 3),
        (takes_any, 0),
        (takes_any, 5),
        (Bound().method, 1),
        (Bound(), 1),
        (functools.partial(accuracy_fn, predictions=ROWS), 1),
    ],
)
def test_signatures_with_defaults_varargs_self_and_partials(function, count):
    assert full_spec(eval_metrics=(function, [ROWS] * count)).eval_metrics


def test_named_tensors_must_match_the_names_of_parameters():
    with pytest.raises(TypeError, match="unexpected keyword argument 'logits'"):
        full_spec(
            eval_metrics=(
                accuracy_fn,
                {"labels": ROWS, "predictions": ROWS, "logits": ROWS},
            )
        )
    with pytest.raises(TypeError, match="'predictions'"):
        full_spec(eval_metrics=(accuracy_fn, {"labels": ROWS}))


def test_every_metric_tensor_must_be_an_array():
    with pytest.raises(TypeError, match="an array"):
        full_spec(eval_metrics=(accuracy_fn, [3.0, ROWS]))


@pytest.mark.parametrize("odd", [np.float32(1), np.zeros((10, 2))])
def test_a_tensor_that_is_not_batch_major_is_reported_with_both_shapes(odd):
    with pytest.raises(sf.SpecError) as error:
        full_spec(
            eval_metrics=(
                takes_any,
                [np.zeros(4, np.int32), odd, np.zeros((4, 2), np.float32)],
            )
        )
    shape = "float32[]" if odd.ndim == 0 else "float64[10,2]"
    assert diagnostics(error) == [
        f"TPUEstimatorSpec.eval_metrics[1]['1']: is {shape}, and '0' is int32[4]. "
        "Expected a batch-major tensor: its first axis is the batch. "
        "Give one value for each example; reduce in the function."
    ]


def test_metric_tensors_are_checked_against_the_batch_size():
    pair = full_spec().eval_metrics
    check_batch_major(pair, 4, field="eval_metrics")
    with pytest.raises(sf.SpecError, match="and the batch is 8 rows"):
        check_batch_major(pair, 8, field="eval_metrics")


# -- as_estimator_spec


def test_as_estimator_spec_calls_the_metric_function_with_rows():
    labels, predictions = np.array([0, 1, 1, 0]), np.array([0, 1, 0, 0])
    spec = full_spec(mode="eval", eval_metrics=(accuracy_fn, [labels, predictions]))
    plain = spec.as_estimator_spec()
    assert isinstance(plain, sf.EstimatorSpec)
    assert plain.eval_metric_ops["accuracy"].compute() == 0.75
    assert plain[4] is plain.eval_metric_ops
    assert plain.loss is spec.loss


@pytest.mark.parametrize("mode", list(sf.Mode))
def test_as_estimator_spec_passes_named_tensors_by_name_in_every_mode(mode):
    called = []
    pair = (lambda x: called.append(x.tolist()), {"x": jnp.arange(4)})
    assert full_spec(mode=mode, eval_metrics=pair).as_estimator_spec()
    assert called == [[0, 1, 2, 3]]


def test_host_call_becomes_a_hook_of_every_mode():
    seen = []
    spec = full_spec(host_call=(lambda x: seen.append(x.sum()), [np.ones(4)]))
    plain = spec.as_estimator_spec()
    for hooks in (
        plain.training_hooks,
        plain.evaluation_hooks,
        plain.prediction_hooks,
    ):
        hooks[-1].after_step(1, 0.0)
    assert seen == [4.0, 4.0, 4.0]


def test_specs_do_not_share_metric_functions():
    """TensorFlow keeps the functions on the class: older specs use the newest one's."""
    first = full_spec(eval_metrics=(lambda x: {"first": (1.0, x)}, [np.ones(4)]))
    second = full_spec(eval_metrics=(lambda x: {"second": (2.0, x)}, [np.ones(4)]))
    assert list(first.as_estimator_spec().eval_metric_ops) == ["first"]
    assert list(second.as_estimator_spec().eval_metric_ops) == ["second"]


def test_the_metric_function_is_not_called_while_tracing():
    called, specs = [], []

    def metric_fn(x):
        called.append(x)
        return {}

    def model_fn(x):
        specs.append(full_spec(eval_metrics=(metric_fn, [x])).as_estimator_spec())
        return x

    jax.eval_shape(model_fn, jnp.ones(4))
    assert called == []
    assert specs[0].eval_metric_ops.function is metric_fn


def test_replace_cannot_change_the_mode_of_an_estimator_spec():
    plain = full_spec().as_estimator_spec()
    with pytest.raises(ValueError, match="cannot change from train to eval"):
        plain._replace(mode="eval")
    assert plain._replace(loss=np.zeros((), np.float32)).loss == 0.0


@pytest.mark.parametrize(
    "ops", [[], {"m": [1.0, 2.0]}, {"m": (1, 2, 3)}, {"m": ROWS}, {"m": 1.0}]
)
def test_eval_metric_ops_must_be_states_or_tuples_of_two(ops):
    with pytest.raises(TypeError, match="eval_metric_ops"):
        sf.EstimatorSpec("eval", loss=LOSS, eval_metric_ops=ops)


# -- export_outputs


def exported(export_outputs, predictions=None):
    return sf.TPUEstimatorSpec(
        "infer", predictions or {"p": ROWS}, export_outputs=export_outputs
    ).export_outputs


def test_export_outputs_default_to_all_predictions():
    (name, output), = exported(None).items()  # fmt: skip
    assert name == "serving_default"
    assert list(output.outputs) == ["p"]


def test_a_single_signature_is_the_default_and_the_dict_is_not_changed():
    mine = {"mine": sf.PredictOutput(ROWS)}
    signatures = exported(mine)
    assert signatures["serving_default"] is signatures["mine"]
    assert list(mine) == ["mine"]


def test_one_of_several_signatures_must_be_the_default():
    several = {"a": sf.PredictOutput(ROWS), "b": sf.PredictOutput(ROWS)}
    with pytest.raises(ValueError, match="serving_default"):
        exported(several)
    with_default = {**several, "serving_default": sf.RegressionOutput(ROWS)}
    assert list(exported(with_default)) == ["a", "b", "serving_default"]


def test_empty_export_outputs_are_refused():
    with pytest.raises(ValueError, match="empty"):
        exported({})


@pytest.mark.parametrize("outputs", [[1], 3, {"a": 3}, {"a": ROWS}, {1: None}])
def test_export_outputs_must_be_named_export_outputs(outputs):
    with pytest.raises(TypeError, match="export_outputs"):
        exported(outputs)


def test_export_outputs_are_checked_in_predict_mode_only():
    assert full_spec(mode="eval", export_outputs=3).export_outputs == 3


def test_predict_output_names_a_single_array():
    assert list(sf.PredictOutput(ROWS).outputs) == ["output"]


@pytest.mark.parametrize("outputs", [3, {}, {1: ROWS}, {"a": 3}])
def test_predict_output_refuses_other_than_named_arrays(outputs):
    with pytest.raises(ValueError, match="outputs"):
        sf.PredictOutput(outputs)


def test_regression_output_needs_a_floating_value():
    with pytest.raises(ValueError, match="floating"):
        sf.RegressionOutput(np.zeros(4, np.int32))


def test_classification_output_needs_floating_scores_or_classes():
    with pytest.raises(ValueError, match="at least one"):
        sf.ClassificationOutput()
    with pytest.raises(ValueError, match="floating"):
        sf.ClassificationOutput(scores=np.zeros(4, np.int32))
    assert list(sf.ClassificationOutput(classes=np.zeros(4, int)).tensors()) == [
        "classes"
    ]


@pytest.mark.parametrize("names", ["cat", ["a", 1], {"a": 1}, 3])
def test_class_names_must_be_strings(names):
    with pytest.raises(ValueError, match="class_names") as error:
        sf.ClassificationOutput(scores=np.zeros((4, 3)), class_names=names)
    assert str(error.value) == (
        f"ClassificationOutput.class_names: got {names!r}. Expected a list of strings, "
        "one for each class."
    )


def test_class_names_must_be_as_many_as_scores_unless_there_is_one_score():
    with pytest.raises(ValueError, match="class_names") as error:
        sf.ClassificationOutput(np.zeros((4, 3), np.float32), class_names=["a", "b"])
    assert str(error.value) == (
        "ClassificationOutput: 2 class_names for float32[4,3]. Expected a name for "
        "each score of an example."
    )
    for scores in (np.zeros((4, 2)), np.zeros((4, 1)), np.zeros(4), None):
        output = sf.ClassificationOutput(scores, np.zeros(4), class_names=["a", "b"])
        assert output.class_names == ("a", "b")


# -- hooks


class Bell:
    def end(self, step): ...


@pytest.mark.parametrize("hooks", [None, [], ()])
def test_no_hooks_are_an_empty_tuple(hooks):
    assert full_spec(training_hooks=hooks).training_hooks == ()


def test_hooks_are_kept_as_a_tuple():
    bell = Bell()
    assert full_spec(evaluation_hooks=[bell]).evaluation_hooks == (bell,)


@pytest.mark.parametrize("hooks", [Bell(), [3], "hook", [Bell]])
def test_a_bare_hook_or_an_object_that_is_no_hook_is_refused(hooks):
    with pytest.raises(TypeError, match="training_hooks"):
        full_spec(training_hooks=hooks)


class Ported(Bell):
    def before_run(self, context): ...

    def after_run(self, context, values): ...


def test_a_hook_with_tensorflows_method_names_is_reported_with_the_new_ones():
    with pytest.raises(TypeError) as error:
        full_spec(training_hooks=[Ported()])
    assert str(error.value) == (
        "TPUEstimatorSpec.training_hooks[0]: got Ported. "
        "Expected an object with one of begin, before_step, after_step, end. "
        "before_run is before_step(step) here, after_run is after_step(step, loss)."
    )


def test_a_hook_may_have_old_and_new_method_names():
    class Both(Ported):
        def after_step(self, step, loss): ...

    assert full_spec(training_hooks=[Both()]).training_hooks
