"""Functions that use what models use: `(weights, batch) -> outputs`, and a batch."""

import jax
import jax.numpy as jnp
import numpy as np

R = np.random.default_rng(0)


def floats(*shape):
    return R.standard_normal(shape).astype(np.float32)


def integers(most, *shape):
    return R.integers(0, most, shape).astype(np.int32)


NHWC = {"dimension_numbers": ("NHWC", "HWIO", "NHWC")}


def convolutions(w, sent):
    x = sent["x"]
    plain = jax.lax.conv_general_dilated(x, w["k"], (2, 1), "SAME", **NHWC)
    wide = {"rhs_dilation": (2, 1), "feature_group_count": 2}
    return {
        "plain": plain,
        "wide": jax.lax.conv_general_dilated(
            x, w["g"], (1, 1), "VALID", **NHWC, **wide
        ),
        "back": jax.lax.conv_transpose(x, w["k"], (2, 2), "SAME", **NHWC),
        "class": jax.nn.softmax(plain.reshape(x.shape[0], -1) @ w["d"]),
    }


def windows(w, sent):
    x, line = sent["x"], sent["x"][:, :, 0, 0]

    def window(operation, start, size, strides, padding):
        return jax.lax.reduce_window(
            x, start, operation, (1, *size, 1), (1, *strides, 1), padding
        )

    return {
        "max": window(jax.lax.max, -np.inf, (2, 2), (2, 2), "VALID"),
        "min": window(jax.lax.min, np.inf, (2, 3), (1, 1), "SAME"),
        "sum": window(jax.lax.add, 0.0, (3, 3), (2, 2), "SAME"),
        "cumsum": jnp.cumsum(line, 1),
        "suffix": jax.lax.cumsum(line, 1, reverse=True),
        "highest": jax.lax.cummax(line, 1),
    }


def reductions(w, sent):
    x = sent["x"]
    return {
        "mean": x.mean(-1),
        "std": x.std(-1),
        "product": x.prod(-1),
        "logsumexp": jax.nn.logsumexp(x, -1),
        "any": (x > 1).any(-1),
        "all": (x > -1).all(-1),
        "argmax": x.argmax(-1),
        "argmin": x.argmin(1),
        "of rows": x.max(0),
    }


def ordering(w, sent):
    x = sent["x"]
    best, places = jax.lax.top_k(x, 3)
    return {
        "best": best,
        "places": places,
        "sorted": jnp.sort(x, -1),
        "falling": jnp.sort(x, -1, descending=True),
        "order": jnp.argsort(x, -1),
        "flipped": x[:, ::-1],
        "rolled": jnp.roll(x, 2, 1),
    }


def gathers(w, sent):
    x, i, j = sent["x"], sent["i"], sent["j"]
    cube = x[:, :6].reshape(-1, 3, 2)
    return {
        "rows": w["table"][i],
        "columns": x[:, jnp.array([4, 0])],
        "along": jnp.take_along_axis(x, j, 1),
        "middle": cube[:, j[0] % 3],
        "each": cube[jnp.arange(cube.shape[0]), j[:, 0] % 3],
        "slice": jax.lax.dynamic_slice(x, (0, j[0, 0]), (x.shape[0], 2)),
        "update": jax.lax.dynamic_update_slice(x, x[:, :2] * 9, (0, j[0, 0])),
        "one hot": jax.nn.one_hot(i, 11),
        # Beyond the end: nothing is there.
        "outside": jnp.take(w["table"], i + 5, axis=0, mode="fill", fill_value=-1),
        "nearest": jnp.take(w["table"], i + 5, axis=0, mode="clip"),
    }


def attention(w, sent):
    ids = sent["ids"]
    x = w["table"][ids] + w["places"][None]
    seen = (ids > 0)[:, None, None, :] & jnp.tril(jnp.ones((1, 1, 6, 6), bool))
    for _ in range(2):
        centred = x - x.mean(-1, keepdims=True)
        h = centred * jax.lax.rsqrt(x.var(-1, keepdims=True) + 1e-6)
        q, k, v = (jnp.einsum("btd,dhk->bthk", h, w[name]) for name in "qkv")
        scores = jnp.where(seen, jnp.einsum("bthk,bshk->bhts", q, k) / 2, -1e9)
        mixed = jnp.einsum("bhts,bshk->bthk", jax.nn.softmax(scores), v)
        x = x + mixed.reshape(x.shape) @ w["o"]
        x = x + jax.nn.gelu(x @ w["up"], approximate=False) @ w["down"]
    return {"next": jax.nn.log_softmax(x[:, -1] @ w["table"].T), "x": x}


