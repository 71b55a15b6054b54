"""`loop`: steps, batch sizes, and triggers of evaluation and reports."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from specflow.config.base import MOST_STEPS, Config, Dtype
from specflow.config.broken_rules import Broken, refuse
from specflow.config.common.triggers import Every, EveryLoop, EverySteps
from specflow.config.epochs import whole_steps
from specflow.config.kinds import Elsewhere, Kinds, named

__all__ = ["LoopConfig", "ProfileConfig", "end_of", "never_profiled"]

_DEFAULT_STEPS = 1_000
"""Steps of training that declares neither steps nor epochs."""

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

    train_steps: Annotated[PositiveInt, Field(le=MOST_STEPS)] | None = None
    """Step at which training ends; a resumed run continues its count. null: `epochs`,
    or 1,000."""
    epochs: PositiveFloat | None = None
    """Passes over the training rows after which training ends, in place of
    `train_steps`: the first step that completes them; fractions are allowed. null:
    `train_steps`."""
    batch_size: PositiveInt = 128
    """Global batch size of training, over all devices."""
    eval_batch_size: PositiveInt = 256
    """Global batch size of evaluation; metrics do not depend on it."""
    eval_every: Every = 0
    """Steps between evaluations while training, epochs such as `1 epoch`, or a time
    such as `10m`; 0: only at the end."""
    eval_at_start: bool = False
    """Evaluate the initial state too, before the first step."""
    eval_steps: PositiveInt | None = None
    """Number of batches per evaluation; null: all data."""
    eval_loss: Literal["examples", "batches"] = "examples"
    """Mean of the evaluation loss: over examples, or over batches, as in TensorFlow."""
    early_stopping: EarlyStoppingConfig | None = None
    """Rule that ends training early, from evaluation metrics; null: none."""
    profile: ProfileConfig | None = None
    """Steps to profile, into `<output.dir>/profile`; null: none."""
    log_every: EverySteps = 100
    """Steps, or epochs, between reports of the training loss, each the mean over the
    steps since the previous one; gradient norm and learning rate are those of the
    reported step."""
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
    """Steps per call: steps that devices run before they return to the host, or those
    of epochs such as `1 epoch`; or a time such as `30s`, from which the number is
    estimated."""

    @property
    def known_steps(self) -> int | None:
        """Step at which training ends; None: epochs, which the data resolves."""
        if self.train_steps is None and self.epochs is None:
            return _DEFAULT_STEPS
        return self.train_steps

    @property
    def steps(self) -> int:
        """Step at which training ends.

        Raises:
            ConfigError: epochs are not resolved: the rows of the data are not known.
        """
        steps = self.known_steps
        return whole_steps(f"{self.epochs:g} epochs" if steps is None else steps)

    @model_validator(mode="after")
    def _nothing_unused(self) -> Self:
        broken = [*_two_ends(self), *_never_judged(self), *never_profiled(self)]
        refuse("LoopConfig", broken)
        return self


def end_of(loop: LoopConfig) -> str:
    """Describes the end of training, for messages.

    >>> end_of(LoopConfig(train_steps=200))
    'loop.train_steps (200)'
    >>> end_of(LoopConfig(epochs=3).model_copy(update={"train_steps": 34}))
    'loop.epochs (3, 34 steps)'
    """
    if loop.epochs is None:
        return f"loop.train_steps ({loop.known_steps})"
    return f"loop.epochs ({loop.epochs:g}, {loop.known_steps} steps)"


def _two_ends(loop: LoopConfig) -> Iterator[Broken]:
    if loop.epochs is not None and loop.train_steps is not None:
        yield Broken(
            ("epochs",),
            loop.epochs,
            f"null beside train_steps={loop.train_steps}",
            ".train_steps",
            "Remove one of them: ~{beside} or ~{where}.",
        )


def _never_judged(loop: LoopConfig) -> Iterator[tuple[tuple[str, ...], Any, str]]:
    if loop.early_stopping is not None and loop.eval_every == 0:
        expected = (
            "a number of steps, epochs or a time such as 10m: loop.early_stopping "
            "needs evaluations during training"
        )
        yield ("eval_every",), loop.eval_every, expected


def never_profiled(loop: LoopConfig) -> Iterator[tuple[tuple[str, ...], Any, str]]:
    """A window that begins after the last step, if that is known."""
    end = loop.known_steps
    if loop.profile is not None and end is not None and loop.profile.start >= end:
        expected = f"less than {end_of(loop)}, the last step"
        yield ("profile", "start"), loop.profile.start, expected
