"""Fields that optimizers share: learning rate, schedule, clipping, moving average."""

from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    NonNegativeFloat,
    PositiveFloat,
    model_validator,
)

from specflow.config.base import Config
from specflow.config.broken_rules import Broken, refuse
from specflow.config.common.triggers import AtStep, FromStep
from specflow.config.epochs import whole_steps
from specflow.config.kinds import Elsewhere, by_name

__all__ = [
    "CommonOptimizerConfig",
    "ConstantConfig",
    "CosineConfig",
    "DecayConfig",
    "DecayRate",
    "DecayingConfig",
    "EmaConfig",
    "LearningRateConfig",
    "LinearDecayConfig",
    "ScheduleConfig",
    "ScheduledConfig",
    "WarmupConfig",
]

DecayRate = Annotated[float, Field(ge=0.0, lt=1.0)]
"""Exponential decay rate of a moving average."""


class WarmupConfig(Config):
    """Warmup, which every schedule has."""

    warmup_steps: FromStep | None = None
    """Number of steps, or epochs, of linear warmup, from 0 to `optimizer.lr`; null:
    `warmup`, or none."""
    warmup: float | None = Field(default=None, ge=0.0, le=1.0)
    """Warmup as a fraction of all training steps, rounded down to whole steps; excludes
    `warmup_steps`."""

    def warmup_of(self, train_steps: int) -> int:
        """Number of warmup steps.

        Args:
            train_steps: number of all training steps.

        >>> CosineConfig(warmup=0.29).warmup_of(100), int(0.29 * 100)
        (29, 28)
        """
        if self.warmup is None:
            return whole_steps(self.warmup_steps or 0)
        # Rounding the product down would lose a step where the fraction is less in
        # binary than in decimal; the quotient rounds as the fraction itself did.
        steps = round(self.warmup * train_steps)
        return steps if steps / train_steps <= self.warmup else steps - 1

    @model_validator(mode="after")
    def _one_warmup(self) -> Self:
        if self.warmup is not None and self.warmup_steps is not None:
            refuse(
                "WarmupConfig",
                [
                    Broken(
                        ("warmup_steps",),
                        self.warmup_steps,
                        f"null beside warmup={self.warmup}",
                        ".warmup",
                        "Remove one of them: ~{beside} or ~{where}.",
                    )
                ],
            )
        return self

    @property
    def follows_train_steps(self) -> bool:
        """True if the learning rate at a step depends on `loop.train_steps`."""
        return self.warmup is not None


class ConstantConfig(WarmupConfig):
    """Constant learning rate."""

    name: Literal["constant"] = "constant"


class DecayConfig(WarmupConfig):
    """Fields of schedules that end at a step."""

    decay_steps: AtStep | None = None
    """Step, or epochs, at which the decay ends, warmup included; null: the end of
    training."""
    final: float = Field(default=0.0, ge=0.0, le=1.0)
    """Final learning rate, as a fraction of `optimizer.lr`."""

    @property
    def follows_train_steps(self) -> bool:
        """True if the learning rate at a step depends on `loop.train_steps`."""
        return super().follows_train_steps or self.decay_steps is None


class CosineConfig(DecayConfig):
    """Cosine decay from the peak to `final`."""

    name: Literal["cosine"] = "cosine"


class LinearDecayConfig(DecayConfig):
    """Linear decay from the peak to `final`."""

    name: Literal["linear"] = "linear"


ScheduleConfig = by_name(
    ConstantConfig,
    CosineConfig,
    LinearDecayConfig,
    Elsewhere(
        "specflow.config.sections.schedules",
        "polynomial",
        "stable",
        "inverse_sqrt",
        "exponential",
        "piecewise",
    ),
    group="specflow.schedules",
)
"""One of these by `name`, or a `_target_` that returns the learning rate as a function
of the step; `optimizer.lr` is then unused."""


class EmaConfig(Config):
    """Exponential moving average (EMA) of parameters and batch statistics."""

    decay: DecayRate = 0.999
    """Exponential decay rate of the average."""
    warm_up: bool = False
    """Use the decay rate min(decay, (1 + n) / (10 + n)) at step n, so that initial
    values lose weight quickly."""
    evaluate: bool = True
    """Evaluate, predict and export with the average in place of the parameters; in a
    part of `optimizer: parts`, in place of the part's parameters."""


class CommonOptimizerConfig(Config):
    """Gradient clipping and averaging, which every optimizer has."""

    clip_norm: PositiveFloat | None = None
    """Maximum global norm of the gradients; null: no clipping."""
    clip_value: PositiveFloat | None = None
    """Maximum absolute value of a gradient element, applied before `clip_norm`; null:
    no clipping."""
    ema: EmaConfig | None = None
    """Exponential moving average of the parameters; null: none."""


class LearningRateConfig(CommonOptimizerConfig):
    """Optimizer with a learning rate."""

    lr: PositiveFloat = 1e-3
    """Learning rate: the peak of the schedule, after warmup."""


class ScheduledConfig(LearningRateConfig):
    """Optimizer with a learning rate schedule."""

    schedule: ScheduleConfig = Field(default_factory=ConstantConfig)  # type: ignore[valid-type]
    """Learning rate schedule."""


class DecayingConfig(ScheduledConfig):
    """Optimizer with weight decay."""

    weight_decay: NonNegativeFloat = 0.0
    """Strength of the weight decay, multiplied by the learning rate."""
    no_decay: list[str] = ["**.bias", "**.scale"]
    """Globs of parameter paths without weight decay."""
