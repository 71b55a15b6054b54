"""`spec.mix`: mixtures of the rows of training batches."""

from typing import Annotated, Self

from pydantic import Field, PositiveFloat, model_validator

from specflow.config.base import Config
from specflow.config.broken_rules import Broken, refuse
from specflow.config.key_path import KeyPath

__all__ = ["SOFT_LOSSES", "MixConfig"]

SOFT_LOSSES = (
    "softmax_cross_entropy",
    "sigmoid_cross_entropy",
    "squared_error",
    "absolute_error",
    "huber",
)
"""Losses whose labels may be mixtures."""


class MixConfig(Config):
    """Mixes each row of a training batch with the row before it, labels too.

    Each row is mixed in one of the two ways, with equal probability if both are
    declared. Evaluation and prediction never mix. Micro-steps mix their own rows.
    """

    mixup: PositiveFloat | None = None
    """Mixup: alpha of the share of a row in its mixture, Beta(alpha, alpha); null: no
    mixup. Source: Zhang et al., mixup, 2018."""
    cutmix: PositiveFloat | None = None
    """CutMix: alpha of the area of an image around a rectangle that is of the other
    one, Beta(alpha, alpha); null: no CutMix. Source: Yun et al., CutMix, 2019."""
    share: Annotated[float, Field(ge=0.0, le=1.0)] = 1.0
    """Probability that a row is mixed."""
    of: list[KeyPath] = []
    """Key paths of the features that are mixed; empty: those of `spec.inputs`."""

    @model_validator(mode="after")
    def _mixes(self) -> Self:
        if self.mixup is None and self.cutmix is None:
            expected = "a number, as .cutmix is null"
            refuse("MixConfig", [Broken(("mixup",), None, expected, ".cutmix")])
        return self
