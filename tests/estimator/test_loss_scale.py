"""A dynamic loss scale: what it skips is counted, and a run that only skips ends."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import specflow as sf
from specflow.diagnostics.errors import NanLossDuringTrainingError, SpecflowWarning

RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, 3)).astype(np.float32)
ZEROS = np.zeros_like(X)
SKIPS_TO_THE_FLOOR = 15
"""From 2**15 to 1, by halves."""


def model_fn(model, features, labels, mode):
    p = model(features["x"])
    # The norm of zeros is 0, its derivative there is not a number.
    loss = jnp.sqrt((p**2).sum(-1)).mean()
    return sf.TPUEstimatorSpec(mode, {"p": p}, loss, optax.sgd(0.1))


def estimator(*, every=1, **tpu_config):
    config = sf.RunConfig(
        save_checkpoints_steps=None,
        save_summary_steps=0,
        log_step_count_steps=every,
        tpu_config=sf.TPUConfig(**tpu_config),
    )
    return sf.Estimator(
        model_fn,
        model=lambda rngs: nnx.Linear(3, 2, use_bias=False, rngs=rngs),
        train_batch_size=8,
        mesh=jax.sharding.Mesh(jax.devices()[:1], ("data",)),
        config=config,
    )


def steps(*, zeros_at, of):
    return lambda: [
        ({"x": ZEROS if step in zeros_at else X}, None) for step in range(1, of + 1)
    ]


@pytest.mark.parametrize("micro_steps", [1, 2])
@pytest.mark.parametrize("iterations_per_loop", [1, 7, 50])
def test_a_gradient_that_is_never_finite_ends_the_run_at_the_least_scale(
    iterations_per_loop, micro_steps
):
    """As DeepSpeed and fairseq do; without a scale the first step is refused."""
    for scale, last, code in (
        ("dynamic", SKIPS_TO_THE_FLOOR + 1, "loss-scale"),
        (None, min(iterations_per_loop, 60), "nan-loss"),
    ):
        model = estimator(
            iterations_per_loop=iterations_per_loop,
            micro_steps=micro_steps,
            loss_scale=scale,
        )
        with pytest.raises(NanLossDuringTrainingError) as caught:
            model.train(steps(zeros_at=range(99), of=60))
        (diagnostic,) = caught.value.diagnostics
        assert diagnostic.code == code
        if scale == "dynamic":
            assert diagnostic.where == f"step {last}"


def test_skipped_steps_are_counted_up_to_each_report():
    model, rows = estimator(loss_scale="dynamic", iterations_per_loop=5), []
    spec = sf.TrainSpec(steps(zeros_at={3, 7}, of=8))
    model.train_and_evaluate(
        spec,
        sf.EvalSpec(lambda: {"x": X}, every_steps=0),
        report=lambda step, split, row: rows.append((step, split, row)),
    )
    counts = {
        step: row["skipped_steps"] for step, split, row in rows if split == "train"
    }
    assert counts == {1: 0, 2: 0, 3: 1, 4: 1, 5: 1, 6: 1, 7: 2, 8: 2}
    assert model.skipped_steps == 2


def test_without_a_dynamic_scale_nothing_is_counted():
    model = estimator(loss_scale=8.0)
    model.train(steps(zeros_at=(), of=2))
    assert model.skipped_steps is None


def test_a_run_that_skipped_half_of_its_steps_warns():
    model = estimator(loss_scale="dynamic")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.train(steps(zeros_at={1, 3, 4}, of=5))
    (one,) = [w.message for w in caught if isinstance(w.message, SpecflowWarning)]
    assert str(one).startswith(
        "loss_scale: 3 of 5 steps were skipped, the last one step 4"
    )