def recurrence(w, sent):
    def step(carry, x):
        carry = jnp.tanh(carry @ w["a"] + x @ w["b"])
        return carry, carry

    start = jnp.zeros((sent["x"].shape[0], 4))
    last, each = jax.lax.scan(step, start, jnp.moveaxis(sent["x"], 1, 0))
    return {"last": last, "each": jnp.moveaxis(each, 0, 1)}


def choices(w, sent):
    x, n = sent["x"], sent["n"]
    branches = [lambda x: x, lambda x: x * 2, lambda x: x * 3]
    return {
        "if": jax.lax.cond(x.sum() > 0, lambda x: x * 2, lambda x: x - 1, x),
        "switch": jax.lax.switch(n[0], branches, x),
        "loop": jax.lax.fori_loop(0, n[0], lambda i, x: x * 1.5, x),
        "booleans": jnp.where(x > 0, x < 1, x > -1),
        "clipped": jnp.clip(x, -1, 0.5),
    }


_NAMES = (
    "abs arcsinh arctan ceil cos cosh exp expm1 floor isfinite negative round sign sin "
    "sinh square tan tanh"
).split()


def elements(w, sent):
    x = sent["x"]
    above = abs(x) + 1e-3
    found = {name: getattr(jnp, name)(x) for name in _NAMES}
    return found | {
        "erf": jax.lax.erf(x),
        "gelu": jax.nn.gelu(x),
        "log": jnp.log(above),
        "log1p": jnp.log1p(above),
        "mod": jnp.mod(x, 0.7),
        "padded": jnp.pad(x, ((0, 0), (1, 2))),
        "power": above**1.7,
        "rsqrt": jax.lax.rsqrt(above),
        "sigmoid": jax.nn.sigmoid(x),
        "softplus": jax.nn.softplus(x),
        "sqrt": jnp.sqrt(above),
        "spaced": jax.lax.pad(x, 0.0, ((0, 0, 0), (1, -1, 2))),
        "third": (x * 10).astype(jnp.int32) // 3,
        "bits": (x * 10).astype(jnp.int32) & 3,
        "unlike": x != 0,
        "row": jnp.arange(x.shape[0]),
        "both": jnp.concatenate([x, 2 * x], 1),
        "grey": sent["bytes"].astype(jnp.float32) / 255,
    }


LINE = {"x": floats(8, 7)}
IMAGE = {"x": floats(8, 8, 8, 2)}

FUNCTIONS = {
    "convolutions": (
        convolutions,
        IMAGE,
        {"k": floats(3, 3, 2, 4), "g": floats(2, 3, 1, 4), "d": floats(4 * 8 * 4, 5)},
    ),
    "windows": (windows, IMAGE, {}),
    "reductions": (reductions, LINE, {}),
    "ordering": (ordering, LINE, {}),
    "gathers": (
        gathers,
        {**LINE, "i": integers(11, 8, 3), "j": integers(5, 8, 2)},
        {"table": floats(11, 4)},
    ),
    "attention": (
        attention,
        {"ids": integers(11, 8, 6)},
        {
            "table": floats(11, 8),
            "places": floats(6, 8),
            **{name: floats(8, 2, 4) for name in "qkv"},
            "o": floats(8, 8),
            "up": floats(8, 16),
            "down": floats(16, 8),
        },
    ),
    "recurrence": (
        recurrence,
        {"x": floats(8, 5, 3)},
        {"a": floats(4, 4), "b": floats(3, 4)},
    ),
    "choices": (choices, {**LINE, "n": np.full(8, 2, np.int32)}, {}),
    "elements": (
        elements,
        {**LINE, "bytes": integers(255, 8, 4).astype(np.uint8)},
        {},
    ),
}
