"""`RunConfig`: how a `TPUEstimator` runs, for those who build it in Python."""

from pydantic import Field, NonNegativeInt, PositiveInt

from specflow.config.base import Config
from specflow.config.output import BestConfig

__all__ = ["RunConfig", "TPUConfig"]


class TPUConfig(Config):
    """What concerns the devices."""

    iterations_per_loop: PositiveInt = 50
    """Steps that the devices run before they return to the host."""


class RunConfig(Config):
    """Seeds, rhythms, and what is kept."""

    model_dir: str | None = None
    """Where checkpoints go; null: a temporary directory."""
    seed: NonNegativeInt = 0
    """Seed of the initial weights, of dropout and of the order of the data."""
    shuffle: bool = True
    """Whether arrays that an input_fn returns are seen in a new order every epoch."""
    save_checkpoints_steps: NonNegativeInt = 500
    """Steps between checkpoints; 0: only at the end."""
    keep_checkpoint_max: NonNegativeInt = 5
    """Newest checkpoints kept; 0 keeps all."""
    keep_best: BestConfig | None = None
    """Keep the best checkpoint too; null keeps the newest only."""
    log_step_count_steps: NonNegativeInt = 100
    """Steps between reports of the training loss; 0: none."""
    tpu_config: TPUConfig = Field(default_factory=TPUConfig)
