"""The digits by JAX alone, and no import that is not used; ends after its first step.

Usage: python raw_jax.py [CACHE]
"""

import itertools
import sys

import jax
import jax.numpy as jnp
import numpy as np
from common import digits, told

if len(sys.argv) > 1:
    jax.config.update("jax_compilation_cache_dir", sys.argv[1])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


@jax.jit
def init(key):
    sizes = [64, 128, 128, 10]
    return [
        {
            "kernel": jax.random.normal(k, pair) / np.sqrt(pair[0]),
            "bias": jnp.zeros(pair[1]),
        }
        for k, pair in zip(
            jax.random.split(key, 3), itertools.pairwise(sizes), strict=True
        )
    ]


def loss_of(params, images, labels):
    x = images
    for number, layer in enumerate(params):
        x = x @ layer["kernel"] + layer["bias"]
        x = jnp.maximum(x, 0) if number < 2 else x
    scores = jax.nn.log_softmax(x)
    return -jnp.take_along_axis(scores, labels[:, None], axis=1).mean()


@jax.jit
def train_step(params, moments, images, labels):
    loss, gradients = jax.value_and_grad(loss_of)(params, images, labels)

    def adam(p, g, m, v):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        return p - 2e-3 * (m / 0.1) / (jnp.sqrt(v / 0.001) + 1e-8), m, v

    moved = jax.tree.map(adam, params, gradients, *moments)
    leaves = jax.tree.leaves(moved)
    structure = jax.tree.structure(params)
    params, *moments = (jax.tree.unflatten(structure, leaves[k::3]) for k in range(3))
    return params, moments, loss


def main():
    images, labels = digits()
    params = init(jax.random.key(0))
    moments = [jax.tree.map(np.zeros_like, params)] * 2
    rows = np.random.default_rng(0).permutation(len(images))[:128]
    params, moments, loss = train_step(params, moments, images[rows], labels[rows])
    print(f"loss {float(loss):.3f}\nfirst step {told()}")


main()
