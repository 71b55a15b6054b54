"""A step is traced once per mode, for any number of steps and any remainder of rows.

Counted in the Python of the model function.
"""

import itertools
from collections import Counter

import numpy as np
import optax
import pytest
from flax import nnx

import specflow as sf
from specflow.config.sections.mesh import AxesConfig, MeshConfig
from specflow.metrics import Mean

ROWS = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)
TRAIN, EVAL, PREDICT = sf.Mode.TRAIN, sf.Mode.EVAL, sf.Mode.PREDICT


def counting(*, takes_mask):
    """A model function, with or without a mask, and its number of traces by mode."""
    calls = Counter()

    def spec(model, features, labels, mode, mask):
        calls[mode] += 1
        value = model(features["x"])[:, 0]
        if mode is PREDICT:
            return sf.TPUEstimatorSpec(mode, {"value": value})
        losses = (value - labels) ** 2
        return sf.TPUEstimatorSpec(
            mode,
            {"value": value},
            losses.mean(where=mask),
            optax.sgd(0.01),
            (lambda losses: {"mse": Mean.from_batch(losses)}, [losses]),
        )

    def with_mask(model, features, labels, mode, mask):
        return spec(model, features, labels, mode, mask)

    def without_mask(model, features, labels, mode):
        return spec(model, features, labels, mode, None)

    return (with_mask if takes_mask else without_mask), calls


def new_estimator(model_fn, tmp_path, *, devices=1, every=3):
    return sf.TPUEstimator(
        model_fn,
        model=lambda rngs: nnx.Linear(3, 1, rngs=rngs),
        model_dir=tmp_path,
        config=sf.RunConfig(
            save_checkpoints_steps=every,
            tpu_config=sf.TPUConfig(iterations_per_loop=4),
        ),
        train_batch_size=8,
        eval_batch_size=16,
        predict_batch_size=24,
        mesh=MeshConfig(axes=AxesConfig(data=devices)),
    )


def rows(count):
    return lambda: ({"x": ROWS[:count]}, ROWS[:count, 0])


@pytest.mark.parametrize("devices", [1, 8])
def test_a_step_is_traced_once_per_mode_with_a_mask(tmp_path, devices):
    """50 rows in batches of 8, 16 and 24: each mode ends in another remainder."""
    model_fn, calls = counting(takes_mask=True)
    estimator = new_estimator(model_fn, tmp_path, devices=devices)
    estimator.train_and_evaluate(
        sf.TrainSpec(rows(50), max_steps=11), sf.EvalSpec(rows(50), every_steps=5)
    )
    estimator.train(rows(50), steps=6)  # On from step 11: other bounds, other chunks.
    for count in (50, 49, 16, 3, 1):
        estimator.evaluate(rows(count))
        assert len(list(estimator.predict(rows(count)))) == count
    assert calls == {TRAIN: 1, EVAL: 1, PREDICT: 1}
    assert estimator.program.tracer.traces == calls
    estimator.close()


def test_without_a_mask_each_size_of_a_remainder_is_traced_once_more(tmp_path):
    model_fn, calls = counting(takes_mask=False)
    estimator = new_estimator(model_fn, tmp_path)
    estimator.train(rows(50), steps=11)
    for _ in range(2):
        estimator.evaluate(rows(50))  # 3 x 16 + 2
        estimator.evaluate(rows(32))  # 2 x 16: nothing is left over
        list(estimator.predict(rows(50)))  # 2 x 24 + 2
    assert calls == {TRAIN: 1, EVAL: 2, PREDICT: 2}
    estimator.close()


@pytest.mark.filterwarnings("ignore:.*is divided into batches of")
def test_ragged_batches_of_an_iterable_are_traced_once_with_a_mask(tmp_path):
    model_fn, calls = counting(takes_mask=True)
    estimator = new_estimator(model_fn, tmp_path)
    edges = [0, 5, 6, 22, 39, 50]

    def batches():
        for start, stop in itertools.pairwise(edges):
            yield {"x": ROWS[start:stop]}, ROWS[start:stop, 0]

    result = estimator.evaluate(batches)
    assert calls == {EVAL: 1}
    expected = estimator.evaluate(rows(50))
    assert calls == {EVAL: 1}
    # Merged exactly, so how rows fell into batches cannot show.
    assert result["mse"] == expected["mse"]
    estimator.close()


def test_inspecting_a_spec_traces_the_program_that_runs(tmp_path):
    model_fn, calls = counting(takes_mask=True)
    estimator = new_estimator(model_fn, tmp_path)
    source = sf.data.as_source(rows(50)())
    for mode in sf.Mode:
        estimator.abstract_spec(mode, source)
    estimator.abstract_state(source)
    assert calls == {TRAIN: 1, EVAL: 1, PREDICT: 1}
    estimator.train(rows(50), steps=2)
    estimator.evaluate(rows(50))
    list(estimator.predict(rows(50)))
    assert calls == {TRAIN: 1, EVAL: 1, PREDICT: 1}
    estimator.close()
