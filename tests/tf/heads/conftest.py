"""Evaluation of a head: jitted, batch by batch, metrics on the host."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

import specflow as sf


def _spec(head: Any, mode: str, **tensors: Any) -> sf.TPUEstimatorSpec:
    """The spec with values, made inside a program as the executor makes it."""
    found: list[Any] = []

    def traced(arrays: Any) -> Any:
        found.append(head.spec(mode, **arrays))
        spec = found[-1]
        pair = spec.eval_metrics
        return spec.predictions, spec.loss, pair and pair.tensors, spec.export_outputs

    predictions, loss, rows, exports = jax.jit(traced)(tensors)
    pair = (found[-1].eval_metrics.function, rows) if rows is not None else None
    return sf.TPUEstimatorSpec(
        mode,
        predictions,
        loss,
        sf.TrainOp(lambda: None) if mode == "train" else None,
        pair,
        exports if mode == "infer" else None,
    )


@pytest.fixture(scope="session")
def spec_of() -> Callable[..., sf.TPUEstimatorSpec]:
    """`spec_of(head, mode, logits=..., labels=..., features=..., mask=...)`."""
    return _spec


@pytest.fixture(scope="session")
def judged() -> Callable[..., dict[str, Any]]:
    """The metrics of a head over batches of `rows` rows, the last one ragged."""

    def judge(head: Any, *, rows: int = 7, **tensors: Any) -> dict[str, Any]:
        size, states = len(tensors["logits"]), {}
        for start in range(0, size, rows):
            cut = jax.tree.map(lambda a, s=start: np.asarray(a)[s : s + rows], tensors)
            pair = _spec(head, "eval", **cut).eval_metrics
            for name, metric in pair().items():
                state = metric[1] if isinstance(metric, tuple) else metric
                states[name] = states[name].merge(state) if name in states else state
        return {name: state.compute() for name, state in states.items()}

    return judge
