"""An evaluation that is stopped continues, with the result of one without a stop."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import optax
import pytest
from flax import nnx

import specflow as sf
from specflow.commands.signals import stopping
from specflow.metrics import AUC, Accuracy, Mean, Precision
from specflow.output import Checkpointer
from tests.preloaded import Preloaded

ROWS, BATCH = 40, 4
X = np.random.default_rng(0).standard_normal((ROWS, 3)).astype(np.float32)
Y = (X.sum(-1) > 0).astype(np.int32)


class Ordered:
    """A metric of the user: a class that is no dataclass."""

    def __init__(self, total, seen):
        self.total, self.seen = total, seen

    def merge(self, other):
        return Ordered(self.total * 0.5 + other.total, [*self.seen, *other.seen])

    def compute(self):
        return np.float64(self.total) + len(self.seen)


def metric_fn(labels, scores, losses):
    return {
        "auc": AUC.from_batch(labels, scores),
        "accuracy": Accuracy.from_batch(labels, scores > 0),
        "mean": Mean.from_batch(losses),
        "precision": Precision.from_batch(labels, (scores > 0).astype(np.int32)),
        "order": Ordered(float(losses.sum()), scores.tolist()),
    }


def model_fn(model, features, labels, mode):
    scores = model(features["x"])[:, 0]
    if mode is sf.Mode.PREDICT:
        return sf.TPUEstimatorSpec(mode, {"score": scores})
    losses = optax.sigmoid_binary_cross_entropy(scores, labels)
    return sf.TPUEstimatorSpec(
        mode,
        {"score": scores},
        sf.MeanLoss(losses.sum(), 1.0 * losses.shape[0]),
        optax.adam(0.1),
        (metric_fn, [labels, scores, losses]),
    )


def fewer_metrics_fn(model, features, labels, mode):
    spec = model_fn(model, features, labels, mode)
    names = ("auc", "mean")
    return spec._replace(
        eval_metrics=(
            lambda *rows: {name: metric_fn(*rows)[name] for name in names},
            spec.eval_metrics[1],
        )
    )


class Stopper:
    """Counts the evaluation batches that are read, and asks to stop at one of them."""

    def __init__(self, at=None, wait_s=0.0):
        self.read, self.at, self.wait_s = 0, at, wait_s

    def __call__(self):
        return self.at is not None and self.read >= self.at

    def batches(self):
        for start in range(0, ROWS, BATCH):
            time.sleep(self.wait_s)
            self.read += 1
            yield {"x": X[start : start + BATCH]}, Y[start : start + BATCH]


def run(directory, stopper, *, hooks=(), model_fn=model_fn, **options):
    """Trains for 6 steps; returns metrics of the evaluation at a step, by step."""
    estimator = sf.Estimator(
        model_fn,
        model=lambda rngs: nnx.Linear(3, 1, rngs=rngs),
        model_dir=directory,
        train_batch_size=BATCH,
        mesh=sf.MeshConfig(axes=sf.config.sections.mesh.AxesConfig()),
        config=sf.RunConfig(
            save_checkpoints_steps=100,
            progress=False,
            tpu_config=sf.TPUConfig(iterations_per_loop=2),
        ),
    )
    results = {}

    def report(step, split, metrics):
        if split == "eval":
            results[step] = dict(metrics)

    metrics, _ = estimator.train_and_evaluate(
        sf.TrainSpec(lambda: ({"x": X}, Y), max_steps=6),
        sf.EvalSpec(stopper.batches, steps=None, every_steps=4, hooks=hooks),
        report=report,
        **{"should_stop": stopper, **options},
    )
    estimator.close()
    return metrics, results


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """Metrics of the evaluations of steps 4 and 6, of a run without a stop."""
    return run(tmp_path_factory.mktemp("unbroken"), Stopper())


@pytest.mark.parametrize("at", [1, 4, 10])
def test_a_stopped_evaluation_continues_where_it_stopped(tmp_path, unbroken, at):
    """The batch at which the request arrives is not evaluated; training resumes too."""
    metrics, results = run(tmp_path, Stopper(at))
    assert (metrics, results) == ({"global_step": 4}, {})
    assert run(tmp_path, Stopper()) == unbroken


def test_an_evaluation_may_be_stopped_more_than_once(tmp_path, unbroken):
    """Each part makes progress, although no step is trained in between."""
    for at in (3, 6, 9):
        assert run(tmp_path, Stopper(at)) == ({"global_step": 4}, {})
        data = Checkpointer(tmp_path / "checkpoints").data_position(4)
        step, progress = data["evaluation"]["progress"]
        assert (step, len(progress["losses"])) == (4, at - 1)
    assert run(tmp_path, Stopper()) == unbroken


def test_the_last_evaluation_continues_too(tmp_path, unbroken):
    """Its checkpoint is complete by then: only its description changes."""
    first, second = Stopper(13), Stopper(5)  # The third batch after ten at step 4.
    metrics, results = run(tmp_path, first)
    assert (metrics, results) == ({"global_step": 6}, {4: unbroken[1][4]})
    assert run(tmp_path, second)[0] == {"global_step": 6}
    metrics, results = run(tmp_path, Stopper())
    assert (metrics, results) == (unbroken[0], {6: unbroken[1][6]})


def test_only_the_remaining_batches_are_computed(tmp_path, unbroken):
    run(tmp_path, Stopper(7))
    rows = []

    def counted_fn(model, features, labels, mode):
        spec = model_fn(model, features, labels, mode)
        if mode is not sf.Mode.EVAL:
            return spec

        def counted(*tensors):
            rows.append(len(tensors[0]))
            return metric_fn(*tensors)

        return spec._replace(eval_metrics=(counted, spec.eval_metrics[1]))

    assert run(tmp_path, Stopper(), model_fn=counted_fn) == unbroken
    assert sum(rows) == (ROWS - 6 * BATCH) + ROWS  # Of steps 4 and 6.


def test_changed_metrics_begin_anew_with_a_line(tmp_path, unbroken, caplog):
    run(tmp_path, Stopper(5))
    with caplog.at_level(logging.WARNING, logger="specflow"):
        _, results = run(tmp_path, Stopper(), model_fn=fewer_metrics_fn)
    assert results[4]["auc"] == unbroken[1][4]["auc"]
    assert caplog.messages == [
        "the evaluation of step 4 begins anew: its metrics have changed"
    ]


class Seen:
    """A hook of the evaluation, with the losses of its batches as its state."""

    def __init__(self):
        self.losses = []

    def after_step(self, step, loss):
        self.losses.append(loss)


class SeenAndSaved(Seen):
    def get_state(self):
        return self.losses

    def set_state(self, losses):
        self.losses = losses


@pytest.mark.parametrize(("hook", "batches"), [(Seen, 20), (SeenAndSaved, 20)])
def test_hooks_see_every_batch(tmp_path, unbroken, hook, batches):
    """With a state those after the stop; without one, all of them once more."""
    run(tmp_path, Stopper(5), hooks=[hook()])
    last = hook()
    assert run(tmp_path, Stopper(), hooks=[last]) == unbroken
    assert len(last.losses) == batches


def test_a_signal_within_an_evaluation_stops_it_and_the_rest_follows(tmp_path):
    """In processes: the result equals that of one process, to the last bit."""
    root = Path(__file__).parents[2]
    environment = dict(os.environ, PYTHONPATH=str(root), JAX_PLATFORMS="cpu")

    def start(directory, wait_s):
        command = [sys.executable, "-m", __spec__.name, str(tmp_path / directory)]
        return Preloaded(
            [*command, wait_s],
            env=environment,
            cwd=root,
            stdout=subprocess.PIPE,
            text=True,
        )

    with start("stopped", "0.2") as process, start("unbroken", "0") as other:
        for line in process.stdout:
            if line.startswith("batch 3"):
                process.send_signal(signal.SIGTERM)
        assert process.wait() == 0
        *_, expected = other.stdout
        assert line == '{"global_step": 4}\n'
    with start("stopped", "0") as process:
        *_, line = process.stdout
    assert json.loads(line) == json.loads(expected)


if __name__ == "__main__":
    stopper = Stopper(wait_s=float(sys.argv[2]))
    batches = stopper.batches

    def announced():
        for batch in batches():
            print("batch", stopper.read, flush=True)
            yield batch

    stopper.batches = announced
    with stopping(print) as request:
        metrics, _ = run(Path(sys.argv[1]), stopper, should_stop=request)
    print(json.dumps(metrics, default=float), flush=True)
