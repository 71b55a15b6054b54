"""A vision transformer."""

from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from specflow.model.logical_axes import constrain, named_normal, names_of
from specflow.model.zoo.stack import Remat, scanned, stacked

__all__ = ["ViT", "sincos"]

Stream = Float[Array, "b t d"]

_STREAM = ("batch", "length", None)


class Block(nnx.Module):
    """Attention and a feed-forward layer, pre-norm, with residuals.

    Args:
        width: size of the residual stream.
        heads: number of attention heads; they divide the width.
        mlp_ratio: width of the feed-forward layer over `width`.
        dtype: dtype of the activations.
        rngs: streams of the initial values.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        mlp_ratio: int,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        head_dim, hidden = width // heads, mlp_ratio * width
        each = "heads head_dim"
        self.attention_norm = layer_norm(width, dtype, rngs)
        self.qkv = dense(
            (width,), (3, heads, head_dim), f"embed - {each}", dtype=dtype, rngs=rngs
        )
        self.out = dense(
            (heads, head_dim), (width,), f"{each} embed", dtype=dtype, rngs=rngs
        )
        self.mlp_norm = layer_norm(width, dtype, rngs)
        self.up = dense((width,), (hidden,), "embed mlp", dtype=dtype, rngs=rngs)
        self.down = dense((hidden,), (width,), "mlp embed", dtype=dtype, rngs=rngs)

    def __call__(self, x: Stream) -> Stream:
        """Returns the residual stream after this block."""
        x = constrain(x + self._attend(self.attention_norm(x)), *_STREAM)
        return constrain(x + self._feed(self.mlp_norm(x)), *_STREAM)

    def _attend(self, x: Stream) -> Stream:
        qkv = constrain(self.qkv(x), "batch", "length", None, "heads", None)
        return self.out(
            jax.nn.dot_product_attention(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2])
        )

    def _feed(self, x: Stream) -> Stream:
        hidden = nnx.gelu(self.up(x), approximate=False)
        return self.down(constrain(hidden, "batch", "length", "mlp"))


class ViT(nnx.Module):
    """A vision transformer that returns the logits of each image.

    Args:
        image: height, width and channels of an image; the patch divides the first two.
        patch: side of a patch in pixels.
        layers: number of blocks.
        width: size of the residual stream.
        heads: attention heads of a block; they divide the width.
        mlp_ratio: width of the feed-forward layer over `width`.
        positions: `learned`: learned position embeddings; `sincos`: sines and cosines
            of row and column.
        pool: `cls`: classify a separate token; `mean`: the mean of all patches.
        outputs: number of classes.
        remat: rematerialization policy.
        unroll: layers per iteration of the compiled loop.
        dtype: dtype of the activations; parameters, logits and the statistics of norms
            are float32.
        rngs: streams of the initial values.

    Source: Dosovitskiy et al., An Image is Worth 16x16 Words, 2021; sines, cosines and
    the mean: Beyer et al., Better Plain ViT Baselines for ImageNet-1k, 2022.

    >>> model = ViT(
    ...     (8, 8, 1), patch=4, layers=2, width=8, heads=2, outputs=10, rngs=nnx.Rngs(0)
    ... )
    >>> model(jnp.ones((2, 8, 8, 1))).shape
    (2, 10)
    """

    def __init__(
        self,
        image: Sequence[int],
        *,
        patch: int,
        layers: int,
        width: int,
        heads: int,
        mlp_ratio: int = 4,
        positions: Literal["learned", "sincos"] = "learned",
        pool: Literal["cls", "mean"] = "cls",
        outputs: int,
        remat: Remat = "none",
        unroll: int = 1,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        self.unroll, self.dtype = unroll, dtype
        self.remat: Remat = remat
        self.patch, self.width = patch, width
        height, breadth, channels = image
        self.grid = height // patch, breadth // patch
        pixels = patch * patch * channels
        self.patches = dense((pixels,), (width,), "- embed", dtype=dtype, rngs=rngs)
        self.cls = (
            nnx.Param(jnp.zeros(width), **names_of("embed")) if pool == "cls" else None
        )
        count = self.grid[0] * self.grid[1] + (pool == "cls")
        self.position = (
            named_normal(rngs, (count, width), (None, "embed"), std=0.02)
            if positions == "learned"
            else None
        )
        self.blocks = stacked(
            lambda rngs: Block(
                width, heads, mlp_ratio=mlp_ratio, dtype=dtype, rngs=rngs
            ),
            layers,
            rngs=rngs,
        )
        self.norm = layer_norm(width, dtype, rngs)
        # Zeros: initially all classes are equally likely.
        self.head = nnx.Linear(
            width,
            outputs,
            kernel_init=nnx.initializers.zeros,
            kernel_metadata=names_of("embed", None),
            rngs=rngs,
        )

    def __call__(self, image: Float[Array, "b h w d"]) -> Float[Array, "b c"]:
        """Returns the logits of each image."""
        x = self._patches(image.astype(self.dtype))
        if self.position is None:
            places = jnp.asarray(sincos(*self.grid, self.width), self.dtype)
        else:
            places = self.position[...].astype(self.dtype)
        if self.cls is not None:
            first = self.cls[...].astype(self.dtype)[None, None]
            x = jnp.concatenate([jnp.tile(first, (x.shape[0], 1, 1)), x], axis=1)
            if self.position is None:
                # The class token has no position.
                places = jnp.pad(places, ((1, 0), (0, 0)))
        x = constrain(x + places[None], *_STREAM)
        x = scanned(self.blocks, x, remat=self.remat, unroll=self.unroll)
        x = self.norm(x)
        x = x.mean(axis=1) if self.cls is None else x[:, 0]
        return self.head(x.astype(jnp.float32))

    def _patches(self, image: Float[Array, "b h w d"]) -> Stream:
        (rows, columns), side = self.grid, self.patch
        b, *_, channels = image.shape
        # A convolution whose stride equals its size is a matrix product.
        x = image.reshape(b, rows, side, columns, side, channels)
        x = x.transpose(0, 1, 3, 2, 4, 5).reshape(b, rows * columns, -1)
        return self.patches(x)


def layer_norm(width: int, dtype: DTypeLike, rngs: nnx.Rngs) -> nnx.LayerNorm:
    """Returns a layer norm with float32 statistics for any dtype."""
    named = names_of("embed")
    return nnx.LayerNorm(
        width, dtype=dtype, scale_metadata=named, bias_metadata=named, rngs=rngs
    )


def dense(
    inputs: tuple[int, ...],
    outputs: tuple[int, ...],
    names: str,
    *,
    dtype: DTypeLike,
    rngs: nnx.Rngs,
) -> nnx.LinearGeneral:
    """Returns an affine map of the last dimensions, with named dimensions."""
    named = tuple(None if name == "-" else name for name in names.split())
    return nnx.LinearGeneral(
        inputs,
        outputs,
        axis=tuple(range(-len(inputs), 0)),
        kernel_init=nnx.initializers.xavier_uniform(),
        kernel_metadata=names_of(*named),
        bias_metadata=names_of(*named[len(inputs) :]),
        dtype=dtype,
        rngs=rngs,
    )


def sincos(rows: int, columns: int, width: int) -> Float[Array, "t d"]:
    """Computes sines and cosines of rows and columns, at width / 4 frequencies.

    Args:
        rows: of the grid.
        columns: of the grid.
        width: of each embedding, a multiple of 4: first half for the row, second half
            for the column.

    >>> for place in sincos(1, 2, 4):
    ...     print(*(f"{value:.2f}" for value in place))
    0.00 1.00 0.00 1.00
    0.00 1.00 0.84 0.54
    """
    frequency = 10_000.0 ** (-jnp.arange(width // 4) / (width // 4))
    y, x = jnp.meshgrid(jnp.arange(rows), jnp.arange(columns), indexing="ij")
    angles = [place.reshape(-1, 1) * frequency[None] for place in (y, x)]
    waves = [wave(angle) for angle in angles for wave in (jnp.sin, jnp.cos)]
    return jnp.concatenate(waves, axis=1)
