"""What a model function is asked for, and what each answer must contain."""

import enum

__all__ = ["REQUIRED", "Mode"]


class Mode(enum.StrEnum):
    """Training, evaluation, or prediction.

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
"""Fields that a spec of each mode cannot leave out."""
