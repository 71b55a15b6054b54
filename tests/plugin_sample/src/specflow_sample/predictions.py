"""Predictions made of tensors."""

import jax


def margin(of: jax.Array):
    """How far the highest score is above the next.

    Args:
        of: scores of the classes.
    """
    best, _ = jax.lax.top_k(of, 2)
    return best[:, 0] - best[:, 1]
