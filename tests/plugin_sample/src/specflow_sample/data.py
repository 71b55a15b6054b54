"""Synthetic data."""

import numpy as np


def stripes(size: int = 8, rows: int = 256, seed: int = 0):
    """Images of vertical (0) or horizontal (1) stripes, with noise.

    Args:
        size: height and width of an image.
        rows: number of training images; there are half as many for evaluation.
        seed: seed of labels and noise.
    """

    def split(rows, seed):
        draw = np.random.default_rng(seed)
        labels = draw.integers(0, 2, rows).astype(np.int32)
        vertical = np.tile(np.arange(size) % 2, (size, 1))
        images = np.where(labels[:, None, None] == 0, vertical, vertical.T)
        noisy = images + draw.normal(0.0, 0.1, images.shape)
        return {"image": noisy[..., None].astype(np.float32)}, labels

    return {"train": split(rows, seed), "eval": split(rows // 2, seed + 1)}
