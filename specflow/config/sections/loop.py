"""`loop`: steps, batch sizes, and triggers of evaluation and reports."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from specflow.config.base import MOST_STEPS, Config, Dtype
from specflow.config.broken_rules import refuse
from specflow.config.kinds import Elsewhere, Kinds, named
from specflow.config.sections.triggers import Every, EveryLoop

__all__ = ["LoopConfig", "ProfileConfig"]

EarlyStoppingConfig = Annotated[
    Config,
    Kinds(
        named(
            Elsewhere(
                "specflow.config.sections.early_stopping",
                "no_decrease",
                "no_increase",
                "lower",
                "higher",
            ),
            group="specflow.early_stopping",
        )
    ),
]


class ProfileConfig(Config):
    """Window of steps in which devices and host are profiled."""

    start: PositiveInt = 10
    """Step after which profiling starts; by default after compilation."""
    steps: PositiveInt = 5
    """Number of profiled steps."""


class LoopConfig(Config):
    """Steps, batch sizes and triggers; a trigger is a number of steps, or a time."""

    train_steps: Annotated[PositiveInt, Field(le=MOST_STEPS)] = 1_000
    """Step at which training ends; a resumed run continues its count."""
    batch_size: PositiveInt = 128
    """Global batch size of training, over all devices."""
    eval_batch_size: PositiveInt = 256
    """Global batch size of evaluation; metrics do not depend on it."""
    eval_every: Every = 0
    """Steps between evaluations while training, or a time such as `10m`; 0: only at the
    end."""
    eval_steps: PositiveInt | None = None
    """Number of batches per evaluation; null: all data."""
    eval_loss: Literal["examples", "batches"] = "examples"
    """Mean of the evaluation loss: over examples, or over batches, as in TensorFlow."""
    early_stopping: EarlyStoppingConfig | None = None
    """Rule that ends training before `train_steps`, from evaluation metrics; null:
    none."""
    profile: ProfileConfig | None = None
    """Steps to profile, into `<output.dir>/profile`; null: none."""
    log_every: PositiveInt = 100
    """Steps between reports of the training loss, each the mean over the steps since
    the previous one; gradient norm and learning rate are those of the reported step."""
    micro_steps: PositiveInt = 1
    """Number of sequential parts of a training batch (gradient accumulation): the
    update is that of the full batch, with the memory of one part. Devices sum gradients
    once a step on TPU where parameters are replicated; once a part where they are
    sharded, and always on CPU."""
    compute_dtype: Dtype | None = None
    """Data type in which layers compute that set no dtype (mixed precision); parameters
    and updates keep theirs. null: Flax's promotion of a layer's inputs and
    parameters."""
    loss_scale: PositiveFloat | Literal["dynamic"] | None = None
    """Factor of the loss during differentiation, for float16 gradients. `dynamic`: as
    large as gradients allow; steps whose gradients overflow are skipped and counted,
    and an overflow at the minimum scale, 1, is an error. null: 1."""
    recover: NonNegativeInt = 3
    """Number of times that training resumes from the same checkpoint after a transient
    device failure; 0: never. Applies to one process; several processes exit together,
    and `specflow launch --restarts` restarts them."""
    iterations_per_loop: EveryLoop = 50
    """Steps per call: steps that devices run before they return to the host, or a time
    such as `30s`, from which the number is estimated."""

    @model_validator(mode="after")
    def _nothing_unused(self) -> Self:
        refuse("LoopConfig", [*_never_judged(self), *_never_profiled(self)])
        return self


def _never_judged(loop: LoopConfig) -> Iterator[tuple[tuple[str, ...], Any, str]]:
    if loop.early_stopping is not None and loop.eval_every == 0:
        expected = (
            "a number of steps, or a time such as 10m: loop.early_stopping needs "
            "evaluations during training"
        )
        yield ("eval_every",), loop.eval_every, expected


def _never_profiled(loop: LoopConfig) -> Iterator[tuple[tuple[str, ...], Any, str]]:
    if loop.profile is not None and loop.profile.start >= loop.train_steps:
        expected = f"less than loop.train_steps ({loop.train_steps}), the last step"
        yield ("profile", "start"), loop.profile.start, expected
