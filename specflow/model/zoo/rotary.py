"""Rotary position embeddings."""

import jax.numpy as jnp
from jaxtyping import Array, Float

__all__ = ["rotate"]


def rotate(
    x: Float[Array, "b t h d"], *, base: float = 10_000.0
) -> Float[Array, "b t h d"]:
    """Rotates pairs of features by an angle proportional to the position.

    Products of two rotated vectors depend only on the distance of their positions.

    Args:
        x: queries or keys, d even; angles are float32 for any dtype.
        base: the slowest pair rotates once in about 2 pi `base` tokens; use a larger
            one for long sequences.

    Source: Su et al., RoFormer, 2021, section 3.2; the first half of the features
    paired with the second.

    >>> for place in rotate(jnp.ones((1, 2, 1, 2)))[0, :, 0]:
    ...     print(*(f"{value:.3f}" for value in place))
    1.000 1.000
    -0.301 1.382
    """
    t, d = x.shape[1], x.shape[3]
    frequency = base ** (-jnp.arange(0, d, 2, dtype=jnp.float32) / d)
    angle = jnp.arange(t, dtype=jnp.float32)[:, None] * frequency[None, :]
    sin, cos = jnp.sin(angle)[None, :, None, :], jnp.cos(angle)[None, :, None, :]
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    turned = jnp.concatenate(
        [first * cos - second * sin, second * cos + first * sin], axis=-1
    )
    return turned.astype(x.dtype)
