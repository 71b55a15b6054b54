"""`output`: the run directory, its checkpoints, its exports and its reporters."""

from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, model_validator

from specflow.config.base import Config, UserPath
from specflow.config.broken_rules import refuse
from specflow.config.kinds import Elsewhere, Kinds, by_name, named
from specflow.config.sections.triggers import Every

__all__ = ["BestConfig", "CheckpointConfig", "OutputConfig"]

ExporterName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$")]
"""Names a folder of exports; no number, as each export is one."""

ExporterConfig = by_name(
    Elsewhere("specflow.config.sections.exporters", "best", "latest", "final"),
    group="specflow.exporters",
)
"""One of these by `name`, or a `_target_`: a `specflow.Exporter` of the user's own,
which is also given `name` and `input_fn`."""

ReporterConfig = Annotated[
    Config | str,
    Kinds(named(group="specflow.reporters"), words=("tensorboard", "plots")),
]
"""A word, or a reporter of an outside package: its name, or a section with it."""


class BestConfig(Config):
    """Which checkpoint is kept whatever its age."""

    metric: str = "loss"
    """Name of the evaluation metric that judges."""
    order: Literal["lowest", "highest"] = "lowest"
    """Whether the lowest or the highest value is best; an undefined value is worst."""


class CheckpointConfig(Config):
    """When state is saved and how much of it is kept."""

    every: Every = 500
    """Steps between checkpoints, or a time such as `10m`; 0: only at the end."""
    keep: NonNegativeInt = 3
    """Newest checkpoints kept; 0 keeps all."""
    keep_every_hours: PositiveFloat | None = None
    """One checkpoint of each such period is kept for ever, beside the newest; periods
    are counted over all starts of a run."""
    best: BestConfig | None = None
    """Keep the best checkpoint too, beside the newest; null keeps the newest only. A
    state that an evaluation finds to be the best so far is saved then and there."""


class OutputConfig(Config):
    """Where a run writes and what it writes."""

    dir: Annotated[UserPath, Field(min_length=1)] | None = None
    """Run directory; null: `runs/<experiment>/<time>`."""
    checkpoint: CheckpointConfig = Field(default_factory=CheckpointConfig)
    """Checkpoints, under `<dir>/checkpoints`."""
    exporters: dict[ExporterName, ExporterConfig] = {}  # type: ignore[valid-type]
    """Name -> what is exported after evaluations, to `<dir>/export/<name>`."""
    reporters: list[ReporterConfig] = ["tensorboard", "plots"]
    """What is written beside `metrics.jsonl`: TensorBoard events, a picture."""
    on_change: Literal["refuse", "accept"] = "refuse"
    """What happens when a run directory holds a run of another config."""

    @model_validator(mode="after")
    def _once(self) -> Self:
        told = "a reporter that is not named before"
        names = [getattr(one, "name", one) for one in self.reporters]
        refuse(
            "OutputConfig",
            (
                (("reporters", place), name, told)
                for place, name in enumerate(names)
                if name in names[:place]
            ),
        )
        return self
