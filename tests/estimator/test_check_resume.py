"""`specflow.testing.check_resume` names the first difference and its likely cause."""

import itertools
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen, nnx

import specflow as sf
from specflow.config.sections.mesh import AxesConfig, MeshConfig
from specflow.loop import StopTraining
from specflow.testing import check_resume
from tests.estimator.conftest import Line, X, Y, arrays, line_fn

STEPS: dict[str, Any] = {"steps": 8, "at": 3}


def estimators(
    model_fn: Any = line_fn, model: Any = Line, seed: int | None = 0, steps_per_loop=3
):
    def make(model_dir):
        return sf.Estimator(
            model_fn,
            model=model,
            model_dir=model_dir,
            config=sf.RunConfig(
                seed=seed,
                progress=False,
                tpu_config=sf.TPUConfig(iterations_per_loop=steps_per_loop),
            ),
            train_batch_size=4,
            mesh=MeshConfig(axes=AxesConfig(data=1)),
        )

    return make


def message_of(*args, **options):
    with pytest.raises(AssertionError) as error:
        check_resume(*args, **STEPS, **options)
    return str(error.value)


def batches(start=0):
    for step in itertools.count(start):
        rows = np.arange(4 * step, 4 * step + 4) % 24
        yield {"x": X[rows]}, Y[rows]


class Noisy(nnx.Module):
    """Batch statistics and dropout: model state beside the parameters."""

    def __init__(self, rngs):
        self.norm = nnx.BatchNorm(3, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.line = Line()

    def __call__(self, x):
        return self.line(self.dropout(self.norm(x)))


def linen_fn(features, labels, mode):
    value = linen.Dense(1)(features["x"])[:, 0]
    loss = jnp.mean((value - labels) ** 2)
    return sf.TPUEstimatorSpec(mode, value, loss, optax.adam(0.1))


@pytest.mark.parametrize(
    ("make", "input_fn", "names"),
    [
        (estimators(), arrays, {"parameters"}),
        (estimators(), batches, {"parameters"}),
        (estimators(model=Noisy), arrays, {"parameters", "model state"}),
        (estimators(linen_fn, None), arrays, {"parameters", "optimizer"}),
    ],
    ids=["arrays", "generator", "batch statistics and dropout", "linen"],
)
def test_estimators_that_resume_bit_for_bit(make, input_fn, names):
    comparison = check_resume(make, input_fn, **STEPS)
    counts = {part.name: part.count for part in comparison.parts}
    assert counts["batches"] == "8 steps"
    assert counts["last step"] == "step 8"
    assert names <= counts.keys()
    assert comparison.to_plain()["equal"]


class Replay:
    """Iterates over the batches; its state is not where it is."""

    def __init__(self, shift):
        self.source, self.read, self.shift = batches(), 0, shift

    def __iter__(self):
        return self

    def __next__(self):
        self.read += 1
        return next(self.source)

    def get_state(self):
        return {"read": self.read}

    def set_state(self, state):
        self.read = state["read"] + self.shift if self.shift is not None else 0
        self.source = batches(self.read)


def test_an_input_that_begins_again():
    assert message_of(estimators(), lambda: Wound(Replay(None))) == (
        "step 4: the batch differs (features.x, labels): it is the batch of step 1. "
        "Expected what the uninterrupted run has; training resumed from step 3. "
        "Likely cause: the input began again at its first batch: an iterator without "
        "state, or RunConfig(resume_input='restart'). Let input_fn return it from its "
        "start, or give it get_state and set_state."
    )


class Wound:
    """Hides the attributes of an iterator, as one made in C does."""

    __slots__ = ("inner",)

    def __init__(self, inner):
        self.inner = inner

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.inner)

    def get_state(self):
        return self.inner.get_state()

    def set_state(self, state):
        self.inner.set_state(state)


def test_an_iterator_whose_state_is_another_place():
    assert message_of(estimators(), lambda: Wound(Replay(2))) == (
        "step 4: the batch differs (features.x, labels): it is the batch of step 6. "
        "Expected what the uninterrupted run has; training resumed from step 3. "
        "Likely cause: the input is 2 batches ahead: its get_state and set_state do "
        "not restore the position, or input_fn returns an iterator that was read from "
        "before."
    )


class Drawn:
    """Batches of rows drawn from a generator, which starts again with the object."""

    def __init__(self):
        self.random = np.random.default_rng(0)

    def __iter__(self):
        return self

    def __next__(self):
        rows = self.random.integers(0, 24, 4)
        return {"x": X[rows]}, Y[rows]

    def get_state(self):
        return {}

    def set_state(self, state):
        pass


