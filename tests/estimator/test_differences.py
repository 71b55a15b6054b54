"""Deliberate differences from TensorFlow that docs/tensorflow/porting.md lists."""

import numpy as np
import optax
import pytest

import specflow as sf
from specflow.data import EvalBatches, Share
from specflow.diagnostics.errors import DataError
from tests.estimator.conftest import X, arrays, line_fn


@pytest.mark.parametrize(("start", "ends"), [(3, [5, 10, 12]), (5, [10, 12])])
def test_device_loops_end_at_multiples_counted_from_step_0(line, start, ends):
    class Ends(list):
        def after_step(self, step, loss):
            self.append(step)

    seen = Ends()
    config = sf.RunConfig(tpu_config=sf.TPUConfig(iterations_per_loop=5))
    estimator = line(config=config).train(arrays, steps=start)
    estimator.train(arrays, max_steps=12, hooks=[seen])
    assert seen == ends
    estimator.close()


def test_params_contain_use_tpu_and_batch_size_also_for_exports(line, tmp_path):
    seen = {}

    def model_fn(model, features, labels, mode, params):
        seen.setdefault(str(mode), set()).add(params["batch_size"])
        assert params["use_tpu"] is False
        return line_fn(model, features, labels, mode)

    def input_fn(params):
        assert params["use_tpu"] is False
        seen.setdefault("input", []).append(params["batch_size"])
        return arrays()

    estimator = line(
        model_fn,
        params={"use_tpu": "perhaps"},
        eval_batch_size=6,
        predict_batch_size=2,
    )
    estimator.train(input_fn, steps=1)
    estimator.evaluate(input_fn)
    assert len(list(estimator.predict(input_fn))) == len(X)
    estimator.export(tmp_path / "export", input_fn=input_fn)
    assert seen == {"input": [8, 6, 2, 2], "train": {8}, "eval": {6}, "infer": {2}}


def test_optional_parameters_may_be_left_out_of_a_list_of_eval_tensors(line):
    def metric_fn(losses, scale=2.0):
        return {"scaled": sf.metrics.Mean.from_batch(scale * losses)}

    def model_fn(model, features, labels, mode):
        spec = line_fn(model, features, labels, mode)
        if mode is sf.Mode.PREDICT:
            return spec
        losses = (model(features["x"]) - labels) ** 2
        return spec._replace(eval_metrics=(metric_fn, [losses]))

    found = line(model_fn).evaluate(arrays)
    assert found["scaled"] == pytest.approx(2 * found["loss"], rel=1e-6)


def test_classes_may_be_integers():
    classes = np.arange(4, dtype=np.int32)
    assert sf.ClassificationOutput(classes=classes).classes is classes


def test_an_empty_dict_of_predictions_counts_and_has_a_row_for_each(line):
    def model_fn(model, features, labels, mode):
        if mode is sf.Mode.PREDICT:
            return sf.TPUEstimatorSpec(mode, {})
        loss = ((model(features["x"]) - labels) ** 2).mean()
        return sf.TPUEstimatorSpec(mode, {}, loss, optax.sgd(0.1))

    assert list(line(model_fn).predict(arrays)) == [{}] * len(X)


def test_padding_repeats_the_last_row():
    (batch,) = EvalBatches((X[:3], None), 5)
    np.testing.assert_array_equal(batch.features, X[[0, 1, 2, 2, 2]])
    assert batch.mask.tolist() == [True, True, True, False, False]


def test_several_hosts_evaluate_any_rows_if_the_model_function_takes_mask():
    parts = [EvalBatches((X, None), 10, share=Share((i,), 2)) for i in range(2)]
    pairs = list(zip(*parts, strict=True))
    rows = [part.features[part.mask] for pair in pairs for part in pair]
    np.testing.assert_array_equal(np.concatenate(rows), X)
    with pytest.raises(DataError, match="Let model_fn take `mask`"):
        EvalBatches((X, None), 10, padded=False, share=Share((0,), 2))
