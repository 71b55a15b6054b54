"""Modes of a model function, and the spec fields that each requires."""

import enum

__all__ = ["REQUIRED", "Mode"]


class Mode(enum.StrEnum):
    """Mode a model function is called for: training, evaluation or prediction.

    >>> Mode("eval") is Mode.EVAL, Mode.PREDICT == "infer"
    (True, True)
    """

    TRAIN = "train"
    EVAL = "eval"
    PREDICT = "infer"


REQUIRED = {
    Mode.TRAIN: ("loss", "train_op"),
    Mode.EVAL: ("loss",),
    Mode.PREDICT: ("predictions",),
}
"""Mode -> fields that its spec must have."""
