"""How often devices speak to each other in a step, counted in the compiled program.

XLA moves the smaller side of a product, so the batch is large against the layers here:
what is gathered are parameters, as ZeRO-3 has it (Rajbhandari et al., 2020).
"""

from collections import Counter

import jax
import numpy as np
import pytest

from specflow.compose import compose
from specflow.contract import Mode
from specflow.data import ArraySource
from specflow.estimator import TPUEstimator
from specflow.preflight.hlo import Hlo

ROWS = 1024
RNG = np.random.default_rng(0)
DATA = ArraySource(
    {"image": RNG.normal(size=(ROWS, 8, 8, 1)).astype(np.float32)},
    RNG.integers(0, 10, ROWS),
)
PARAMETERS = 6
"""Kernels and biases of three layers; the last bias, of 10, does not divide."""


@pytest.fixture(autouse=True)
def _optimized():
    """As a user's programs are: what moves out of loops is counted here."""
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", True)


def collectives(mesh, micro_steps):
    """Kind -> how often it runs in a step."""
    words = [
        "experiment=digits_mlp",
        "model.hidden=[64,64]",
        f"mesh={mesh}",
        f"loop.batch_size={ROWS}",
        f"loop.micro_steps={micro_steps}",
        "loop.iterations_per_loop=1",
    ]
    config = compose(words).config
    estimator = TPUEstimator.from_config(config, model_dir=None)
    estimator.train(lambda: DATA, max_steps=1)
    text = estimator.program.lowered[Mode.TRAIN].stage.compile().as_text()
    found = Counter()
    for each in Hlo(text).collectives():
        found[each.kind] += each.times
    return found


@pytest.mark.parametrize("micro_steps", [1, 2, 4])
def test_replicated_parameters_are_only_summed_over(micro_steps):
    found = collectives("data", micro_steps)
    # All gradients and the loss together, once for each micro-step.
    assert found == {"all-reduce": micro_steps}


@pytest.mark.parametrize("micro_steps", [1, 2, 4])
def test_cut_parameters_are_gathered_once_a_step(micro_steps):
    found = collectives("fsdp", micro_steps)
    assert found.pop("all-gather") <= PARAMETERS - 1
    # One more says whether the loss and the update are finite.
    assert found == {"all-reduce": micro_steps + 1}
