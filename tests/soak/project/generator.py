"""A user's script: an estimator on batches of a generator that keeps its own state."""

import json
import sys
from pathlib import Path

import numpy as np
import optax
from flax import nnx
from soak_project import OPTIMIZER

import specflow as sf


class Batches:
    """Draws batches of a random walk; its state is the generator's and the walk's."""

    def __init__(self, batches: int):
        self._left, self._rng = batches, np.random.default_rng(0)
        self._center = np.zeros(6)

    def __iter__(self):
        return self

    def __next__(self):
        if self._left == 0:
            raise StopIteration
        self._left -= 1
        self._center = self._center + 0.1 * self._rng.normal(size=6)
        x = self._center + self._rng.normal(size=(16, 6))
        labels = (x.sum(-1) > self._center.sum()).astype(np.int32)
        return {"x": x.astype(np.float32)}, labels

    def get_state(self):
        state = [self._left, self._rng.bit_generator.state, self._center.tolist()]
        return json.dumps(state).encode()

    def set_state(self, state):
        self._left, random, center = json.loads(state)
        self._rng.bit_generator.state = random
        self._center = np.array(center)


class Net(nnx.Module):
    def __init__(self, *, rngs):
        self.hidden = nnx.Linear(6, 8, rngs=rngs)
        self.dropout = nnx.Dropout(0.2, rngs=rngs)
        self.out = nnx.Linear(8, 2, rngs=rngs)

    def __call__(self, x):
        return self.out(self.dropout(nnx.relu(self.hidden(x))))


def model_fn(model, features, labels, mode):
    logits = model(features["x"])
    if mode is sf.Mode.PREDICT:
        return sf.TPUEstimatorSpec(mode, {"logits": logits})
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return sf.TPUEstimatorSpec(mode, {}, losses.mean(), OPTIMIZER)


def main(directory: str, steps: int, every: int, keep: int) -> None:
    log = Path(directory) / "seen.txt"
    log.parent.mkdir(parents=True, exist_ok=True)

    def report(step, split, metrics):
        with log.open("a") as file:
            file.write(f"{step}\n")

    estimator = sf.Estimator(
        model_fn,
        model=lambda rngs: Net(rngs=rngs),
        model_dir=directory,
        train_batch_size=16,
        eval_batch_size=16,
        config=sf.RunConfig(
            seed=1,
            save_checkpoints_steps=every,
            keep_checkpoint_max=keep,
            log_step_count_steps=5,
            tpu_config=sf.TPUConfig(iterations_per_loop=7),
        ),
    )
    estimator.train_and_evaluate(
        sf.TrainSpec(lambda: Batches(steps), max_steps=steps),
        sf.EvalSpec(lambda: Batches(3), every_steps=5 * every),
        report=report,
    )
    estimator.close()


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
