"""Section of the config; MLflow itself is imported by the client, in its thread."""

from typing import Any, ClassVar, Literal

from specflow import TrackedRun, TrackerConfig, TrackerUrl

__all__ = ["MlflowConfig"]


class MlflowConfig(TrackerConfig):
    """Tracker MLflow; passwords and tokens are read from its environment variables."""

    packages: ClassVar[tuple[str, ...]] = ("mlflow",)
    requirement: ClassVar[str] = "specflow-jax[mlflow]"

    name: Literal["mlflow"] = "mlflow"
    uri: TrackerUrl | None = None
    """Tracking server or database, such as `sqlite:///mlflow.db`; null:
    MLFLOW_TRACKING_URI, or MLflow's own default."""
    experiment: str | None = None
    """Experiment that has the run; null: the name of this experiment."""
    models: bool = True
    """Whether exported models are uploaded as artifacts."""

    def build(self, *, run: TrackedRun) -> Any:
        from specflow import Tracker
        from specflow_mlflow._core.client import MlflowTracker

        client = MlflowTracker(
            self.uri, self.experiment or run.name, with_models=self.models
        )
        return Tracker(client, run, **self.limits)
