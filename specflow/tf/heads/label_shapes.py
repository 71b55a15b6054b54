"""Checks and reshaping of labels, to match the logits."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Num

from specflow.runtime.typing import describe, is_array
from specflow.tf.heads.head import Head, diagnostic

__all__ = ["column_of", "in_range", "thresholds_of"]


def column_of(
    head: Head, labels: Any, logits: Array, *, width: int = 1, integer: bool = False
) -> Num[Array, "b ... n"]:
    """Reshapes labels to as many axes as the logits, with a last axis of size `width`.

    Args:
        head: the head, for messages.
        labels: shaped as the logits, with a last axis of `width`; it may be missing if
            `width` is 1.
        logits: output of the model.
        width: number of labels per row.
        integer: whether labels must be integers.

    Raises:
        SpecError: shape or dtype of the labels does not match.

    >>> from specflow.tf.heads import MultiClassHead
    >>> logits = jnp.zeros((4, 3))
    >>> column_of(MultiClassHead(3), jnp.zeros(4, int), logits).shape
    (4, 1)
    """
    shape = (*logits.shape[:-1], width)
    if is_array(labels) and labels.shape == shape[:-1] and width == 1:
        labels = jnp.asarray(labels)[..., None]
    if not is_array(labels) or tuple(labels.shape) != shape:
        expected = f"labels of shape {list(shape)}"
        if width == 1:
            expected += f" or {list(shape[:-1])}"
        problem = f"are {describe(labels)}, and the logits are {describe(logits)}"
        raise diagnostic(head, "labels", problem, expected=expected)
    labels = jnp.asarray(labels)
    if integer and not jnp.issubdtype(labels.dtype, jnp.integer):
        problem, expected = f"are {describe(labels)}", "integers, class indices"
        raise diagnostic(head, "labels", problem, expected=expected)
    return labels


def in_range(losses: Array, labels: Array, *, highest: int) -> Array:
    """Sets losses to NaN where the label is not in [0, `highest`].

    A compiled step cannot raise; the training loop reports NaN.
    """
    return jnp.where((labels >= 0) & (labels <= highest), losses, jnp.nan)


def thresholds_of(head: Head, thresholds: Sequence[float]) -> tuple[float, ...]:
    """Checks decision thresholds.

    Raises:
        SpecError: a threshold is not in (0, 1).
    """
    for threshold in thresholds:
        if not 0.0 < threshold < 1.0:
            problem = f"got {threshold!r}"
            raise diagnostic(head, "thresholds", problem, expected="numbers in (0, 1)")
    return tuple(thresholds)
