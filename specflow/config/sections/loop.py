"""`loop`: how many steps, in what batches, and when evaluation happens."""

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
    """A window of steps over which devices and host are profiled."""

    start: PositiveInt = 10
    """Step after which it begins: what is compiled is compiled by then."""
    steps: PositiveInt = 5
    """Length of the window, in steps."""


class LoopConfig(Config):
    """Steps, batch sizes and rhythms. Rhythms are in training steps, unless a time."""

    train_steps: Annotated[PositiveInt, Field(le=MOST_STEPS)] = 1_000
    """Step at which training ends; a resumed run counts from where it was."""
    batch_size: PositiveInt = 128
    """Rows of a training step, over all devices."""
    eval_batch_size: PositiveInt = 256
    """Rows of an evaluation step, over all devices; the numbers do not depend on it."""
    eval_every: Every = 0
    """Steps between evaluations while training, or a time such as `10m`; 0: only at the
    end."""
    eval_steps: PositiveInt | None = None
    """Batches of an evaluation; null: to the end of the data."""
    eval_loss: Literal["examples", "batches"] = "examples"
    """Whether the loss of an evaluation is the mean over examples, or over batches, as
    TensorFlow's was."""
    early_stopping: EarlyStoppingConfig | None = None
    """When training ends before `train_steps`, by what evaluations say; null: never."""
    profile: ProfileConfig | None = None
    """Steps to profile, into `<output.dir>/profile`; null: none."""
    log_every: PositiveInt = 100
    """Steps between reports of the training loss, each the mean over the steps since
    the one before; gradient norm and learning rate are those of the reported step."""
    micro_steps: PositiveInt = 1
    """Parts in which a training batch is computed, one after the other (gradient
    accumulation): the update is that of the whole batch, with the memory of one
    part. Devices sum gradients once a step on TPU where parameters are replicated; once
    a part where they are sharded, and always on CPU."""
    compute_dtype: Dtype | None = None
    """What layers compute in that name no dtype of their own (mixed precision);
    parameters and their updates keep theirs. null: as Flax does, the widest of a
    layer's inputs and parameters."""
    loss_scale: PositiveFloat | Literal["dynamic"] | None = None
    """Factor of the loss while it is differentiated, for gradients in float16; dynamic:
    as large as they bear; steps whose gradient overflows are skipped and counted, and
    one at the least scale, 1, ends training with an error; null: 1."""
    recover: NonNegativeInt = 3
    """How often training resumes by itself from its newest checkpoint, without a newer
    one in between, when a device fails for a moment; 0: never. One process does;
    several end together, for `specflow launch --restarts` to start them again."""
    iterations_per_loop: EveryLoop = 50
    """Steps that the devices run before they return to the host, or a time such as
    `30s` from which the number is estimated."""

    @model_validator(mode="after")
    def _nothing_in_vain(self) -> Self:
        refuse("LoopConfig", [*_never_judged(self), *_never_profiled(self)])
        return self


def _never_judged(loop: LoopConfig) -> Iterator[tuple[tuple[str, ...], Any, str]]:
    if loop.early_stopping is not None and loop.eval_every == 0:
        expected = (
            "a number of steps, or a time such as 10m: loop.early_stopping judges the "
            "evaluations on the way"
        )
        yield ("eval_every",), loop.eval_every, expected


def _never_profiled(loop: LoopConfig) -> Iterator[tuple[tuple[str, ...], Any, str]]:
    if loop.profile is not None and loop.profile.start >= loop.train_steps:
        expected = f"fewer than loop.train_steps ({loop.train_steps}), which is the end"
        yield ("profile", "start"), loop.profile.start, expected
