"""Data that is made up."""

import numpy as np


def stripes(size: int = 8, rows: int = 256, seed: int = 0):
    """Images of stripes, upright (0) or lying (1), and noise.

    Args:
        size: height and width of an image.
        rows: how many images there are to train on; half as many to evaluate on.
        seed: of the noise.
    """

    def part(rows, seed):
        draw = np.random.default_rng(seed)
        labels = draw.integers(0, 2, rows).astype(np.int32)
        upright = np.tile(np.arange(size) % 2, (size, 1))
        images = np.where(labels[:, None, None] == 0, upright, upright.T)
        noisy = images + draw.normal(0.0, 0.1, images.shape)
        return {"image": noisy[..., None].astype(np.float32)}, labels

    return {"train": part(rows, seed), "eval": part(rows // 2, seed + 1)}
