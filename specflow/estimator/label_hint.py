"""Hint for a loss that is NaN: labels outside the classes of the logits."""

from collections.abc import Iterator

import numpy as np

from specflow.contract import TPUEstimatorSpec
from specflow.runtime.typing import Tree, is_array, is_floating, leaves

__all__ = ["label_hint"]


def label_hint(labels: Tree, index: int, spec: TPUEstimatorSpec) -> str:
    """Returns which integer labels of a step are outside of the classes, or "".

    The classes are the last axis of an array among the predictions or eval tensors
    that has one more axis than the labels.

    Args:
        labels: arrays of stacked steps, steps first; each process reads its own rows.
        index: position of the step.
        spec: the spec of a training step, abstract.

    >>> import jax
    >>> from specflow.contract import Mode
    >>> spec = TPUEstimatorSpec(
    ...     mode=Mode.PREDICT, predictions={"logits": np.zeros([4, 3], np.float32)}
    ... )
    >>> label_hint(jax.numpy.array([[0, 1, 2, 3]]), 0, spec)
    'Their labels are in [0, 3], and predictions.logits has 3 classes, 0 to 2.'
    """
    for path, stacked in leaves(labels, "labels"):
        if not is_array(stacked) or stacked.dtype.kind not in "iu":
            continue
        rows = [
            np.asarray(shard.data)[index].ravel()
            for shard in stacked.addressable_shards
        ]
        values = np.concatenate(rows)
        for name, classes in _classes(spec, stacked.shape[2:]):
            lowest, highest = int(values.min()), int(values.max())
            if lowest < 0 or highest >= classes:
                return (
                    f"Their {path} are in [{lowest}, {highest}], and {name} has "
                    f"{classes} classes, 0 to {classes - 1}."
                )
    return ""


def _classes(
    spec: TPUEstimatorSpec, inner: tuple[int, ...]
) -> Iterator[tuple[str, int]]:
    """Yields name and last axis of each array of class scores, logits first."""
    pair = spec.eval_metrics
    scores = [
        (name, array)
        for name, array in (
            *leaves(spec.predictions or {}, "predictions"),
            *(() if pair is None else leaves(pair.tensors, "eval_metrics")),
        )
        if is_array(array)
        and is_floating(array.dtype)
        and array.ndim == len(inner) + 2
        and array.shape[1:-1] == inner
        and array.shape[-1] > 1
    ]
    for name, array in sorted(scores, key=lambda item: "logits" not in item[0]):
        yield name, array.shape[-1]
