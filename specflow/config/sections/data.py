"""`data`: the train and eval sources of an experiment."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeInt

from specflow.config.base import Config, UserPath
from specflow.config.kinds import Elsewhere, by_name

__all__ = [
    "DataConfig",
    "DigitsConfig",
    "HeldOutConfig",
    "SetName",
]


SetName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]
"""Name of an evaluation set, other than train, eval and test."""


class HeldOutConfig(Config):
    """Rows with a held-out split for evaluation."""

    eval_fraction: float = Field(default=0.2, gt=0.0, lt=1.0)
    """Fraction of the rows held out for evaluation."""
    split_seed: NonNegativeInt = 0
    """Seed of the split; independent of the experiment's, so that runs stay
    comparable."""
    shuffle: bool = True
    """Shuffle the training rows every epoch."""
    eval_sets: dict[SetName, UserPath] = {}
    """Further evaluation sets, reported apart: name -> `.npz` file with the arrays of
    the features and `labels`."""


class DigitsConfig(HeldOutConfig):
    """1,797 handwritten digits of 8x8 pixels (UCI, shipped with scikit-learn).

    features.image: float32[b,8,8,1] in [0, 1]; labels: int32[b] in [0, 10).
    """

    name: Literal["digits"] = "digits"
    feature_names: ClassVar[tuple[str, ...]] = ("image",)


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
    Elsewhere("specflow.config.sections.mixture", "mixture"),
    Elsewhere("specflow.config.sections.images", "images"),
    group="specflow.data",
)
"""Value of `data:`: one of these by `name`, or a `_target_` that returns `{"train":
(features, labels), "eval": (features, labels)}`."""
