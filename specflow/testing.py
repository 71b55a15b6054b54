"""Checks for the tests of users: does an estimator resume bit for bit?"""

import contextlib
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from specflow.estimator import Estimator, TrainRecorder
from specflow.lifecycle import ResumeComparison, RunTrace, compare_runs

__all__ = ["check_resume"]


def check_resume(
    make_estimator: Callable[[Path], Estimator],
    input_fn: Callable[..., Any],
    *,
    steps: int = 24,
    at: int | None = None,
    make_hooks: Callable[[], Sequence[Any]] = tuple,
) -> ResumeComparison:
    """Checks that training resumes bit for bit with a new estimator.

    One estimator trains to `steps`. Another trains to `at` and is closed; a third one,
    with the same directory, resumes from its checkpoint. The batches, the losses and
    the last states are compared. All three are in this process: `specflow
    resume-check` also kills a process, and takes experiments of a config.

    Args:
        make_estimator: returns a new estimator with this `model_dir`.
        input_fn: training input, as `Estimator.train` takes it.
        steps: step at which training ends.
        at: step at which it is interrupted; None: 3/8 of the steps.
        make_hooks: returns new hooks for one call to train.

    Returns:
        The comparison, of equal runs.

    Raises:
        AssertionError: they differ; the message has the first difference and its likely
            cause.

    Examples:
        >>> import jax.numpy as jnp, numpy as np, optax
        >>> from flax import nnx
        >>> import specflow as sf
        >>> def model_fn(model, features, labels, mode):
        ...     loss = jnp.mean((model(features["x"])[:, 0] - labels) ** 2)
        ...     return sf.TPUEstimatorSpec(
        ...         mode=mode, loss=loss, train_op=optax.adam(0.1)
        ...     )
        >>> def make_estimator(model_dir):
        ...     return sf.Estimator(
        ...         model_fn,
        ...         model=lambda rngs: nnx.Linear(1, 1, rngs=rngs),
        ...         config=sf.RunConfig(progress=False),
        ...         model_dir=model_dir,
        ...         train_batch_size=16,
        ...     )
        >>> x = np.linspace(-1, 1, 64, dtype=np.float32)
        >>> data = {"x": x[:, None]}, 3 * x + 1
        >>> comparison = check_resume(make_estimator, lambda: data, steps=8)
        >>> [part.name for part in comparison.parts if part.differs]
        []
    """
    at = max(1, steps * 3 // 8) if at is None else at
    with tempfile.TemporaryDirectory(prefix="specflow-resume-") as folder:
        traces = [
            _trained(Path(folder, name), make_estimator, input_fn, make_hooks, stops)
            for name, stops in {"whole": [steps], "resumed": [at, steps]}.items()
        ]
        comparison = compare_runs(*traces)
    if comparison.difference is not None:
        raise AssertionError(str(comparison.difference))
    return comparison


def _trained(
    directory: Path,
    make_estimator: Callable[[Path], Estimator],
    input_fn: Callable[..., Any],
    make_hooks: Callable[[], Sequence[Any]],
    stops: Sequence[int],
) -> RunTrace:
    """Trains to each step with a new estimator, and returns what was recorded."""
    records = directory.with_name(f"{directory.name}-records")
    losses: dict[int, float] = {}
    for stop in stops:
        recorder = TrainRecorder(records)
        with contextlib.closing(make_estimator(directory)) as estimator:
            estimator.record_training(recorder)
            estimator.train(input_fn, max_steps=stop, hooks=make_hooks())
        recorder.finish()
        losses |= recorder.losses
    rows = (
        json.dumps({"step": step, "split": "train", "loss": loss})
        for step, loss in losses.items()
    )
    (directory / "metrics.jsonl").write_text("".join(f"{row}\n" for row in rows))
    return RunTrace.read(directory, records)
