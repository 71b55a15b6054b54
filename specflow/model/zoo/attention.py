"""Attention by the fastest kernel that there is for a device: one key chooses it."""

from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float

from specflow.errors import ConfigError, Fault
from specflow.model.zoo.stack import SAVED

__all__ = ["Attention", "attend"]

Attention: TypeAlias = Literal["auto", "xla", "cudnn", "splash"]
"""Whose kernel: `splash` is Pallas's for TPUs, `cudnn` that of NVIDIA's library, `xla`
plain operations, which run everywhere; `auto` is the first that fits."""

Heads: TypeAlias = Float[Array, "b t h d"]

_BEST: dict[str, Attention] = {"tpu": "splash", "gpu": "cudnn", "cuda": "cudnn"}
"""Platform, as JAX calls it -> the fastest kernel there."""
_SPLASH_TOKENS = 128
"""Splash attention takes sequences of a multiple of so many."""


def attend(
    query: Heads, key: Heads, value: Heads, *, kind: Attention, training: bool
) -> Heads:
    """Causal attention; each key head serves as many query heads as there are a key's.

    Logits and their softmax are float32 whatever the type of the heads.

    Args:
        query: one vector a token and head.
        key: likewise, of as many heads or of a divisor of them.
        value: as `key`.
        kind: whose kernel.
        training: whether gradients will be asked for. Where none are, a program for
            one platform still runs on the others, so that it can be exported.

    Raises:
        ConfigError: the kernel that is asked for does not take these heads, or is not
            one of the platform's.

    >>> one = jnp.ones((2, 3, 4, 8))
    >>> attend(one, one[:, :, :2], one[:, :, :2], kind="xla", training=True).shape
    (2, 3, 4, 8)
    """
    kind = _chosen(kind, query)
    kernel = {"xla": _xla, "cudnn": _cudnn, "splash": _splash}[kind]
    if kind == "xla" or training:
        mixed = kernel(query, key, value)
    else:
        own = {"splash": {"tpu": kernel}, "cudnn": {"cuda": kernel}}[kind]
        mixed = jax.lax.platform_dependent(query, key, value, default=_xla, **own)
    return checkpoint_name(mixed, SAVED)


def _chosen(kind: Attention, query: Heads) -> Attention:
    """The kernel, where `auto` is the best that fits.

    Raises:
        ConfigError: one that is asked for by name does not fit.
    """
    mesh = jax.sharding.get_abstract_mesh()
    device = None if mesh.empty else mesh.abstract_device
    platform = jax.default_backend() if device is None else device.platform
    best = _BEST.get(platform, "xla")
    if kind == "auto":
        return "xla" if _unfit(best, query) else best
    unfit = _unfit(kind, query)
    # Without a mesh nobody knows: splash attention may be traced for another machine.
    if kind not in ("xla", best) and (device or kind == "cudnn"):
        unfit = f"the program is for {platform}"
    if unfit:
        raise ConfigError(
            Fault(
                "model.attention",
                f"got {kind!r}, but {unfit}",
                mend="Try model.attention=auto.",
                code="attention",
            )
        )
    return kind


def _unfit(kind: Attention, query: Heads) -> str:
    """Why a kernel does not take such heads; empty if it does."""
    t, d = query.shape[1], query.shape[3]
    if kind == "splash" and t % _SPLASH_TOKENS:
        return f"a sequence has {t} tokens, no multiple of {_SPLASH_TOKENS}"
    if kind == "cudnn" and query.dtype != jnp.bfloat16:
        return f"its heads are bfloat16, and model.dtype is {query.dtype}"
    if kind == "cudnn" and (d % 8 or d > 128):
        return f"a head is {d} wide, no multiple of 8 up to 128"
    return ""


def _xla(query: Heads, key: Heads, value: Heads) -> Heads:
    return jax.nn.dot_product_attention(query, key, value, is_causal=True)


def _cudnn(query: Heads, key: Heads, value: Heads) -> Heads:
    return jax.nn.dot_product_attention(
        query, key, value, is_causal=True, implementation="cudnn"
    )


def _splash(query: Heads, key: Heads, value: Heads) -> Heads:
    # Loaded for those who attend with it: a laptop has no use for Pallas.
    from specflow.model.zoo.splash import splash_attention

    return splash_attention(query, key, value)
