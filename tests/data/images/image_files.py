"""Image files for tests."""

import numpy as np
from PIL import Image

__all__ = ["write_folder", "write_image"]


def write_image(path, pixels, **settings):
    """Writes an image, and the folders that it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path, **settings)


def write_folder(root, *, classes=("cat", "dog"), each=10, size=(6, 4), seed=0):
    """Writes gray images of noise, brighter for each class; returns their pixels."""
    rng = np.random.default_rng(seed)
    written = {}
    for place, name in enumerate(classes):
        for number in range(each):
            pixels = rng.integers(0, 100, size, np.uint8) + np.uint8(70 * place)
            path = f"{name}/{number:02}.png"
            write_image(root / path, pixels)
            written[path] = pixels
    return written
