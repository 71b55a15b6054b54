"""`output.exporters`: exports of evaluated states as servable models."""

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from specflow.config.base import Config
from specflow.config.kinds import named

__all__ = [
    "MEMBERS",
    "BestExporterConfig",
    "FinalExporterConfig",
    "LatestExporterConfig",
]


class _Exporter(Config):
    platforms: list[Literal["cpu", "cuda", "rocm", "tpu"]] = Field(
        default=["cpu", "cuda", "tpu"], min_length=1
    )
    """Platforms that the exports run on."""
    batch: list[PositiveInt] | None = Field(default=None, min_length=1)
    """Fixed batch sizes to export for; null: any batch size."""


class _Keeping(_Exporter):
    keep: NonNegativeInt = 5
    """Number of newest exports kept; 0: all."""


class BestExporterConfig(_Keeping):
    """Exports a state that is better than all before it, over all starts of a run."""

    name: Literal["best"] = "best"
    metric: str = "loss"
    """Name of the evaluation metric that is compared."""
    order: Literal["lowest", "highest"] = "lowest"
    """Best value: the lowest or the highest; NaN is worst."""


class LatestExporterConfig(_Keeping):
    """Exports after every evaluation."""

    name: Literal["latest"] = "latest"


class FinalExporterConfig(_Exporter):
    """Exports once, at the end of training, early stopping included."""

    name: Literal["final"] = "final"


MEMBERS = named(BestExporterConfig, LatestExporterConfig, FinalExporterConfig)
"""Name -> class."""
