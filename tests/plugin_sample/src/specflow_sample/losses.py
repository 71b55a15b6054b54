"""Losses of tensors."""

import jax
import jax.numpy as jnp


def focal(logits, labels, *, gamma: float = 2.0):
    """Cross-entropy that looks at what is hard. Source: Lin et al., 2017.

    Args:
        logits: scores of the classes.
        labels: index of the class.
        gamma: how much less an easy example counts.
    """
    log = jax.nn.log_softmax(logits)
    chosen = jnp.take_along_axis(log, labels[:, None], axis=-1)[:, 0]
    return -((1 - jnp.exp(chosen)) ** gamma) * chosen
