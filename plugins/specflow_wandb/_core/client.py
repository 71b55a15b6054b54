"""Calls of wandb: a run with a step of its own as the axis of every metric."""

import os
import shutil
import sys
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from specflow import MetricRow, TrackedRun, TrackerClient

__all__ = ["WandbTracker"]

_STEP = "step"
_SUPERSEDED = "superseded"


class WandbTracker(TrackerClient):
    """Client of Weights & Biases.

    Offline, wandb cannot resume: each process writes a folder of its own, which begins
    at step 0. So a process that resumes a run moves the folders of earlier ones to
    `wandb/superseded`, and its own receives all rows: `wandb sync` of the one folder
    that is left sends the run, with each step once.

    The step is a metric, and the axis of the others: wandb would drop a row whose own
    step is lower than that of the row before.

    Args:
        project: name of the project.
        entity: user or team; None: that of the account.
        mode: `online` or `offline`; None: wandb decides.
        with_models: whether exported models are uploaded.
    """

    name: ClassVar[str] = "wandb"

    def __init__(
        self,
        project: str,
        *,
        entity: str | None,
        mode: str | None,
        with_models: bool,
    ):
        self._project, self._entity, self._mode = project, entity, mode
        self._with_models = with_models
        self._run: Any = None
        self._is_new = True

    def start(self, run: TrackedRun, run_id: str | None) -> str:
        """See `specflow.TrackerClient`."""
        if "wandb" not in sys.modules:
            # The service of a process that has started this one would take the rows,
            # and write none of them before that one ends.
            os.environ.pop("WANDB_SERVICE", None)
        import wandb  # type: ignore

        self.close()
        self._is_new = run_id is None
        group = None
        if run.sweep is not None:
            group = run.sweep_id(
                self.name, lambda sweep: f"{sweep.name}-{uuid.uuid4().hex[:8]}"
            )
        earlier = [*(run.directory / "wandb").glob("offline-run-*")]
        self._run = wandb.init(
            project=self._project,
            entity=self._entity,
            mode=self._mode,  # type: ignore[arg-type]
            id=run_id or uuid.uuid4().hex[:12],
            resume="allow",
            reinit="create_new",
            dir=str(run.directory),
            name=run.title,
            group=group,
            job_type="trial" if group else "train",
            tags=[tag[:64] for tag in run.tags],
            notes=run.notes or None,
            config=dict(run.config),
            settings=wandb.Settings(
                # What a run prints, and its code, are the user's to share.
                console="off",
                disable_code=True,
                disable_git=True,
                silent=True,
            ),
        )
        commits = {root: commit.get("commit") for root, commit in run.commits.items()}
        self._run.config.update({"git": commits}, allow_val_change=True)
        self._run.define_metric(_STEP, hidden=True)
        self._run.define_metric("*", step_metric=_STEP)
        if self._run.offline:
            _set_aside(earlier, run.directory / "wandb" / _SUPERSEDED)
        return self._run.id

    def recorded(self) -> Iterable[tuple[str, int]]:
        """See `specflow.TrackerClient`."""
        if self._is_new or self._run.offline:
            return
        import wandb  # type: ignore

        stored = wandb.Api().run(self._run.path)
        for row in stored.scan_history():
            splits = {key.partition("/")[0] for key in row if "/" in key}
            yield from ((split, row[_STEP]) for split in splits if _STEP in row)

    def log(self, rows: Sequence[MetricRow]) -> None:
        """See `specflow.TrackerClient`."""
        for row in rows:
            self._run.log({**row.metrics, _STEP: row.step})

    def finish(self, run: TrackedRun, status: str) -> None:
        """See `specflow.TrackerClient`."""
        import wandb  # type: ignore

        for path in run.files:
            shutil.copy(path, self._run.dir)  # All that is there is uploaded.
        for metric, values in run.tables.items():
            self._run.summary[f"tables/{metric}"] = _table(values, run)
        if self._with_models:
            for name, path in run.exports.items():
                model = wandb.Artifact(f"{self._run.id}-{name}", type="model")
                model.add_dir(str(path))
                self._run.log_artifact(model)
        self._run.finish(exit_code=0 if status == "finished" else 1)
        self._run = None

    def close(self) -> None:
        """See `specflow.TrackerClient`."""
        if self._run is not None:
            self._run.finish(exit_code=1)
            self._run = None


def _table(values: Sequence[Any], run: TrackedRun) -> Any:
    """A table of an array; the columns of a square one are classes."""
    import wandb  # type: ignore

    rows = [row if isinstance(row, list) else [row] for row in values]
    width = len(rows[0]) if rows else 0
    is_square = len(rows) == width > 1
    columns: list[str | int] = [*map(str, range(width))]
    if is_square:
        columns = [*run.class_names(width)]
    table = wandb.Table(columns=columns)
    for row in rows:
        table.add_data(*row)
    return table


def _set_aside(folders: Sequence[Path], to: Path) -> None:
    """Moves the folders of earlier processes, whose rows the new one receives too."""
    for folder in folders:
        to.mkdir(exist_ok=True)
        folder.rename(to / folder.name)
