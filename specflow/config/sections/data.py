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
    """Rows with a held-out split for evaluation."""

    eval_fraction: float = Field(default=0.2, gt=0.0, lt=1.0)
    """Fraction of the rows held out for evaluation."""
    split_seed: NonNegativeInt = 0
    """Seed of the split; independent of the experiment's, so that runs stay
    comparable."""
    shuffle: bool = True
    """Shuffle the training rows every epoch."""


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
    Elsewhere("specflow.config.sections.table", "table"),
    group="specflow.data",
)
"""Value of `data:`: one of these by `name`, or a `_target_` that returns `{"train":
(features, labels), "eval": (features, labels)}`."""
