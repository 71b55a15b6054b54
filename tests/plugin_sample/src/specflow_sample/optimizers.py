"""Optimizers and schedules, built from optax."""

import optax


def signed(learning_rate, *, decay: float = 0.9):
    """Steps by the sign of the averaged gradient.

    Args:
        learning_rate: a number, or a function of the step, passed by specflow.
        decay: decay rate of the moving average of gradients.
    """
    return optax.chain(
        optax.ema(decay),
        optax.scale_by_sign(),
        optax.scale_by_learning_rate(learning_rate),
    )


def halving(lr, *, every: int):
    """Halves the learning rate repeatedly.

    Args:
        lr: initial learning rate, `optimizer.lr`, passed by specflow.
        every: steps between halvings.
    """
    return optax.exponential_decay(lr, every, 0.5, staircase=True)
