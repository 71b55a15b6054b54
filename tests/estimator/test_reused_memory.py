"""Memory that others use again: what trains is what was given, when it was given.

JAX on CPU shares the aligned memory of NumPy arrays, so that an input that fills one
buffer again and again must be copied before the next batch is drawn. The reference is
the same input with a copy for each batch.
"""

import jax
import numpy as np
import optax
import pytest
from flax import linen, nnx

import specflow as sf
from specflow.data import BatchPlan, EvalBatches, RowSpec, as_train_batches

BATCHES, ROWS = 9, 64
RNG = np.random.default_rng(0)
DATA = [
    (RNG.normal(size=(ROWS, 8)).astype("f4"), RNG.normal(size=ROWS).astype("f4"))
    for _ in range(BATCHES)
]


def aligned(shape) -> np.ndarray:
    """Zeros at a multiple of 64 bytes, which JAX takes as they are."""
    size = int(np.prod(shape)) * 4
    raw = np.zeros(size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size].view(np.float32).reshape(shape)


def copies():
    for x, y in DATA:
        yield {"x": x.copy()}, y.copy()


def reused():
    x, y = aligned((ROWS, 8)), aligned((ROWS,))
    for a, b in DATA:
        x[:], y[:] = a, b
        yield {"x": x}, y
    x[:], y[:] = np.nan, np.nan


class Reused:
    """A source whose `take` fills one buffer."""

    def __init__(self):
        self.x = np.concatenate([x for x, _ in DATA])
        self.y = np.concatenate([y for _, y in DATA])
        self.buffers: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def __len__(self):
        return len(self.y)

    def take(self, rows):
        count = len(self.y[rows])
        made = (aligned((count, 8)), aligned((count,)))
        x, y = self.buffers.setdefault(count, made)
        x[:], y[:] = self.x[rows], self.y[rows]
        return {"x": x}, y

    def spec(self):
        kind = np.dtype("f4")
        return {"x": RowSpec((8,), kind)}, RowSpec((), kind)

    def column(self, path):
        return {"features.x": self.x, "labels": self.y}[path]


def model_fn(model, features, labels, mode):
    p = model(features["x"])[:, 0]
    if mode is sf.Mode.PREDICT:
        return sf.TPUEstimatorSpec(mode, {"p": p})
    losses = (p - labels) ** 2
    metrics = lambda losses: {"l": sf.metrics.Mean.from_batch(losses)}  # noqa: E731
    return sf.TPUEstimatorSpec(
        mode,
        {"p": p},
        losses.mean(),
        optax.sgd(0.01),
        eval_metrics=(metrics, {"losses": losses}),
    )


def estimator(devices, steps, **fields):
    return sf.Estimator(
        model_fn,
        model=lambda rngs: nnx.Linear(8, 1, rngs=rngs),
        train_batch_size=ROWS,
        mesh=jax.sharding.Mesh(jax.devices()[:devices], ("data",)),
        config=sf.RunConfig(
            save_checkpoints_steps=0,
            shuffle=False,
            tpu_config=sf.TPUConfig(iterations_per_loop=steps),
        ),
        **fields,
    )


@pytest.mark.parametrize("devices", [1, 8])
@pytest.mark.parametrize("steps", [1, 4, 50])
def test_an_iterator_that_fills_one_buffer_trains_as_one_of_copies(steps, devices):
    found = []
    for input_fn in (copies, reused, Reused):
        model = estimator(devices, steps)
        model.train(input_fn, steps=BATCHES)
        metrics = model.evaluate(input_fn)
        predicted = [row["p"] for row in model.predict(input_fn)]
        found.append((model.checkpoints.arrays(), metrics, predicted))
    for other in found[1:]:
        jax.tree.map(np.testing.assert_array_equal, other, found[0])


def test_a_batch_of_another_shape_is_kept_as_it_was_given():
    def short_ones():
        buffer = aligned((4, 1))
        for number, rows in enumerate((4, 4, 2, 4)):
            buffer[:] = number
            yield buffer[:rows], None

    chunks = as_train_batches(short_ones(), batch_size=4, steps_per_chunk=3)
    assert [chunk.features[:, 0, 0].tolist() for chunk in chunks] == [[0, 1], [2], [3]]


def test_rows_of_a_source_are_kept_as_they_were_given():
    plan = BatchPlan(Reused(), ROWS, shuffle=False)
    given = [plan.rows(step, 1)[1][0] for step in range(3)]
    batches = list(EvalBatches(Reused(), ROWS))
    for step, labels in enumerate(given):
        np.testing.assert_array_equal(labels, DATA[step][1])
        np.testing.assert_array_equal(batches[step].labels, DATA[step][1])


def test_initial_values_share_no_memory_with_those_that_were_given():
    mine = {}

    def init_fn(params):
        for name, value in params.items():
            # In another type too, as files may have it: programs are of the first.
            mine[name] = aligned(value.shape) if name == "kernel" else np.ones(1, ">f8")
            mine[name][...] = 1.0
        return mine

    model = estimator(1, 1, init_fn=init_fn)
    batches = lambda: iter(copies())  # noqa: E731
    expected = [row["p"] for row in model.predict(batches)]
    # NumPy: the sum of each row, plus 1.
    sums = np.concatenate([x.sum(axis=1) for x, _ in DATA]) + 1
    np.testing.assert_allclose(expected, sums, rtol=1e-4, atol=1e-4)
    model.train(batches, steps=1)
    for array in mine.values():
        np.testing.assert_array_equal(array, 1.0)


class Numbers(nnx.Module):
    """Variables that are plain numbers, of Python and of NumPy."""

    def __init__(self, rngs):
        self.out = nnx.Linear(8, 1, rngs=rngs)
        self.scale = nnx.Param(np.float32(2.0))
        self.shift = nnx.Variable(5.0)
        self.count = nnx.Variable(np.int64(3))

    def __call__(self, x):
        return self.out(x) * self.scale[...] + self.shift[...] + self.count[...]


class LinenNumbers(linen.Module):
    @linen.compact
    def __call__(self, x):
        shift = self.variable("numbers", "shift", lambda: np.float32(5.0))
        scale = self.param("scale", lambda key: np.float64(2.0))
        return linen.Dense(1)(x) * scale + shift.value


def numbers_in_the_state():
    def init(params):
        return {"rate": np.float32(0.01), "count": np.int64(7), "on": True, "f": 3.0}

    def update(gradients, state, params=None):
        updates = jax.tree.map(lambda g: -g * state["rate"], gradients)
        return updates, {**state, "count": state["count"] + 1}

    return optax.GradientTransformation(init, update)


@pytest.mark.parametrize(
    "model",
    [lambda: lambda rngs: Numbers(rngs), lambda: Numbers(nnx.Rngs(0)), LinenNumbers],
    ids=["NNX, built here", "NNX, given", "Linen"],
)
def test_plain_numbers_in_model_and_optimizer_are_saved_and_restored(model, tmp_path):
    def function(model, features, labels, mode):
        loss = ((model(features["x"])[:, 0] - labels) ** 2).mean()
        return sf.TPUEstimatorSpec(mode, {}, loss, numbers_in_the_state())

    steps = []
    for _ in range(2):
        estimator = sf.Estimator(
            function, model=model(), model_dir=str(tmp_path), train_batch_size=ROWS
        )
        estimator.train(copies, steps=2)
        steps.append(estimator.latest_step())
    arrays = estimator.checkpoints.arrays()
    assert steps == [2, 4]
    assert int(arrays["opt_state/count"]) == 7 + 4
    assert float(arrays["opt_state/f"]) == 3.0
