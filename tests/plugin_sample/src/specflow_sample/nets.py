"""Neural networks."""

from flax import nnx


class TinyResnet(nnx.Module):
    """Convolutional stem, residual blocks, and a linear head over the mean."""

    def __init__(self, channels, width, blocks, outputs, *, rngs):
        self.stem = nnx.Conv(channels, width, (3, 3), strides=2, rngs=rngs)
        self.blocks = nnx.List(
            nnx.Conv(width, width, (3, 3), rngs=rngs) for _ in range(blocks)
        )
        self.head = nnx.Linear(width, outputs, rngs=rngs)

    def __call__(self, image):
        x = nnx.relu(self.stem(image))
        for block in self.blocks:
            x = x + nnx.relu(block(x))
        return self.head(x.mean((1, 2)))
