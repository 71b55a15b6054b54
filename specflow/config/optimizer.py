"""`optimizer`: the optax transformation that becomes `train_op`."""

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from specflow.config.base import Config, by_name

__all__ = [
    "AdamConfig",
    "AdamWConfig",
    "ConstantConfig",
    "CosineConfig",
    "LinearDecayConfig",
    "OptimizerConfig",
    "ScheduleConfig",
    "SgdConfig",
]


class _Warmup(Config):
    warmup_steps: NonNegativeInt = 0
    """Steps over which the rate rises from 0 to `optimizer.lr`."""


class ConstantConfig(_Warmup):
    """The same rate to the end."""

    name: Literal["constant"] = "constant"


class _Decay(_Warmup):
    decay_steps: PositiveInt | None = None
    """Step at which the decay ends, warmup included; null: `loop.train_steps`."""
    final: float = Field(default=0.0, ge=0.0, le=1.0)
    """Rate at the end, as a share of `optimizer.lr`."""


class CosineConfig(_Decay):
    """Half a cosine from the peak down to `final`."""

    name: Literal["cosine"] = "cosine"


class LinearDecayConfig(_Decay):
    """A straight line from the peak down to `final`."""

    name: Literal["linear"] = "linear"


ScheduleConfig = by_name(ConstantConfig, CosineConfig, LinearDecayConfig)
"""One of these by `name`, or a `_target_` that returns the rate as a function of the
step; `optimizer.lr` then has no part in it."""


class _Optimizer(Config):
    lr: PositiveFloat = 1e-3
    """Learning rate: the peak, after warmup."""
    schedule: ScheduleConfig = Field(default_factory=ConstantConfig)  # type: ignore[valid-type]
    """How the rate moves over the steps."""
    clip_norm: PositiveFloat | None = None
    """Largest global norm of the gradient; null leaves it alone."""


class _Moments(_Optimizer):
    b1: float = Field(default=0.9, ge=0.0, lt=1.0)
    b2: float = Field(default=0.999, ge=0.0, lt=1.0)
    eps: PositiveFloat = 1e-8


class AdamConfig(_Moments):
    """Adam. Source: Kingma & Ba, 2015."""

    name: Literal["adam"] = "adam"


class AdamWConfig(_Moments):
    """Adam with decoupled weight decay. Source: Loshchilov & Hutter, 2019."""

    name: Literal["adamw"] = "adamw"
    weight_decay: NonNegativeFloat = 1e-4
    """Share of a weight taken off per step, times the rate."""
    no_decay: list[str] = ["**.bias", "**.scale"]
    """Globs of parameter paths that are not decayed."""


class SgdConfig(_Optimizer):
    """Stochastic gradient descent, with or without momentum."""

    name: Literal["sgd"] = "sgd"
    lr: PositiveFloat = 1e-2
    """Learning rate: the peak, after warmup."""
    momentum: float = Field(default=0.0, ge=0.0, lt=1.0)
    nesterov: bool = False


OptimizerConfig = by_name(AdamConfig, AdamWConfig, SgdConfig)
"""What `optimizer:` may be: one of these by `name`, or a `_target_` that returns an
optax GradientTransformation."""
