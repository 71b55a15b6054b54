"""The digits by JAX and optax, as people write it; ends after its first step.

Usage: python raw_optax.py [CACHE]
"""

import itertools
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
from common import digits, told

if len(sys.argv) > 1:
    jax.config.update("jax_compilation_cache_dir", sys.argv[1])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)

optimizer = optax.adam(2e-3)


@jax.jit
def init(key):
    sizes = [64, 128, 128, 10]
    params = [
        {
            "kernel": jax.random.normal(k, pair) / np.sqrt(pair[0]),
            "bias": jnp.zeros(pair[1]),
        }
        for k, pair in zip(
            jax.random.split(key, 3), itertools.pairwise(sizes), strict=True
        )
    ]
    return params, optimizer.init(params)


def loss_of(params, images, labels):
    x = images
    for number, layer in enumerate(params):
        x = x @ layer["kernel"] + layer["bias"]
        x = jax.nn.relu(x) if number < 2 else x
    return optax.softmax_cross_entropy_with_integer_labels(x, labels).mean()


@jax.jit
def train_step(params, opt_state, images, labels):
    loss, gradients = jax.value_and_grad(loss_of)(params, images, labels)
    updates, opt_state = optimizer.update(gradients, opt_state, params)
    return optax.apply_updates(params, updates), opt_state, loss


def main():
    images, labels = digits()
    params, opt_state = init(jax.random.key(0))
    rows = np.random.default_rng(0).permutation(len(images))[:128]
    params, opt_state, loss = train_step(params, opt_state, images[rows], labels[rows])
    print(f"loss {float(loss):.3f}\nfirst step {told()}")


main()
