"""Calls of trackio's storage: rows with ids, which it stores once each."""

import datetime
import uuid
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from specflow import MetricRow, TrackedRun, TrackerClient

__all__ = ["TrackioTracker"]


class TrackioTracker(TrackerClient):
    """Client of trackio.

    It writes to the storage itself: `trackio.log` returns before a row is stored, and
    a row that cannot be stored is dropped with a warning.

    Args:
        project: name of the project.
    """

    name: ClassVar[str] = "trackio"

    def __init__(self, project: str):
        self._project = project
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

    @property
    def _storage(self) -> Any:
        from trackio.sqlite_storage import SQLiteStorage  # type: ignore

        return SQLiteStorage


def _time(row: MetricRow) -> str:
    return datetime.datetime.fromtimestamp(row.time_s, datetime.UTC).isoformat()