def test_an_iterator_without_state():
    message = message_of(estimators(), Drawn)
    assert message == (
        "step 4: the batch differs (features.x, labels): it is the batch of step 1. "
        "Expected what the uninterrupted run has; training resumed from step 3. "
        "Likely cause: an iterator without state: training changes random of "
        f"{__name__}.Drawn, which no checkpoint holds. Let each row depend on its "
        "number alone, or give the iterator get_state and set_state."
    )


class Countdown:
    """Ends training after six calls, in whatever run."""

    def __init__(self):
        self.calls = 0

    def after_step(self, step, loss):
        self.calls += 1
        if self.calls == 6:
            raise StopTraining


def test_a_hook_that_counts_its_own_calls():
    assert message_of(
        estimators(steps_per_loop=1), arrays, make_hooks=lambda: [Countdown()]
    ) == (
        "step 7: the resumed run ended at step 8, the uninterrupted one at step 6. "
        "Expected what the uninterrupted run has; training resumed from step 3. "
        f"Likely cause: a hook: training changes calls of {__name__}.Countdown, which "
        "no checkpoint holds. Give it get_state and set_state, or count with the step "
        "that after_step receives."
    )


class Saved(Countdown):
    """The same, with a state."""

    def get_state(self):
        return self.calls

    def set_state(self, calls):
        self.calls = calls


def test_a_hook_with_a_state_resumes():
    make = estimators(steps_per_loop=1)
    comparison = check_resume(make, arrays, **STEPS, make_hooks=lambda: [Saved()])
    assert {part.name: part.count for part in comparison.parts}["last step"] == "step 6"


def scaled(factor):
    """A model function whose training loss has a factor from the host."""

    def model_fn(model, features, labels, mode):
        spec = line_fn(model, features, labels, mode)
        if mode is not sf.Mode.TRAIN:
            return spec
        form = jax.ShapeDtypeStruct((), np.float32)
        host = jax.pure_callback(lambda _: factor(), form, labels.sum())
        return sf.TPUEstimatorSpec(
            mode, spec.predictions, spec.loss * host, optax.sgd(0.1)
        )

    return model_fn


def test_state_outside_the_model():
    """A counter that starts with each estimator, as a global of a process does."""

    def make(model_dir):
        calls = itertools.count(1)
        model_fn = scaled(lambda: np.float32(next(calls) % 2))
        return estimators(model_fn)(model_dir)

    message = message_of(make, arrays)
    assert message.startswith("step 4: the log row differs: loss ")
    assert message.endswith(
        "; the batches up to this step are equal. Expected what the uninterrupted run "
        "has; training resumed from step 3. Likely cause: the model computes with "
        "something outside its state: a Python attribute, a global variable or a "
        "callback. The checkpoint was restored, and the first step after it differs. "
        "Keep it in a variable of the model."
    )


def test_a_clock_in_the_model_is_no_fault_of_the_resume():
    model_fn = scaled(lambda: np.float32(1 + time.perf_counter() % 1))
    message = message_of(estimators(model_fn), arrays)
    assert message.startswith(
        "step 1: two fresh runs differ, before any resume: the log row differs: loss "
    )
    assert message.endswith(
        "Likely cause: a seed that depends on the time or on a global random state, in "
        "the model or its initial values; the batches are equal. Derive random numbers "
        "from the rngs that the model receives."
    )


def test_losses_that_differ_by_rounding():
    random = np.random.default_rng(0)
    noise = scaled(lambda: np.float32(1 + random.uniform(1e-7, 2e-6)))
    message = message_of(estimators(noise), arrays)
    assert message.endswith(
        "Likely cause: the order of additions: the losses differ by rounding alone. On "
        "GPUs set XLA_FLAGS=--xla_gpu_deterministic_ops=true."
    )


def test_an_experiment_without_a_seed():
    message = message_of(estimators(seed=None), arrays)
    assert message.startswith("step 1: two fresh runs differ, before any resume: ")
    assert "Likely cause: the experiment has no seed: one run drew " in message
    assert message.endswith(". Set RunConfig(seed=...).")


def test_data_of_a_global_random_state():
    random = np.random.default_rng(0)

    def shuffled():
        rows = random.permutation(24)
        return {"x": X[rows]}, Y[rows]

    assert message_of(estimators(), shuffled) == (
        "step 1: two fresh runs differ, before any resume: the batch differs "
        "(features.x, labels): it holds other rows. Likely cause: the data depends on "
        "the time or on a global random state. Give the data a generator of its own "
        "with a fixed seed: numpy.random.default_rng(0)."
    )
