"""Losses without reduction: a value for each example."""

import jax
import jax.numpy as jnp


def focal(logits, labels, *, gamma: float = 2.0):
    """Focal loss. Source: Lin et al., Focal Loss for Dense Object Detection, 2017.

    Args:
        logits: unnormalized scores, one for each class.
        labels: index of the class of each example.
        gamma: focusing parameter; down-weights easy examples.
    """
    log = jax.nn.log_softmax(logits)
    chosen = jnp.take_along_axis(log, labels[:, None], axis=-1)[:, 0]
    return -((1 - jnp.exp(chosen)) ** gamma) * chosen
