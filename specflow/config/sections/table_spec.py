"""`spec=table`: losses, predictions and metrics by the columns of labels of a table."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat

from specflow.config.base import Config
from specflow.config.key_path import KeyPath
from specflow.config.kinds import named
from specflow.config.sections.mixing import MixConfig
from specflow.config.sections.spec import MetricConfig, Name, TrainOpConfig

__all__ = ["MEMBERS", "HeadConfig", "TableSpecConfig"]

NonNegative = Annotated[float, Field(ge=0.0)]


class HeadConfig(Config):
    """Loss, predictions and metrics of one column of labels."""

    name: Literal["classification", "regression", "poisson"] | None = None
    """Kind: exclusive classes, numbers, or counts; null: classes for texts, booleans
    and the integers 0, 1, 2, ..., numbers for others."""
    weight: PositiveFloat = 1.0
    """Weight of the loss in the sum of losses."""
    loss: Literal["squared_error", "absolute_error", "huber"] = "squared_error"
    """Loss of numbers, which are scaled by the training split."""
    class_weights: Literal["balanced"] | dict[str, NonNegative] | None = None
    """Weight of the examples of each class in the loss: by name, 1 for others, or
    `balanced`: rows / (classes * rows of the class) of the training split; null: 1."""


class TableSpecConfig(Config):
    """Losses, predictions and metrics by the columns of labels of data=table.

    Each column of labels has a head, whose losses are summed. One head has the
    predictions and metrics of spec=classification, binary, regression or poisson;
    several have them by `<column>_<name>`. Several columns of 0 and 1, or of booleans,
    are one head, as in spec=multi_label.
    """

    name: Literal["table"] = "table"
    inputs: dict[Name, KeyPath] = Field(default={"x": "features.x"}, min_length=1)
    """Argument of the model -> key path of its value: `model(**inputs)`."""
    heads: dict[str, HeadConfig] = {}
    """Column of labels -> its head; others are chosen by the kind of the labels."""
    eval_metrics: dict[Name, MetricConfig] = {}  # type: ignore[valid-type]
    """More metrics by name, beside those of the heads; one of the same name replaces
    theirs."""
    train_op: TrainOpConfig = Field(default_factory=TrainOpConfig)
    """Selection of trainable parameters."""
    mix: MixConfig | None = None
    """Mixtures of training rows, mixup and CutMix; null: none."""


MEMBERS = named(TableSpecConfig)
"""Name -> class."""
