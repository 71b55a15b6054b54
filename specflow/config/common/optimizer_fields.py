"""Fields that optimizers share: learning rate, schedule, clipping, moving average."""

from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from specflow.config.base import MOST_STEPS, Config
from specflow.config.broken_rules import Broken, refuse
from specflow.config.kinds import Elsewhere, by_name

__all__ = [
    "AroundConfig",
    "ConstantConfig",
    "CosineConfig",
    "DecayConfig",
    "DecayRate",
    "DecayingConfig",
    "EmaConfig",
    "LinearDecayConfig",
    "ScheduleConfig",
    "ScheduledConfig",
    "SteadyConfig",
    "WarmupConfig",
]

DecayRate = Annotated[float, Field(ge=0.0, lt=1.0)]
"""How much of a running average is kept at each step."""


class WarmupConfig(Config):
    """What every schedule takes."""

    warmup_steps: Annotated[NonNegativeInt, Field(le=MOST_STEPS)] | None = None
    """Steps over which the rate rises from 0 to `optimizer.lr`; null: what `warmup`
    says, and no step without it."""
    warmup: float | None = Field(default=None, ge=0.0, le=1.0)
    """The same as a share of `loop.train_steps`, rounded down to whole steps; not to be
    set beside `warmup_steps`."""

    def warmup_of(self, train_steps: int) -> int:
        """The number of warmup steps.

        Args:
            train_steps: all steps of the training.

        >>> CosineConfig(warmup=0.29).warmup_of(100), int(0.29 * 100)
        (29, 28)
        """
        if self.warmup is None:
            return self.warmup_steps or 0
        # Rounding a product down would lose a step where the share is a little less in
        # binary than as it was written; quotients round as the share itself did.
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
                        "Take one of them away: ~{beside} or ~{where}.",
                    )
                ],
            )
        return self

    @property
    def follows_train_steps(self) -> bool:
        """Whether the rate at a step depends on `loop.train_steps`."""
        return self.warmup is not None


class ConstantConfig(WarmupConfig):
    """The same rate to the end."""

    name: Literal["constant"] = "constant"


class DecayConfig(WarmupConfig):
    """What every schedule takes that ends at a step."""

    decay_steps: Annotated[PositiveInt, Field(le=MOST_STEPS)] | None = None
    """Step at which the decay ends, warmup included; null: `loop.train_steps`."""
    final: float = Field(default=0.0, ge=0.0, le=1.0)
    """Rate at the end, as a share of `optimizer.lr`."""

    @property
    def follows_train_steps(self) -> bool:
        """Whether the rate at a step depends on `loop.train_steps`."""
        return super().follows_train_steps or self.decay_steps is None


class CosineConfig(DecayConfig):
    """Half a cosine from the peak down to `final`."""

    name: Literal["cosine"] = "cosine"


class LinearDecayConfig(DecayConfig):
    """A straight line from the peak down to `final`."""

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
"""One of these by `name`, or a `_target_` that returns the rate as a function of the
step; `optimizer.lr` then has no part in it."""


class EmaConfig(Config):
    """A moving average of the parameters and of their batch statistics."""

    decay: DecayRate = 0.999
    """Share of the former average that is kept at each step."""
    warm_up: bool = False
    """Whether it begins with smaller shares, (1 + n) / (10 + n) at step n, so that the
    initial values are soon forgotten."""
    evaluate: bool = True
    """Whether it is evaluated, predicted and exported in place of the parameters; in a
    part of `optimizer: parts`, in place of those of the part."""


class AroundConfig(Config):
    """What can stand around every optimizer."""

    clip_norm: PositiveFloat | None = None
    """Largest global norm of the gradient; null leaves it alone."""
    clip_value: PositiveFloat | None = None
    """Largest magnitude of a value of the gradient, before `clip_norm` is applied; null
    leaves it alone."""
    ema: EmaConfig | None = None
    """A moving average of the parameters; null: there is none."""


class SteadyConfig(AroundConfig):
    """An optimizer that takes its rate as a number only."""

    lr: PositiveFloat = 1e-3
    """Learning rate: the peak, after warmup."""


class ScheduledConfig(SteadyConfig):
    """An optimizer whose rate may move over the steps."""

    schedule: ScheduleConfig = Field(default_factory=ConstantConfig)  # type: ignore[valid-type]
    """How the rate moves over the steps."""


class DecayingConfig(ScheduledConfig):
    """An optimizer that can pull weights to zero."""

    weight_decay: NonNegativeFloat = 0.0
    """Share of a weight taken off per step, times the rate."""
    no_decay: list[str] = ["**.bias", "**.scale"]
    """Globs of parameter paths that are not decayed."""
