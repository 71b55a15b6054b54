"""Calls of trackio's storage: rows with ids, which it stores once each."""

import datetime
import re
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from specflow import MetricRow, TrackedRun, TrackerClient

__all__ = ["TrackioTracker"]


class TrackioTracker(TrackerClient):
    """Client of trackio.

    It writes to the storage itself: `trackio.log` returns before a row is stored, and
    a row that cannot be stored is dropped with a warning.

    Args:
        project: name of the project.
        with_models: whether exported models are stored as artifacts.
    """

    name: ClassVar[str] = "trackio"

    def __init__(self, project: str, *, with_models: bool):
        self._project, self._with_models = project, with_models
        self._title = self._id = ""
        self._config: dict[str, Any] | None = None

    def start(self, run: TrackedRun, run_id: str | None) -> str:
        """See `specflow.TrackerClient`."""
        self._id = run_id or uuid.uuid4().hex
        self._title = run.title
        group = None
        if run.sweep is not None:
            group = run.sweep_id(
                self.name, lambda sweep: f"{sweep.name}-{uuid.uuid4().hex[:8]}"
            )
        # Keys with an underscore are those that trackio itself would set.
        self._config = {
            **run.flat_config,
            "tags": run.tags,
            "notes": run.notes,
            "git": {root: commit.get("commit") for root, commit in run.commits.items()},
            "directory": str(run.directory.resolve()),
            "_Created": datetime.datetime.now(datetime.UTC).isoformat(),
            "_Group": group,
            "_Username": None,
        }
        return self._id

    def recorded(self) -> Iterable[tuple[str, int]]:
        """See `specflow.TrackerClient`."""
        rows = self._storage.get_logs(self._project, run_id=self._id, run=self._title)
        for row in rows:
            splits = {key.partition("/")[0] for key in row if "/" in key}
            yield from ((split, row["step"]) for split in splits)

    def log(self, rows: Sequence[MetricRow]) -> None:
        """See `specflow.TrackerClient`."""
        self._storage.bulk_log(
            project=self._project,
            run=self._title,
            metrics_list=[dict(row.metrics) for row in rows],
            steps=[row.step for row in rows],
            timestamps=[_time(row) for row in rows],
            config=self._config,
            log_ids=[f"{self._id}/{row.split}/{row.step}" for row in rows],
            run_id=self._id,
        )
        self._config = None  # Once is enough.

    def finish(self, run: TrackedRun, status: str) -> None:
        """See `specflow.TrackerClient`."""
        # Equal files are stored once: a run that is sent again has the same version.
        self._add_artifact("files", "run", run.files)
        if self._with_models:
            for name, path in run.exports.items():
                self._add_artifact(name, "model", [path])

    def _add_artifact(self, name: str, kind: str, paths: Sequence[Path]) -> None:
        """Stores files and directories as an artifact of the run."""
        from trackio import Artifact  # type: ignore

        name = re.sub(r"[^A-Za-z0-9._-]", "_", f"{self._id}-{name}")
        artifact = Artifact(name=name, type=kind)
        for path in paths:
            if path.is_dir():
                artifact.add_dir(path)
            else:
                artifact.add_file(path)
        self._storage.commit_artifact_version(
            project=self._project,
            name=name,
            type=kind,
            description=None,
            # `trackio.log_artifact` has no other way to it, for a run of its own.
            manifest=artifact._build_manifest(self._project),
            metadata=None,
            aliases=None,
            run_name=self._title,
            run_id=self._id,
        )

    @property
    def _storage(self) -> Any:
        from trackio.sqlite_storage import SQLiteStorage  # type: ignore

        return SQLiteStorage


def _time(row: MetricRow) -> str:
    return datetime.datetime.fromtimestamp(row.time_s, datetime.UTC).isoformat()
