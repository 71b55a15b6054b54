"""Learning rate schedules, from the `optimizer.schedule` section of a config."""

import math
from typing import Any, cast

import jax.numpy as jnp
import optax

from specflow.config.base import TARGET, Component, Target
from specflow.config.epochs import whole_steps
from specflow.config.sections.optimizer import (
    ConstantConfig,
    CosineConfig,
    DecayConfig,
    ScheduleConfig,
    WarmupConfig,
)
from specflow.config.sections.schedules import (
    ExponentialConfig,
    InverseSqrtConfig,
    PiecewiseConfig,
    PolynomialConfig,
    StableConfig,
)
from specflow.diagnostics.errors import ConfigError, Diagnostic

__all__ = ["build_schedule"]


def build_schedule(
    config: ScheduleConfig,  # type: ignore[valid-type]
    *,
    lr: float,
    train_steps: int,
) -> optax.Schedule:
    """Builds the schedule: learning rate as a function of the step, counted from 0.

    Args:
        config: the kind of schedule, or a `_target_` that returns one (without `lr`).
        lr: peak learning rate.
        train_steps: end of a decay without `decay_steps`.

    Returns:
        The schedule: step -> learning rate.

    Raises:
        ConfigError: the warmup leaves no step for the decay, or a `_target_` or a
            plugin did not return a function.

    >>> from specflow.config.sections.optimizer import LinearDecayConfig
    >>> rate = build_schedule(
    ...     LinearDecayConfig(warmup_steps=2, final=0.5), lr=1.0, train_steps=6
    ... )
    >>> [float(rate(step)) for step in (0, 1, 2, 4, 6, 9)]
    [0.0, 0.5, 1.0, 0.75, 0.5, 0.5]
    """
    if isinstance(config, Target | Component):
        is_plugin = isinstance(config, Component)
        arguments = {"lr": lr, "train_steps": train_steps} if is_plugin else {}
        schedule = config(**arguments)
        if not callable(schedule):
            raise ConfigError(
                Diagnostic(
                    f"optimizer.schedule.{'name' if is_plugin else TARGET}",
                    f"{config.path} returned {type(schedule).__qualname__}",
                    expected="a function of the step",
                    code="target-result",
                )
            )
        return cast("optax.Schedule", schedule)
    warmup = config.warmup_of(train_steps)
    after = _after_warmup(config, lr=lr, train_steps=train_steps)
    if not warmup:
        return after
    return optax.join_schedules(
        [optax.linear_schedule(0.0, lr, warmup), after], [warmup]
    )


def _after_warmup(config: WarmupConfig, *, lr: float, train_steps: int) -> Any:
    """Builds the schedule after the warmup, as a function of the steps since."""
    warmup = config.warmup_of(train_steps)
    match config:
        case ConstantConfig():
            return optax.constant_schedule(lr)
        case InverseSqrtConfig():
            return lambda step: (
                lr * jnp.sqrt(warmup / jnp.maximum(warmup + step, warmup))
            )
        case ExponentialConfig():
            return optax.exponential_decay(
                lr,
                whole_steps(config.every),
                config.keep,
                staircase=config.staircase,
            )
        case PiecewiseConfig():
            factors = {int(step): factor for step, factor in config.factors.items()}
            # The factor of a step within the warmup applies after it.
            offset = warmup - (config.at_boundary == "old")
            return lambda step: math.prod(
                [
                    jnp.where(step + offset >= boundary, factor, 1.0)
                    for boundary, factor in factors.items()
                ],
                start=lr,
            )
        case DecayConfig():
            return _decay(config, lr=lr, train_steps=train_steps)
    raise TypeError(f"not a schedule config: {config!r}")


def _decay(config: DecayConfig, *, lr: float, train_steps: int) -> optax.Schedule:
    end = whole_steps(config.decay_steps or train_steps)
    warmup = config.warmup_of(train_steps)
    steps = end - warmup
    if steps <= 0:
        raise ConfigError(
            Diagnostic(
                "optimizer.schedule.warmup_steps",
                f"got {warmup}",
                expected=f"fewer steps than the whole schedule has ({end})",
                code="rule",
            )
        )
    match config:
        case CosineConfig():
            return optax.cosine_decay_schedule(lr, steps, alpha=config.final)
        case PolynomialConfig(power=power):
            return optax.polynomial_schedule(lr, lr * config.final, power, steps)
        case StableConfig(decay_share=share):
            down = max(1, round(share * steps))
            return optax.linear_schedule(lr, lr * config.final, down, steps - down)
    return optax.linear_schedule(lr, lr * config.final, steps)
