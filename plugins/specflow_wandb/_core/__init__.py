"""Section of the config; wandb itself is imported by the client, in its thread."""

from typing import Any, ClassVar, Literal

from specflow import TrackedRun, TrackerConfig

__all__ = ["WandbConfig"]


class WandbConfig(TrackerConfig):
    """Tracker Weights & Biases; its key is read from WANDB_API_KEY, or its login."""

    packages: ClassVar[tuple[str, ...]] = ("wandb",)
    requirement: ClassVar[str] = "specflow-jax[wandb]"

    name: Literal["wandb"] = "wandb"
    project: str | None = None
    """Project that has the run; null: the name of the experiment."""
    entity: str | None = None
    """User or team that has the project; null: the default of the account."""
    mode: Literal["online", "offline"] | None = None
    """`offline` writes files into `<output.dir>/wandb`, for `wandb sync`; null:
    WANDB_MODE, or online."""
    models: bool = True
    """Whether exported models are uploaded as artifacts."""

    def build(self, *, run: TrackedRun) -> Any:
        from specflow import Tracker
        from specflow_wandb._core.client import WandbTracker

        client = WandbTracker(
            self.project or run.name,
            entity=self.entity,
            mode=self.mode,
            with_models=self.models,
        )
        return Tracker(client, run, **self.limits)
