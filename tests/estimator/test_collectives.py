"""Collectives per step, counted in the compiled program.

XLA moves the smaller side of a product, so the batch is large against the layers here:
what is gathered are parameters, as ZeRO-3 has it (Rajbhandari et al., 2020).
"""

from collections import Counter

import jax
import numpy as np
import optax
import pytest
from flax import nnx

import specflow as sf
from specflow.compose import compose
from specflow.config.sections.mesh import AxesConfig, MeshConfig
from specflow.contract import Mode
from specflow.data import ArraySource
from specflow.estimator import Estimator
from specflow.executor.jaxprs import scan_operands
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
    estimator = Estimator.from_config(config, model_dir=None)
    estimator.train(lambda: DATA, max_steps=1)
    text = estimator.program.lowered[Mode.TRAIN].stage.compile().as_text()
    found = Counter()
    for each in Hlo(text).collectives():
        found[each.kind] += each.times
    return found


@pytest.mark.parametrize(
    "micro_steps", [1, pytest.param(2, marks=pytest.mark.thorough), 4]
)
def test_replicated_parameters_are_only_summed_over(micro_steps):
    found = collectives("data", micro_steps)
    # All gradients and the loss together, once for each micro-step.
    assert found == {"all-reduce": micro_steps}


@pytest.mark.parametrize(
    "micro_steps", [1, pytest.param(2, marks=pytest.mark.thorough), 4]
)
def test_cut_parameters_are_gathered_once_a_step(micro_steps):
    found = collectives("fsdp", micro_steps)
    assert found.pop("all-gather") <= PARAMETERS - 1
    # One more says whether the loss and the update are finite, and one is the norm of
    # the gradient: a number, and on CPU of reported steps alone.
    assert found == {"all-reduce": micro_steps + 2}


def test_a_micro_step_adds_its_sum_over_rows_to_the_loss_undivided():
    # XLA's `while-loop-all-reduce-code-motion` (TPU, GPU; CPU has no such pass) moves a
    # reduction over the devices out of a loop where its result is added to a sum and to
    # nothing else. A mean would stay, and devices wait for each other in each part.
    def model_fn(model, features, labels, mode):
        logits = model(features["image"].reshape(-1, 64))
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        loss = sf.MeanLoss(losses.sum(), len(losses))
        return sf.TPUEstimatorSpec(mode, {"logits": logits}, loss, optax.sgd(0.1))

    estimator = Estimator(
        model_fn,
        model=lambda rngs: nnx.Linear(64, 10, rngs=rngs),
        model_dir=None,
        train_batch_size=64,
        mesh=MeshConfig(axes=AxesConfig(data=8)),
        config=sf.RunConfig(tpu_config=sf.TPUConfig(micro_steps=4)),
    )
    estimator.train(lambda: DATA, max_steps=1)
    jaxpr = estimator.program.lowered[Mode.TRAIN].jaxpr
    [scan] = [
        equation
        for equation in _equations(jaxpr)
        if equation.primitive.name == "scan"
        and equation.params["length"] == 4
        and scan_operands(equation.params)[1]
    ]
    body = scan.params["jaxpr"].jaxpr
    carried = body.invars[scan_operands(scan.params)[0] :]
    made = {out: equation for equation in body.eqns for out in equation.outvars}
    addends = {}
    for before, after in zip(carried, body.outvars, strict=False):
        if before.aval.dtype == np.float32:
            assert made[after].primitive.name == "add"
            total, addend = made[after].invars
            assert total is before
            addends[before.aval.shape] = made[addend].primitive.name
    assert set(addends) == {(), (64, 10), (10,)}
    assert addends[()] == "reduce_sum"


def _equations(jaxpr):
    for equation in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        yield equation
        for value in equation.params.values():
            if hasattr(value, "eqns") or hasattr(value, "jaxpr"):
                yield from _equations(value)
