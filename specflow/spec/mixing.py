"""Mixtures of the rows of a training batch: mixup and CutMix."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Num

from specflow.config.sections.mixing import MixConfig
from specflow.diagnostics.errors import ConfigError, Diagnostic, spec_error
from specflow.runtime.typing import Tree, describe, is_floating
from specflow.spec.key_paths import Scope, resolve

__all__ = ["Mixture", "mixed_rows", "next_key", "with_mix_stream"]

_TRIES = 32
_STREAM = "mix_rngs"
"""Attribute of a model: a random stream, saved with its state."""


@dataclasses.dataclass(frozen=True, slots=True)
class Mixture:
    """The rows of a mixed batch: each is one row and the one before it.

    >>> mixture = Mixture(jnp.array([1.0, 0.75]))
    >>> mixture.of(jnp.array([8.0, 0.0])).tolist()
    [8.0, 2.0]
    """

    shares: Float[Array, " b"]
    """Share of the row itself, in [0, 1]."""

    def of(self, values: Num[Array, "b ..."]) -> Float[Array, "b ..."]:
        """Mixtures of labels or weights, float32."""
        values = values.astype(jnp.float32)
        return _blended(values, self.shares)

    def of_classes(
        self, labels: Num[Array, "b ..."], count: int
    ) -> Float[Array, "b ... c"]:
        """Mixtures of the indices of classes, as probabilities of the classes."""
        is_class = (labels >= 0) & (labels < count)
        # A label outside the classes gives NaN, which the loop reports.
        chosen = jnp.where(is_class[..., None], jax.nn.one_hot(labels, count), jnp.nan)
        return self.of(chosen)


def mixed_rows(
    config: MixConfig, paths: Sequence[str], scope: Scope, key: Array
) -> tuple[Tree, Mixture]:
    """Mixes features of a batch.

    Args:
        config: in which ways.
        paths: key paths of the features to mix, arrays or trees of arrays.
        scope: tensors by root; its `features` are mixed.
        key: random key of the step.

    Returns:
        All features, and how their rows are mixed.

    Raises:
        SpecError: a feature cannot be mixed.
    """
    diagnostics: list[Diagnostic] = []
    chosen: list[Array] = []
    for path in paths:
        for leaf in jax.tree.leaves(resolve(path, scope, where="spec.mix.of")):
            if diagnostic := _unsuitable(config, path, leaf):
                diagnostics.append(diagnostic)
            chosen.append(leaf)
    if diagnostics:
        raise spec_error(*diagnostics)
    rows = chosen[0].shape[0]
    kind, amount, place, other = jax.random.split(key, 4)
    uniform = jax.random.uniform(kind, (2, rows))
    cuts = jnp.full(rows, config.cutmix is not None)
    if config.mixup is not None and config.cutmix is not None:
        cuts = uniform[0] < 0.5
    is_mixed = uniform[1] < config.share
    blends = jnp.ones(rows)
    if config.mixup is not None:
        drawn = _beta(amount, config.mixup, rows)
        blends = jnp.where(is_mixed & ~cuts, drawn, 1.0)
    inside: dict[tuple[int, int], Bool[Array, "b h w 1"]] = {}
    shares = blends
    if config.cutmix is not None:
        around = _beta(other, config.cutmix, rows)
        centers = jax.random.uniform(place, (2, rows))
        for _, height, width, _ in {leaf.shape for leaf in chosen}:
            boxes = _boxes(around, centers, height, width)
            is_cut = (is_mixed & cuts)[:, None, None]
            inside[height, width] = (boxes & is_cut)[..., None]
        # Images of several sizes have the same rectangle; the first one's are counted.
        first = inside[chosen[0].shape[1], chosen[0].shape[2]]
        shares = blends - first.mean(axis=(1, 2, 3))
    changed = {}
    for leaf in chosen:
        box = inside[leaf.shape[1], leaf.shape[2]] if inside else None
        changed[id(leaf)] = _mixed(leaf, blends, box)
    features = jax.tree.map(lambda leaf: changed.get(id(leaf), leaf), scope["features"])
    return features, Mixture(shares)


def with_mix_stream(build: Callable[..., Any]) -> Callable[..., nnx.Module]:
    """Returns a constructor of the same model with a random stream of mixtures.

    The stream depends on the seed, and advances by one key a step: it is part of the
    state, so that a resumed run continues it.

    Args:
        build: `rngs -> model`.

    Raises:
        ConfigError: when called, the model is no NNX module.
    """

    def built(rngs: nnx.Rngs) -> nnx.Module:
        module = build(rngs)
        if not isinstance(module, nnx.Module):
            raise ConfigError(
                Diagnostic(
                    "spec.mix",
                    f"needs a random stream, and the model is a {describe(module)}",
                    expected="a model of flax.nnx",
                    code="spec-mix",
                )
            )
        setattr(module, _STREAM, nnx.Rngs(mix=rngs.mix()))
        return module

    return built


def next_key(model: Any) -> Array:
    """Draws the key of a step from the stream of a model of `with_mix_stream`."""
    return getattr(model, _STREAM).mix()


def _unsuitable(config: MixConfig, path: str, leaf: Array) -> Diagnostic | None:
    expected = ""
    if not is_floating(leaf.dtype):
        expected = "floats, which can be mixed"
    elif config.cutmix is not None and leaf.ndim != 4:
        expected = 'images "b h w c", as CutMix takes a rectangle of another image'
    if not expected:
        return None
    return Diagnostic(
        "spec.mix",
        f"{path} is {describe(leaf)}",
        expected=expected,
        hint="Name the features to mix: spec.mix.of=[features.image].",
        code="spec-mix",
    )


def _beta(key: Array, alpha: float, count: int) -> Float[Array, " n"]:
    """Random numbers of Beta(alpha, alpha).

    The first accepted one of a fixed number of tries, of which one in three is accepted
    at the least: without a loop it compiles in a fraction of the time of
    `jax.random.beta`.

    Source: Jöhnk, 1964, for alpha up to 1; Cheng, 1978, algorithm BB, above.
    """
    least = jnp.finfo("float32").tiny
    one, other = jax.random.uniform(key, (2, _TRIES, count), minval=least)
    if alpha <= 1.0:
        one, other = jnp.log(one) / alpha, jnp.log(other) / alpha
        is_accepted = jnp.logaddexp(one, other) <= 0.0
        logits = one - other
    else:
        logits = (jnp.log(one) - jnp.log1p(-one)) / alpha**0.5
        bound = (alpha + alpha**0.5) * logits - jnp.log(4.0)
        bound += 2.0 * alpha * (jnp.log(2.0) - jax.nn.softplus(logits))
        is_accepted = bound >= 2.0 * jnp.log(one) + jnp.log(other)
    first = jnp.argmax(is_accepted, axis=0)
    chosen = jnp.take_along_axis(logits, first[None], axis=0)[0]
    return jax.nn.sigmoid(chosen)


def _before(values: Array) -> Array:
    """The row before each row, and the last one before the first."""
    return jnp.roll(values, 1, axis=0)


def _blended(values: Array, shares: Float[Array, " b"]) -> Array:
    shares = shares.reshape(-1, *(1,) * (values.ndim - 1)).astype(values.dtype)
    return shares * values + (1 - shares) * _before(values)


def _mixed(
    values: Array, blends: Float[Array, " b"], inside: Bool[Array, "b h w 1"] | None
) -> Array:
    blended = _blended(values, blends)
    return blended if inside is None else jnp.where(inside, _before(values), blended)


def _boxes(
    around: Float[Array, " b"], centers: Float[Array, "2 b"], height: int, width: int
) -> Bool[Array, "b h w"]:
    """Pixels of a rectangle of the area 1 - `around`, as far as it is in the image."""
    side = jnp.sqrt(1.0 - around)
    masks = []
    for length, center in ((height, centers[0]), (width, centers[1])):
        count = jnp.rint(side * length).astype(jnp.int32)
        first = jnp.floor(center * length).astype(jnp.int32) - count // 2
        places = jnp.arange(length)[None] - first[:, None]
        masks.append((places >= 0) & (places < count[:, None]))
    return masks[0][:, :, None] & masks[1][:, None, :]
