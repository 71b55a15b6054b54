"""How the learning rate moves over the steps."""

from typing import cast

import optax

from specflow.config.base import TARGET, Component, Target
from specflow.config.optimizer import (
    ConstantConfig,
    CosineConfig,
    LinearDecayConfig,
    ScheduleConfig,
)
from specflow.errors import ConfigError, Fault

__all__ = ["build_schedule"]


def build_schedule(
    config: ScheduleConfig,  # type: ignore[valid-type]
    *,
    lr: float,
    train_steps: int,
) -> optax.Schedule:
    """The rate as a function of the step, counted from 0.

    Args:
        config: the form of the curve, or a `_target_` that returns such a function of
            its own (`lr` is then not asked).
        lr: the peak.
        train_steps: where a decay ends that names no end.

    Raises:
        ConfigError: the warmup leaves no step for the decay, or a `_target_` returned
            no function.

    >>> rate = build_schedule(
    ...     LinearDecayConfig(warmup_steps=2, final=0.5), lr=1.0, train_steps=6
    ... )
    >>> [float(rate(step)) for step in (0, 1, 2, 4, 6, 9)]
    [0.0, 0.5, 1.0, 0.75, 0.5, 0.5]
    """
    if isinstance(config, Target | Component):
        is_plugin = isinstance(config, Component)
        given = {"lr": lr, "train_steps": train_steps} if is_plugin else {}
        schedule = config(**given)
        if not callable(schedule):
            raise ConfigError(
                Fault(
                    f"optimizer.schedule.{'name' if is_plugin else TARGET}",
                    f"{config.path} returned {type(schedule).__qualname__}",
                    expected="a function of the step",
                    code="target-result",
                )
            )
        return cast("optax.Schedule", schedule)
    warmup = config.warmup_steps
    if isinstance(config, ConstantConfig):
        after = optax.constant_schedule(lr)
    else:
        after = _decay(config, lr=lr, train_steps=train_steps)
    if not warmup:
        return after
    return optax.join_schedules(
        [optax.linear_schedule(0.0, lr, warmup), after], [warmup]
    )


def _decay(
    config: CosineConfig | LinearDecayConfig, *, lr: float, train_steps: int
) -> optax.Schedule:
    end = config.decay_steps or train_steps
    steps = end - config.warmup_steps
    if steps <= 0:
        raise ConfigError(
            Fault(
                "optimizer.schedule.warmup_steps",
                f"got {config.warmup_steps}",
                expected=f"fewer steps than the whole schedule has ({end})",
                code="rule",
            )
        )
    if isinstance(config, CosineConfig):
        return optax.cosine_decay_schedule(lr, steps, alpha=config.final)
    return optax.linear_schedule(lr, lr * config.final, steps)
