"""Seeds: every one is a run of its own, and those below 2**32 are JAX's and NumPy's."""

import itertools

import jax
import numpy as np
import optax
import pytest
from flax import nnx

import specflow as sf
from specflow.data import ArraySource, BatchPlan
from specflow.diagnostics.errors import ConfigError

SEEDS = [0, 1, 5, 2**31, 2**32 - 1, 2**32, 2**32 + 1, 2**32 + 5, 2**63, 2**64, 2**96]


def build(rngs):
    return nnx.Linear(4, 3, rngs=rngs)


def model_fn(model, features, labels, mode):
    loss = (model(features) ** 2).mean()
    return sf.TPUEstimatorSpec(mode, {}, loss, optax.sgd(0.0))


def kernel(seed):
    estimator = sf.Estimator(
        model_fn, model=build, train_batch_size=8, config=sf.RunConfig(seed=seed)
    )
    estimator.train(lambda: np.ones((8, 4), np.float32), steps=1)
    return np.asarray(estimator.checkpoints.arrays()["params/kernel"])


def order(seed, epoch):
    plan = BatchPlan(ArraySource(np.arange(64)), 64, seed=seed)
    return tuple(plan.row_ids(epoch, 1)[0].tolist())


def test_each_seed_has_initial_values_of_its_own():
    found = {seed: kernel(seed) for seed in SEEDS}
    for one, other in itertools.combinations(SEEDS, 2):
        assert (found[one] != found[other]).all(), (one, other)
    for seed in (seed for seed in SEEDS if seed < 2**32):
        # Flax, given JAX's own key.
        expected = build(nnx.Rngs(jax.random.key(np.uint32(seed)))).kernel[...]
        np.testing.assert_allclose(found[seed], expected, rtol=1e-6)


def test_each_seed_and_epoch_has_an_order_of_its_own():
    found = [order(seed, epoch) for seed in SEEDS for epoch in (0, 1, 2)]
    assert len(set(found)) == len(found)
    for seed in (seed for seed in SEEDS if seed < 2**32):
        expected = np.random.default_rng([seed, 2]).permutation(64)
        assert order(seed, 2) == tuple(expected.tolist())


def test_a_negative_seed_raises():
    with pytest.raises(ConfigError, match=r"RunConfig\.seed: got -1"):
        sf.RunConfig(seed=-1)
