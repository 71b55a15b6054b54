"""Gradients of a convolution on CPU in other forms, against XLA's own."""

import time

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from specflow.executor.xla_options import convolution_options
from tests.benchmarks.report import Row

BATCH, ROUNDS = 128, 5
LAYERS = ((28, 1, 32), (14, 32, 64))
"""Size, input channels and output channels."""


def run() -> list[Row]:
    """CPU time of each form, with the options of training and with XLA's default."""
    return [row for layer in LAYERS for row in _rows(*layer)]


def _convolution(x, kernel):
    numbers = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=numbers
    )


def _shifted(x):
    """The input at the nine offsets of a 3x3 kernel."""
    height, width = x.shape[1:3]
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return [
        padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)
    ]


def _rows_of(array):
    return array.reshape(-1, array.shape[-1])


def _forward(x, kernel, gradient):
    return _convolution(x, kernel)


def _kernel_by_xla(x, kernel, gradient):
    return jax.vjp(lambda kernel: _convolution(x, kernel), kernel)[1](gradient)[0]


def _kernel_by_a_plain_convolution(x, kernel, gradient):
    out = lax.conv_general_dilated(
        x.transpose(3, 1, 2, 0),
        gradient.transpose(1, 2, 0, 3),
        (1, 1),
        ((1, 1), (1, 1)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return out.transpose(1, 2, 0, 3)


def _kernel_by_nine_products(x, kernel, gradient):
    products = [_rows_of(part).T @ _rows_of(gradient) for part in _shifted(x)]
    return jnp.stack(products).reshape(kernel.shape)


def _kernel_by_patches(x, kernel, gradient):
    patches = jnp.concatenate(_shifted(x), -1)
    return (_rows_of(patches).T @ _rows_of(gradient)).reshape(kernel.shape)


def _input_by_xla(x, kernel, gradient):
    return jax.vjp(lambda x: _convolution(x, kernel), x)[1](gradient)[0]


def _input_by_a_flipped_kernel(x, kernel, gradient):
    return _convolution(gradient, jnp.flip(kernel, (0, 1)).swapaxes(2, 3))


FORMS = {
    "forward": (_forward, _forward),
    "kernel's gradient, plain convolution": (
        _kernel_by_a_plain_convolution,
        _kernel_by_xla,
    ),
    "kernel's gradient, nine products": (_kernel_by_nine_products, _kernel_by_xla),
    "kernel's gradient, im2col": (_kernel_by_patches, _kernel_by_xla),
    "input's gradient, flipped kernel": (_input_by_a_flipped_kernel, _input_by_xla),
}
"""Name -> a form, and XLA's own."""


def _rows(size: int, inputs: int, outputs: int) -> list[Row]:
    rng = np.random.default_rng(0)
    shapes = ((BATCH, size, size, inputs), (3, 3, inputs, outputs))
    shapes = (*shapes, (BATCH, size, size, outputs))
    args = [jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in shapes]
    options = convolution_options(jax.make_jaxpr(_forward)(*args))
    rows = []
    for name, (form, own) in FORMS.items():
        for title, chosen in (("training's options", options), ("default", None)):
            theirs = jax.jit(own).lower(*args).compile(compiler_options=options)
            ours = jax.jit(form).lower(*args).compile(compiler_options=chosen)
            np.testing.assert_allclose(ours(*args), theirs(*args), rtol=1e-3, atol=0.1)
            pairs = [
                (_seconds(ours, args), _seconds(theirs, args)) for _ in range(ROUNDS)
            ]
            mine, other = map(min, zip(*pairs, strict=True))
            layer = f"{size}x{size}, {inputs} -> {outputs}"
            what = "XLA's form, training's options"
            title = f"{layer}: {name}, {title}"
            rows.append(Row(title, "ms CPU", 1e3 * mine, 1e3 * other, what))
    return rows


def _seconds(program, args) -> float:
    began = time.process_time()
    program(*args).block_until_ready()
    return time.process_time() - began
