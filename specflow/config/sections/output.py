"""`output`: the run directory, its checkpoints, exports and reporters."""

from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from specflow.config.base import Config, UserPath
from specflow.config.broken_rules import refuse
from specflow.config.common.triggers import EveryEither, ForSteps
from specflow.config.kinds import Elsewhere, Kinds, by_name, named

__all__ = ["BestConfig", "CheckpointConfig", "OutputConfig", "TensorBoardConfig"]

ExporterName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$")]
"""Name of a folder of exports; not a number, since each export has one."""

ExporterConfig = by_name(
    Elsewhere("specflow.config.sections.exporters", "best", "latest", "final"),
    group="specflow.exporters",
)
"""One of these by `name`, or a `_target_`: a `specflow.Exporter` of the user's, which
also receives `name` and `input_fn`."""


class TensorBoardConfig(Config):
    """TensorBoard events, under `<dir>/tensorboard`."""

    name: Literal["tensorboard"] = "tensorboard"
    pictures: bool = False
    """Whether square arrays, such as a confusion matrix, are drawn as images."""


ReporterConfig = Annotated[
    Config | str,
    Kinds(
        named(TensorBoardConfig, group="specflow.reporters"),
        words=("tensorboard", "plots"),
    ),
]
"""`tensorboard`, `plots`, or a reporter of a plugin: its name, or a section with it."""


class BestConfig(Config):
    """Criterion of the best checkpoints, which are kept at any age."""

    metric: str = "loss"
    """Name of the evaluation metric that is compared."""
    order: Literal["lowest", "highest"] = "lowest"
    """Best value: the lowest or the highest; NaN is worst."""
    keep: PositiveInt = 1
    """Number of best checkpoints kept; a state is saved if it is among them."""


class CheckpointConfig(Config):
    """Trigger and retention of checkpoints."""

    every: EveryEither = 500
    """Steps between checkpoints, epochs such as `1 epoch`, a time such as `10m`, or one
    of these and a time as `[500, 10m]`: whichever comes first. 0: only at the end."""
    keep: NonNegativeInt = 3
    """Number of newest checkpoints kept; 0: all."""
    keep_every_steps: ForSteps | None = None
    """Steps, or epochs in whole steps, of which every multiple is saved and kept
    permanently, beside the newest; null: none."""
    keep_every_hours: PositiveFloat | None = None
    """Period, in hours, of which one checkpoint is kept permanently, beside the newest;
    periods are counted over all starts of a run."""
    best: BestConfig | None = None
    """Criterion of the best checkpoints, kept beside the newest; null: none. A state is
    saved right after the evaluation that finds it among the best so far."""
    params: Literal["bfloat16", "float16", "float32", "same"] | None = None
    """Data type of a snapshot of the parameters, `<dir>/params/<step>`, beside each
    checkpoint; `same`: that of training; null: none. It holds what evaluation uses,
    also an average of the parameters, and no optimizer state."""


class OutputConfig(Config):
    """Run directory and its contents."""

    dir: Annotated[UserPath, Field(min_length=1)] | None = None
    """Run directory; null: `runs/<experiment>/<time>`."""
    checkpoint: CheckpointConfig = Field(default_factory=CheckpointConfig)
    """Checkpoints, under `<dir>/checkpoints`."""
    exporters: dict[ExporterName, ExporterConfig] = {}  # type: ignore[valid-type]
    """Name -> exporter, which writes to `<dir>/export/<name>` after evaluations."""
    reporters: list[ReporterConfig] = ["tensorboard", "plots"]
    """Reporters beside `metrics.jsonl`: TensorBoard events, plots."""
    on_change: Literal["refuse", "accept"] = "refuse"
    """Action when the run directory has a run with another config."""
    tags: list[Annotated[str, Field(min_length=1)]] = []
    """Labels of the run, for trackers, `specflow runs` and `specflow report`."""
    notes: str | None = None
    """Text about the run, for trackers and `specflow report`; null: none."""

    @model_validator(mode="after")
    def _once(self) -> Self:
        expected = "each reporter once"
        names = [getattr(reporter, "name", reporter) for reporter in self.reporters]
        refuse(
            "OutputConfig",
            (
                (("reporters", place), name, expected)
                for place, name in enumerate(names)
                if name in names[:place]
            ),
        )
        return self
