"""Attention with the fastest kernel for a device, chosen by one key."""

import re
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float

from specflow.diagnostics.errors import ConfigError, Diagnostic
from specflow.model.zoo.stack import SAVED

__all__ = ["Attention", "attend"]

Attention: TypeAlias = Literal["auto", "xla", "cudnn", "splash"]
"""Kernel: `splash` is Pallas's for TPUs, `cudnn` that of NVIDIA's library, `xla` plain
operations, which run everywhere; `auto` is the first that fits."""

Heads: TypeAlias = Float[Array, "b t h d"]

_BEST: dict[str, Attention] = {"tpu": "splash", "gpu": "cudnn", "cuda": "cudnn"}
"""JAX platform -> its fastest kernel."""
_SPLASH_TOKENS = 128
"""Splash attention takes sequences of a multiple of this length."""
_AMPERE, _HOPPER = 8.0, 9.0
"""Compute capabilities: cuDNN supports attention from Ampere (A100) on, wide heads from
Hopper (H100) on."""


def attend(
    query: Heads, key: Heads, value: Heads, *, kind: Attention, training: bool
) -> Heads:
    """Computes causal attention; every key head serves an equal number of query heads.

    Logits and their softmax are float32 for any dtype of the heads.

    Args:
        query: one vector per token and head.
        key: likewise, with as many heads or a divisor of them.
        value: like `key`.
        kind: the kernel.
        training: gradients will be computed. Otherwise the program of one platform also
            runs on the others, so that it can be exported; without a mesh, as in
            exports, it has no cuDNN calls, which cannot be serialized.

    Raises:
        ConfigError: the requested kernel does not support these heads or the platform.

    >>> one = jnp.ones((2, 3, 4, 8))
    >>> attend(one, one[:, :, :2], one[:, :, :2], kind="xla", training=True).shape
    (2, 3, 4, 8)
    """
    mesh = jax.sharding.get_abstract_mesh()
    device = None if mesh.empty else mesh.abstract_device
    is_portable = mesh.empty and not training
    if kind != "cudnn" or not is_portable:
        kind = _chosen(kind, query, device, training)
    if kind == "cudnn" and is_portable:
        kind = "xla"
    kernel = {"xla": _xla, "cudnn": _cudnn, "splash": _splash}[kind]
    if kind == "xla" or training:
        return kernel(query, key, value)
    own = {"splash": {"tpu": kernel}, "cudnn": {"cuda": kernel}}[kind]
    return jax.lax.platform_dependent(query, key, value, default=_xla, **own)


def _chosen(kind: Attention, query: Heads, device: Any, training: bool) -> Attention:
    """Chooses the kernel; `auto` is the fastest that fits.

    Args:
        kind: the requested kernel.
        query: the query heads.
        device: description of the mesh's devices; None without a mesh.
        training: gradients will be computed.

    Raises:
        ConfigError: a kernel requested by name does not fit.
    """
    platform = jax.default_backend() if device is None else device.platform
    best = _BEST.get(platform, "xla")
    if kind == "auto":
        return "xla" if _unfit(best, query, device, training) else best
    unfit = _unfit(kind, query, device, training)
    # Unknown without a mesh: splash attention may be traced for another machine.
    if kind not in ("xla", best) and (device or kind == "cudnn"):
        unfit = f"the program is for {platform}"
    if unfit:
        raise ConfigError(
            Diagnostic(
                "model.attention",
                f"got {kind!r}, but {unfit}",
                hint="Try model.attention=auto.",
                code="attention",
            )
        )
    return kind


def _unfit(kind: Attention, query: Heads, device: Any, training: bool) -> str:
    """Returns the reason why a kernel does not support the heads; empty if it does."""
    t, d = query.shape[1], query.shape[3]
    if kind == "splash" and t % _SPLASH_TOKENS:
        return f"a sequence has {t} tokens, no multiple of {_SPLASH_TOKENS}"
    if kind != "cudnn":
        return ""
    if query.dtype not in (jnp.bfloat16, jnp.float16):
        return f"its heads are bfloat16 or float16, and model.dtype is {query.dtype}"
    if training and t % 2:
        return f"a sequence has {t} tokens, and it trains on even numbers alone"
    capability = _capability(device)
    if capability < _AMPERE:
        return (
            f"it takes an NVIDIA GPU of compute capability {_AMPERE} or more, and this "
            f"one has {capability or 'none'}"
        )
    widest = 256 if capability >= _HOPPER else 128
    if d % 8 or d > widest:
        return f"a head is {d} wide, no multiple of 8 up to {widest}"
    return ""


def _capability(device: Any) -> float:
    """Compute capability of the GPU: 9.0 is an H100; 0 without one.

    A GPU for which a program is only compiled counts as an A100, as in JAX.
    """
    here = jax.local_devices()[0]
    if device is not None and device.device_kind != here.device_kind:
        return _AMPERE
    told = str(getattr(here, "compute_capability", ""))
    return float(told) if re.fullmatch(r"\d+\.\d+", told) else 0.0


def _xla(query: Heads, key: Heads, value: Heads) -> Heads:
    if query.dtype == jnp.float16:
        # JAX requests products that only GPUs support.
        mixed = jax.lax.platform_dependent(
            query, key, value, cuda=_plain, default=_widened
        )
    else:
        mixed = _plain(query, key, value)
    # Kernels name their saved residuals themselves.
    return checkpoint_name(mixed, SAVED)


def _plain(query: Heads, key: Heads, value: Heads) -> Heads:
    return jax.nn.dot_product_attention(query, key, value, is_causal=True)


def _widened(query: Heads, key: Heads, value: Heads) -> Heads:
    wide = (x.astype(jnp.float32) for x in (query, key, value))
    return _plain(*wide).astype(query.dtype)


def _cudnn(query: Heads, key: Heads, value: Heads) -> Heads:
    from specflow.model.zoo.cudnn import cudnn_attention

    return cudnn_attention(query, key, value)


def _splash(query: Heads, key: Heads, value: Heads) -> Heads:
    # Imported only when used: Pallas is slow to import.
    from specflow.model.zoo.splash import splash_attention

    return splash_attention(query, key, value)
