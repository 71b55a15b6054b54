"""What a good engineer writes by hand: the loops that specflow is measured against.

Each takes stacked batches that already lie on the device, and does nothing but train.
"""

import functools
import itertools
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

__all__ = ["Scanned", "Stepped", "byte_lm", "cnn", "digits_mlp"]


def _dense(key, inputs, outputs):
    kernel = jax.random.normal(key, (inputs, outputs)) / np.sqrt(inputs)
    return {"kernel": kernel, "bias": jnp.zeros(outputs)}


def digits_mlp(key, hidden=(128, 128)):
    """64-128-128-10, as `experiment=digits_mlp` has it."""
    sizes = list(itertools.pairwise((64, *hidden, 10)))
    keys = jax.random.split(key, len(sizes))
    params = [_dense(k, *size) for k, size in zip(keys, sizes, strict=True)]

    def logits(params, x):
        x = x.reshape(x.shape[0], -1)
        for number, layer in enumerate(params):
            x = x @ layer["kernel"] + layer["bias"]
            x = jax.nn.relu(x) if number < len(hidden) else x
        return x

    return params, logits


def cnn(key, size=28):
    """conv 32, conv 64, each with a 2x2 max-pool, dense 128, as `model=cnn` has it."""
    keys = jax.random.split(key, 4)
    flat = (size // 4) ** 2 * 64
    params = {
        "conv0": jax.random.normal(keys[0], (3, 3, 1, 32)) / 3,
        "conv1": jax.random.normal(keys[1], (3, 3, 32, 64)) / np.sqrt(288),
        "bias0": jnp.zeros(32),
        "bias1": jnp.zeros(64),
        "dense": _dense(keys[2], flat, 128),
        "head": _dense(keys[3], 128, 10),
    }

    def logits(params, x):
        for number in range(2):
            x = lax.conv_general_dilated(
                x,
                params[f"conv{number}"],
                (1, 1),
                "SAME",
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
            )
            x = jax.nn.relu(x + params[f"bias{number}"].reshape(1, 1, 1, -1))
            x = lax.reduce_window(
                x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID"
            )
        x = x.reshape(x.shape[0], -1)
        x = jax.nn.relu(x @ params["dense"]["kernel"] + params["dense"]["bias"])
        return x @ params["head"]["kernel"] + params["head"]["bias"]

    return params, logits


def byte_lm(key, layers=4, width=128, heads=4, length=128, vocabulary=256):
    """A decoder-only transformer, as `model=transformer` with learned positions."""
    keys = iter(jax.random.split(key, 4 * layers + 3))

    def matrix(inputs, outputs):
        return jax.random.normal(next(keys), (inputs, outputs)) / np.sqrt(inputs)

    def norm():
        return {"scale": jnp.ones(width), "bias": jnp.zeros(width)}

    params = {
        "embed": 0.02 * jax.random.normal(next(keys), (vocabulary, width)),
        "position": 0.02 * jax.random.normal(next(keys), (length, width)),
        "blocks": [
            {
                "norm1": norm(),
                "qkv": matrix(width, 3 * width),
                "out": matrix(width, width),
                "norm2": norm(),
                "up": {"w": matrix(width, 4 * width), "b": jnp.zeros(4 * width)},
                "down": {"w": matrix(4 * width, width), "b": jnp.zeros(width)},
            }
            for _ in range(layers)
        ],
        "norm": norm(),
        "head": matrix(width, vocabulary),
    }

    def normed(layer, x):
        mean = x.mean(-1, keepdims=True)
        scaled = (x - mean) * lax.rsqrt(x.var(-1, keepdims=True) + 1e-6)
        return scaled * layer["scale"] + layer["bias"]

    def logits(params, tokens):
        b, t = tokens.shape
        x = (params["embed"][tokens] + params["position"]).reshape(b * t, width)
        for block in params["blocks"]:
            qkv = normed(block["norm1"], x) @ block["qkv"]
            qkv = qkv.reshape(b, t, 3, heads, width // heads)
            mixed = jax.nn.dot_product_attention(
                qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2], is_causal=True
            )
            x = x + mixed.reshape(b * t, width) @ block["out"]
            hidden = normed(block["norm2"], x) @ block["up"]["w"] + block["up"]["b"]
            x = x + jax.nn.gelu(hidden) @ block["down"]["w"] + block["down"]["b"]
        return (normed(params["norm"], x) @ params["head"]).reshape(b, t, vocabulary)

    return params, logits


def _step(logits, optimizer, state, batch):
    params, opt_state = state

    def loss_of(params):
        scores = logits(params, batch[0])
        losses = optax.softmax_cross_entropy_with_integer_labels(scores, batch[1])
        return losses.mean()

    loss, gradients = jax.value_and_grad(loss_of)(params)
    updates, opt_state = optimizer.update(gradients, opt_state, params)
    return (optax.apply_updates(params, updates), opt_state), loss


class _Loop:
    def __init__(self, model, optimizer, batches):
        params, logits = model(jax.random.key(0))
        self.state = (params, optimizer.init(params))
        self.batches = jax.device_put(batches)
        self.count = len(batches[1])
        self.step = functools.partial(_step, logits, optimizer)

    def seconds_per_step(self, steps):
        """Trains about `steps` steps; seconds each took."""
        rounds = max(1, steps // self.count)
        started = time.perf_counter()
        for _ in range(rounds):
            loss = self.run()
        loss.block_until_ready()
        return (time.perf_counter() - started) / (rounds * self.count)


class Scanned(_Loop):
    """Many steps a call: the limit."""

    def __init__(self, model, optimizer, batches):
        super().__init__(model, optimizer, batches)
        self.program = jax.jit(
            lambda state, batches: lax.scan(self.step, state, batches), donate_argnums=0
        )

    def run(self):
        self.state, losses = self.program(self.state, self.batches)
        return losses


class Stepped(_Loop):
    """One step a call."""

    def __init__(self, model, optimizer, batches):
        super().__init__(model, optimizer, batches)
        self.program = jax.jit(self.step, donate_argnums=0)
        self.batches = [
            jax.tree.map(lambda rows, i=i: rows[i], self.batches)
            for i in range(self.count)
        ]

    def run(self):
        for batch in self.batches:
            self.state, loss = self.program(self.state, batch)
        return loss
