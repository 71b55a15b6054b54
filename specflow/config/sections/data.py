"""`data`: the train and eval sources of an experiment."""

from typing import Literal

from pydantic import Field, NonNegativeInt

from specflow.config.base import Config
from specflow.config.kinds import Elsewhere, by_name

__all__ = [
    "DataConfig",
    "DigitsConfig",
    "HeldOutConfig",
]


class HeldOutConfig(Config):
    """Rows of which some are held out."""

    eval_fraction: float = Field(default=0.2, gt=0.0, lt=1.0)
    """Share of the rows that is held out for evaluation."""
    split_seed: NonNegativeInt = 0
    """Seed of the split; not the experiment's, so that runs stay comparable."""
    shuffle: bool = True
    """Whether training sees its rows in a new order every epoch."""


class DigitsConfig(HeldOutConfig):
    """1,797 handwritten digits of 8x8 pixels (UCI, shipped with scikit-learn).

    features.image: float32[b,8,8,1] in [0, 1]; labels: int32[b] in [0, 10).
    """

    name: Literal["digits"] = "digits"


DataConfig = by_name(
    DigitsConfig,
    Elsewhere(
        "specflow.config.sections.data_sources",
        "diabetes",
        "breast_cancer",
        "wine",
        "text",
        "npz",
    ),
    group="specflow.data",
)
"""What `data:` may be: one of these by `name`, or a `_target_` of the user's own that
returns `{"train": (features, labels), "eval": (features, labels)}`."""
