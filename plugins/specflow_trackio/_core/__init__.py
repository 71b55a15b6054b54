"""Section of the config; trackio itself is imported by the client, in its thread."""

from typing import Any, ClassVar, Literal

from specflow import TrackedRun, TrackerConfig

__all__ = ["TrackioConfig"]


class TrackioConfig(TrackerConfig):
    """Tracker trackio: a local SQLite database, in the folder of TRACKIO_DIR."""

    packages: ClassVar[tuple[str, ...]] = ("trackio",)
    requirement: ClassVar[str] = "specflow-jax[trackio]"

    name: Literal["trackio"] = "trackio"
    project: str | None = None
    """Project that has the run; null: the name of the experiment."""
    models: bool = True
    """Whether exported models are stored as artifacts."""

    def build(self, *, run: TrackedRun) -> Any:
        from specflow import Tracker
        from specflow_trackio._core.client import TrackioTracker

        client = TrackioTracker(self.project or run.name, with_models=self.models)
        return Tracker(client, run, **self.limits)
