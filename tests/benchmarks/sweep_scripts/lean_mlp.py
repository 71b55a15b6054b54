"""The digits MLP by JAX and optax: one trial as people write it, without a framework.

The same data, split, model, optimizer, schedule, batch size and evaluation as
`experiment=digits_mlp`; all steps in one scan. A trial leaves a checkpoint of the
parameters and the optimizer's state, and a JSON file of its result.
"""

import functools
import itertools
import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

sys.path.append(str(Path(__file__).resolve().parents[1] / "startup_scripts"))

from common import digits

STEPS, BATCH, DROPOUT = 500, 128, 0.3
SIZES = (64, 128, 128, 10)


def rows():
    """(training images, labels), (evaluation images, labels)."""
    images, labels = digits()
    order = np.random.default_rng(0).permutation(len(images))
    count = len(images) // 5
    parts = order[count:], order[:count]
    return [(images[part], labels[part]) for part in parts]


def orders(count):
    """int32[steps, batch]: rows of each step, every epoch shuffled."""
    random = np.random.default_rng(0)
    epochs = [
        random.permutation(count)[: count // BATCH * BATCH].reshape(-1, BATCH)
        for _ in range(-(-STEPS // (count // BATCH)))
    ]
    return np.concatenate(epochs)[:STEPS].astype(np.int32)


def optimizer_of(lr):
    """AdamW with a warmup and a cosine; `lr` is a number or a tracer."""
    # optax branches on the peak, so a tracer cannot be one.
    shape = optax.warmup_cosine_decay_schedule(0.0, 1.0, STEPS // 10, STEPS)
    return optax.adamw(lambda step: lr * shape(step), weight_decay=1e-4, mask=_decays)


def _decays(params):
    return jax.tree.map(lambda array: array.ndim > 1, params)


def init(key):
    """Parameters: LeCun's normal initialization, biases 0."""
    pairs = list(itertools.pairwise(SIZES))
    return [
        (jax.random.normal(k, pair) / np.sqrt(pair[0]), jnp.zeros(pair[1]))
        for k, pair in zip(jax.random.split(key, len(pairs)), pairs, strict=True)
    ]


def logits_of(params, x, key=None):
    """float32[b, 10]; dropout with a key."""
    for number, (kernel, bias) in enumerate(params[:-1]):
        x = jax.nn.relu(x @ kernel + bias)
        if key is not None:
            keep = 1 - DROPOUT
            kept = jax.random.bernoulli(jax.random.fold_in(key, number), keep, x.shape)
            x = jnp.where(kept, x / keep, 0)
    kernel, bias = params[-1]
    return x @ kernel + bias


def train(lr, images, labels, order):
    """Parameters, optimizer state and losses after all steps."""
    optimizer = optimizer_of(lr)
    key, dropout = jax.random.split(jax.random.key(0))
    params = init(key)

    def loss_of(params, rows, key):
        logits = logits_of(params, images[rows], key)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels[rows])
        return losses.mean()

    def step(state, inputs):
        params, opt_state = state
        index, rows = inputs
        key = jax.random.fold_in(dropout, index)
        loss, gradients = jax.value_and_grad(loss_of)(params, rows, key)
        updates, opt_state = optimizer.update(gradients, opt_state, params)
        return (optax.apply_updates(params, updates), opt_state), loss

    steps = jnp.arange(STEPS), order
    state, losses = jax.lax.scan(step, (params, optimizer.init(params)), steps)
    return (*state, losses)


@jax.jit
def evaluate(params, images, labels):
    """Loss, accuracy and top-3 accuracy."""
    logits = logits_of(params, images)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    _, best = jax.lax.top_k(logits, 3)
    hits = best == labels[:, None]
    return losses.mean(), hits[:, 0].mean(), hits.any(-1).mean()


def run_trial(folder, lr, data, *, program=None):
    """Trains, evaluates and saves one trial.

    Args:
        folder: of its files.
        lr: learning rate.
        data: from `rows`.
        program: compiled, takes the learning rate; None: one of its own.
    """
    training, evaluation = data
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    order = orders(len(training[1]))
    if program is None:
        params, opt_state, losses = jax.jit(functools.partial(train, lr))(
            *training, order
        )
    else:
        params, opt_state, losses = program(np.float32(lr), *training, order)
    loss, accuracy, top3 = map(float, evaluate(params, *evaluation))
    arrays = jax.tree.leaves((params, opt_state))
    np.savez(folder / "checkpoint.npz", *map(np.asarray, arrays))
    result = {
        "lr": lr,
        "train_loss": np.asarray(losses)[99::100].tolist(),
        "eval": {"loss": loss, "accuracy": accuracy, "top3": top3},
    }
    (folder / "result.json").write_text(json.dumps(result))
