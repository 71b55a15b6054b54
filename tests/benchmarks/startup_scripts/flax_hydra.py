"""The digits by Flax NNX and Hydra, as people write it; ends after its first step.

Usage: python flax_hydra.py CONF [CACHE]
"""

import itertools
import sys

import jax
import numpy as np
import optax
from common import digits, told
from flax import nnx
from hydra import compose, initialize_config_dir

if len(sys.argv) > 2:
    jax.config.update("jax_compilation_cache_dir", sys.argv[2])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


class Mlp(nnx.Module):
    def __init__(self, inputs, hidden, outputs, dropout, *, rngs):
        sizes = [inputs, *hidden]
        self.layers = nnx.List(
            [nnx.Linear(*pair, rngs=rngs) for pair in itertools.pairwise(sizes)]
        )
        self.dropout = nnx.Dropout(dropout, rngs=rngs)
        self.head = nnx.Linear(sizes[-1], outputs, rngs=rngs)

    def __call__(self, x):
        for layer in self.layers:
            x = self.dropout(nnx.relu(layer(x)))
        return self.head(x)


@nnx.jit
def train_step(model, optimizer, images, labels):
    def loss_of(model):
        logits = model(images)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return losses.mean()

    loss, gradients = nnx.value_and_grad(loss_of)(model)
    optimizer.update(model, gradients)
    return loss


def main():
    with initialize_config_dir(config_dir=sys.argv[1], version_base="1.3"):
        config = compose("config", overrides=["experiment=digits_mlp"])
    images, labels = digits()
    sizes = config.model
    model = Mlp(64, sizes.hidden, sizes.outputs, sizes.dropout, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.adam(config.optimizer.lr), wrt=nnx.Param)
    rows = np.random.default_rng(0).permutation(len(images))[: config.loop.batch_size]
    loss = float(train_step(model, optimizer, images[rows], labels[rows]))
    print(f"loss {loss:.3f}\nfirst step {told()}")


main()
