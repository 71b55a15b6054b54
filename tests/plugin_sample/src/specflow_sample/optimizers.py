"""Optimizers and schedules of optax."""

import optax


def signed(learning_rate, *, decay: float = 0.9):
    """The sign of the mean gradient.

    Args:
        learning_rate: a number, or a function of the step; specflow hands it over.
        decay: share of the mean that is kept at each step.
    """
    return optax.chain(
        optax.ema(decay),
        optax.scale_by_sign(),
        optax.scale_by_learning_rate(learning_rate),
    )


def halving(lr, *, every: int):
    """Half the rate, again and again.

    Args:
        lr: `optimizer.lr`; specflow hands it over.
        every: steps until the rate is halved.
    """
    return optax.exponential_decay(lr, every, 0.5, staircase=True)
