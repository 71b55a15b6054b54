"""`output.exporters`: which of the evaluated states become models that others load."""

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
    """What its exports run on."""
    batch: list[PositiveInt] | None = Field(default=None, min_length=1)
    """Fixed numbers of rows to export for; null: any number."""


class _Keeping(_Exporter):
    keep: NonNegativeInt = 5
    """Newest exports kept; 0 keeps all."""


class BestExporterConfig(_Keeping):
    """Exports what is better than all before, also than in an earlier start."""

    name: Literal["best"] = "best"
    metric: str = "loss"
    """Name of the evaluation metric that judges."""
    order: Literal["lowest", "highest"] = "lowest"
    """Whether the lowest or the highest value is best; an undefined value is worst."""


class LatestExporterConfig(_Keeping):
    """Exports after every evaluation."""

    name: Literal["latest"] = "latest"


class FinalExporterConfig(_Exporter):
    """Exports once, when training is over; also when it ends early."""

    name: Literal["final"] = "final"


MEMBERS = named(BestExporterConfig, LatestExporterConfig, FinalExporterConfig)
"""Name -> class."""
