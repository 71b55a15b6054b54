"""Calls of MLflow's client: one run is one run, with its rows, files and status."""

import logging
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from specflow import MetricRow, TrackedRun, TrackerClient

__all__ = ["MlflowTracker"]

_METRICS_PER_CALL = 1000
_PARAMS_PER_CALL = 100
_LONGEST_PARAM = 6000
_PARENT = "mlflow.parentRunId"
_CREATION = "specflow.creation"
_STATUS = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}
_RETRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
_NO_ADDRESS = "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"


class MlflowTracker(TrackerClient):
    """Client of MLflow.

    MLflow stores NaN, and no infinity: it would read as 1.8e308, so it is stored as NaN
    and named in the tag `infinite.<metric>`.

    Args:
        uri: of the tracking server or database; None: MLflow decides.
        experiment: name of the experiment; created if it is missing.
        with_models: whether exported models are uploaded.
    """

    name: ClassVar[str] = "mlflow"
    # Names are paths there: without empty parts, `.` or `..`, nor a slash at an end.
    refused: ClassVar[str | None] = (
        r"[^\w\-. :/]|(?<![^/])/|/(?![^/])|(?<![^/])\.+(?![^/])|\s(?=$)"
    )
    longest: ClassVar[int | None] = 250

    def __init__(self, uri: str | None, experiment: str, *, with_models: bool):
        self._uri, self._experiment = uri, experiment
        self._with_models = with_models
        self._client: Any = None
        self._run: Any = None
        self._is_in_sweep = False

    def start(self, run: TrackedRun, run_id: str | None) -> str:
        """See `specflow.TrackerClient`."""
        self._connect()
        found = None if run_id is None else self._existing(run_id)
        if found is None:
            found = self._created(run)
        else:
            self._client.update_run(found.info.run_id, status="RUNNING")
        self._run = found
        self._describe(run)
        return self._id

    def recorded(self) -> Iterable[tuple[str, int]]:
        """See `specflow.TrackerClient`."""
        by_split: dict[str, list[str]] = {}
        for key in self._client.get_run(self._id).data.metrics:
            by_split.setdefault(key.partition("/")[0], []).append(key)
        for split, keys in by_split.items():
            # A row is one transaction, so any metric that all rows have tells.
            loss = f"{split}/loss"
            for key in [loss] if loss in keys else keys:
                for metric in self._client.get_metric_history(self._id, key):
                    yield split, metric.step

    def log(self, rows: Sequence[MetricRow]) -> None:
        """See `specflow.TrackerClient`."""
        from mlflow.entities import Metric  # type: ignore

        infinite: dict[str, str] = {}
        for part in _parts(rows):
            metrics = []
            for row in part:
                # The same each time that a row is sent: MLflow then stores it once.
                time_ms = int(row.time_s * 1000)
                for key, value in row.metrics.items():
                    if math.isinf(value):
                        infinite[key] = f"{value} at step {row.step}"
                        value = math.nan
                    metrics.append(Metric(key, value, time_ms, row.step))
            for first in range(0, len(metrics), _METRICS_PER_CALL):
                sent = metrics[first : first + _METRICS_PER_CALL]
                self._client.log_batch(self._id, metrics=sent)
        for key, text in infinite.items():
            self._client.set_tag(self._id, f"infinite.{key}", text)

    def finish(self, run: TrackedRun, status: str) -> None:
        """See `specflow.TrackerClient`."""
        for path in run.files:
            self._client.log_artifact(self._id, str(path))
        for metric, rows in run.tables.items():
            file = re.sub(r"[^\w\-.]", "_", metric)
            table = {metric: rows}
            if rows and len(rows) == len(rows[0] if isinstance(rows[0], list) else ()):
                table = {"classes": [*run.class_names(len(rows))], **table}
            self._client.log_dict(self._id, table, f"tables/{file}.json")
        if self._with_models:
            for name, path in run.exports.items():
                folder = f"export/{name}/{path.name}"
                self._client.log_artifacts(self._id, str(path), folder)
        self._client.set_terminated(self._id, _STATUS[status])
        parent = self._run.data.tags.get(_PARENT)
        if parent is not None:
            # Any trial may be the last one.
            self._client.set_terminated(parent, "FINISHED")

    @property
    def _id(self) -> str:
        return self._run.info.run_id

    def _connect(self) -> None:
        # specflow repeats calls itself, and would learn of a failure minutes later.
        os.environ.setdefault(_RETRIES, "0")
        # The address of a run would be among the JSON that a command prints.
        os.environ.setdefault(_NO_ADDRESS, "true")
        # Each table that it creates in a new database is a line of its log.
        logging.getLogger("mlflow.store.db").setLevel(logging.WARNING)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        from mlflow.tracking import MlflowClient  # type: ignore

        self._client = self._client or MlflowClient(self._uri)

    def _existing(self, run_id: str) -> Any:
        """Returns a run; None if it is gone, or was deleted."""
        from mlflow.exceptions import MlflowException  # type: ignore

        try:
            found = self._client.get_run(run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None
        return found if found.info.lifecycle_stage == "active" else None

    def _created(self, run: TrackedRun) -> Any:
        experiment = self._experiment_id()
        mark = run.creation_id(self.name)
        found = self._marked(experiment, mark)
        if found is not None:
            self._client.update_run(found.info.run_id, status="RUNNING")
            return found
        tags = {_CREATION: mark}
        if run.sweep is not None:
            tags[_PARENT] = run.sweep_id(
                self.name, lambda _: self._parent(experiment, run)
            )
        return self._client.create_run(experiment, tags=tags, run_name=run.title)

    def _parent(self, experiment: str, run: TrackedRun) -> str:
        """Creates the run that has the trials of a sweep as children."""
        assert run.sweep is not None
        mark = run.sweep_creation_id(self.name)
        found = self._marked(experiment, mark) or self._client.create_run(
            experiment, tags={_CREATION: mark}, run_name=run.sweep.name
        )
        return found.info.run_id

    def _marked(self, experiment: str, mark: str) -> Any:
        """Returns the run with a mark; None without one.

        It is there if a process was killed, or had no answer, when it had created it.
        """
        found = self._client.search_runs(
            [experiment], f"tags.`{_CREATION}` = '{mark}'", max_results=1
        )
        return found[0] if found else None

    def _experiment_id(self) -> str:
        from mlflow.exceptions import MlflowException  # type: ignore

        found = self._client.get_experiment_by_name(self._experiment)
        if found is not None:
            return found.experiment_id
        try:
            return self._client.create_experiment(self._experiment)
        except MlflowException:
            # Another process may have created it a moment ago.
            found = self._client.get_experiment_by_name(self._experiment)
            if found is None:
                raise
            return found.experiment_id

    def _describe(self, run: TrackedRun) -> None:
        """Sends the config, tags and notes; what is there already stays."""
        from mlflow.entities import Param, RunTag  # type: ignore

        known: Mapping[str, str] = self._run.data.params
        params, tags = [], {"specflow.directory": str(run.directory.resolve())}
        for key, value in run.flat_config.items():
            key, text = re.sub(r"[^\w\-. :/]", "_", key)[:250], str(value)
            if key not in known:
                params.append(Param(key, text[:_LONGEST_PARAM]))
            elif known[key] != text[:_LONGEST_PARAM]:
                # A parameter is final: one that differs would refuse the whole call.
                tags[f"resumed.{key}"] = f"{text} from step {run.resumed_at}"
        for first in range(0, len(params), _PARAMS_PER_CALL):
            self._client.log_batch(
                self._id, params=params[first : first + _PARAMS_PER_CALL]
            )
        tags |= {f"tag.{tag}": "true" for tag in run.tags}
        if run.notes:
            tags["mlflow.note.content"] = run.notes
        for root, commit in run.commits.items():
            # Of several repositories the first is that of the project.
            tags.setdefault("mlflow.source.git.commit", str(commit.get("commit")))
            tags[f"git.{Path(root).name}"] = _commit(commit)
        texts = [RunTag(_tag(key), text[:5000]) for key, text in tags.items()]
        self._client.log_batch(self._id, tags=texts)
        self._client.log_artifact(self._id, str(run.directory / "config.yaml"))


def _parts(rows: Sequence[MetricRow]) -> Iterator[list[MetricRow]]:
    """Yields rows for one call each: a row is never divided, as far as possible."""
    part: list[MetricRow] = []
    size = 0
    for row in rows:
        if part and size + len(row.metrics) > _METRICS_PER_CALL:
            yield part
            part, size = [], 0
        part.append(row)
        size += len(row.metrics)
    if part:
        yield part


def _commit(commit: Mapping[str, Any]) -> str:
    return f"{commit.get('commit')}{' (changed)' if commit.get('dirty') else ''}"


def _tag(key: str) -> str:
    return re.sub(r"[^\w\-. :/]", "_", key)[:250]
