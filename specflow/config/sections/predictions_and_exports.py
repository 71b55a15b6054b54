"""Predictions and exports of `spec` that are imported when they are used."""

from typing import Annotated, Literal

from pydantic import Field

from specflow.config.base import Config, Says
from specflow.config.key_path import KeyPath
from specflow.config.kinds import named
from specflow.config.sections.spec import Name, PredictedConfig

__all__ = [
    "MEMBERS",
    "ExpConfig",
    "IdentityConfig",
    "PredictExportConfig",
    "RegressionExportConfig",
    "RescaleConfig",
    "SigmoidConfig",
    "ThresholdConfig",
]

LabelPath = Annotated[
    str,
    Field(pattern=r"^labels(\.|$)"),
    Says("a key path of labels (labels or labels.<name>)", r"^labels(\.|$)"),
]
"""No `KeyPath`: predictions are computed without labels too."""


class SigmoidConfig(PredictedConfig):
    """Sigmoid: probability of the positive class; a last axis of size 1 is squeezed."""

    name: Literal["sigmoid"] = "sigmoid"


class ThresholdConfig(PredictedConfig):
    """1 where the value is at least `at`, else 0; a last axis of size 1 is squeezed."""

    name: Literal["threshold"] = "threshold"
    at: float = 0.5
    """Decision threshold, inclusive."""


class ExpConfig(PredictedConfig):
    """Exponential, such as the expected count of a log-rate; a last axis of size 1 is
    squeezed.
    """

    name: Literal["exp"] = "exp"


class IdentityConfig(PredictedConfig):
    """Identity; a last axis of size 1 is squeezed."""

    name: Literal["identity"] = "identity"


class RescaleConfig(PredictedConfig):
    """Outputs in the units of the labels: the inverse of
    `(transform(label) - offset) / divisor`; a last axis of size 1 is squeezed.

    A loss reads the labels in the units of the outputs, by `targets.<prediction>`.
    """

    name: Literal["rescale"] = "rescale"
    labels: LabelPath = "labels"
    """Key path of the labels that are predicted."""
    offset: float | None = None
    """Center of the transformed labels; null: 0."""
    divisor: float | None = Field(default=None, gt=0.0)
    """Scale of the transformed labels; null: 1."""
    transform: Literal["log", "log1p"] | None = None
    """Transform of the labels: natural logarithm of the label, or of one more than it;
    null: none. Where all three are null, those of the fitted column of labels of a
    table are used."""


class PredictExportConfig(Config):
    """Named tensors."""

    name: Literal["predict"] = "predict"
    outputs: dict[Name, KeyPath]
    """Name in the export -> key path of its tensor."""


class RegressionExportConfig(Config):
    """One floating-point value per example."""

    name: Literal["regression"] = "regression"
    value: KeyPath
    """Key path of the value: one per example."""


MEMBERS = named(
    SigmoidConfig,
    ThresholdConfig,
    ExpConfig,
    IdentityConfig,
    RescaleConfig,
    PredictExportConfig,
    RegressionExportConfig,
)
"""Name -> class."""
