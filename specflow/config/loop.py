"""`loop`: how many steps, in what batches, and when evaluation happens."""

from pydantic import NonNegativeInt, PositiveInt

from specflow.config.base import Config

__all__ = ["LoopConfig"]


class LoopConfig(Config):
    """Steps, batch sizes and rhythms. All rhythms are in training steps."""

    train_steps: PositiveInt = 1_000
    """Step at which training ends; a resumed run counts from where it was."""
    batch_size: PositiveInt = 128
    """Rows of a training step, over all devices."""
    eval_batch_size: PositiveInt = 256
    """Rows of an evaluation step, over all devices; the numbers do not depend on it."""
    eval_every: NonNegativeInt = 0
    """Steps between evaluations while training; 0: only at the end."""
    eval_steps: PositiveInt | None = None
    """Batches of an evaluation; null: to the end of the data."""
    log_every: PositiveInt = 100
    """Steps between reports of the training loss."""
    iterations_per_loop: PositiveInt = 50
    """Steps that the devices run before they return to the host."""
