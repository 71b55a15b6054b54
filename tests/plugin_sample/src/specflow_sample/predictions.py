"""Predictions, computed from the model's outputs."""

import jax


def margin(of: jax.Array):
    """Difference between the highest and the second highest score.

    Args:
        of: scores, one for each class.
    """
    highest, _ = jax.lax.top_k(of, 2)
    return highest[:, 0] - highest[:, 1]
