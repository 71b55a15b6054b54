"""A run as trackers see it: its config, its place in a sweep, and its files."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from specflow.output.report.matrix_names import ClassNames, class_names_of
from specflow.output.report.reporters import read_rows
from specflow.output.run.run_directory import RunDirectory, existing_run
from specflow.output.tracking.tracker_run_ids import creation_id, once
from specflow.runtime.plain_tree import settings

__all__ = ["MetricRow", "TrackedRun"]

_TRIALS = "trials.jsonl"
"""File of a sweep's folder that names the directory of each trial."""
_LEVELS = 3
"""Number of folders between a trial and its sweep that are searched."""


@dataclasses.dataclass(frozen=True, slots=True)
class MetricRow:
    """The scalar metrics of one split at one step."""

    step: int
    """Training step."""
    split: str
    """`train`, `eval`, or `goodput` for the times at the end of a run."""
    metrics: Mapping[str, float]
    """`<split>/<metric>`, as the tracker accepts it -> value, also NaN or infinite."""
    time_s: float
    """Seconds since the epoch at which the row was reported."""


@dataclasses.dataclass(frozen=True)
class TrackedRun:
    """A run as a tracker sees it; reads the files of its directory.

    Args:
        directory: of the run.
        name: name of the experiment.
        config: the resolved config, as plain values.
        resumed_at: step from which the run resumes; 0 for a new run.
    """

    directory: Path
    name: str
    config: Mapping[str, Any]
    resumed_at: int = 0

    @classmethod
    def of(cls, directory: str | Path, *, resumed_at: int = 0) -> "TrackedRun":
        """Reads a run directory.

        Raises:
            ConfigError: there is no run.
        """
        run = existing_run(directory)
        config = run.load_config()
        return cls(run.path, str(config.get("name", "")), config, resumed_at)

    @cached_property
    def sweep(self) -> Path | None:
        """Folder of the sweep that this run is a trial of; None: it is no trial."""
        own = self.directory.resolve()
        for folder in own.parents[:_LEVELS]:
            if _names_trial(folder / _TRIALS, own.relative_to(folder)):
                return folder
        return None

    def sweep_id(self, tracker: str, create: Callable[[Path], str]) -> str:
        """Returns the id of the sweep at a tracker, which its first trial creates.

        Args:
            tracker: name of the tracker.
            create: takes the folder of the sweep, makes its parent or group at the
                tracker, and returns the id; called in one process at a time.
        """
        sweep = self.sweep
        assert sweep is not None, "this run is no trial"
        return once(sweep, tracker, lambda: create(sweep))

    def creation_id(self, tracker: str) -> str:
        """Returns a text to mark this run with when a tracker creates it.

        It is stored before: a process that is killed between the creation and the
        storage of the id that the tracker gives leaves a run that the next one finds.

        Args:
            tracker: name of the tracker.
        """
        return creation_id(self.directory, tracker)

    def sweep_creation_id(self, tracker: str) -> str:
        """Returns such a text for the parent or group of the sweep.

        Args:
            tracker: name of the tracker; called by the `create` of `sweep_id` alone.
        """
        assert self.sweep is not None, "this run is no trial"
        return creation_id(self.sweep, tracker)

    @property
    def title(self) -> str:
        """Name of the run: of its directory, and of its sweep.

        >>> TrackedRun(Path("runs/digits/2026-11-28_10-00-00"), "digits", {}).title
        '2026-11-28_10-00-00'
        """
        own = self.directory.resolve()
        if self.sweep is None:
            return own.name
        return f"{self.sweep.name}/{own.relative_to(self.sweep).as_posix()}"

    @property
    def tags(self) -> list[str]:
        """`output.tags` of the config."""
        return [str(tag) for tag in self._output().get("tags") or ()]

    @property
    def notes(self) -> str:
        """`output.notes` of the config; empty without one."""
        return str(self._output().get("notes") or "")

    @property
    def flat_config(self) -> dict[str, Any]:
        """Dotted key -> value of the config, without `output`; lists are JSON text.

        >>> config = {"seed": 0, "model": {"hidden": [8]}}
        >>> TrackedRun(Path("r"), "r", config).flat_config
        {'seed': 0, 'model.hidden': '[8]'}
        """
        return {
            ".".join(path): value
            if isinstance(value, bool | int | float | str)
            else json.dumps(value, default=str)
            for path, value in settings(self.config)
            if path[0] != "output"
        }

    @property
    def commits(self) -> dict[str, dict[str, Any]]:
        """Root of a git repository -> its `commit`, and whether it is `dirty`."""
        return dict(self._manifest().get("git") or {})

    @property
    def packages(self) -> dict[str, str]:
        """Package -> version."""
        return dict(self._manifest().get("packages") or {})

    @property
    def result(self) -> dict[str, Any] | None:
        """`result.json`; None until the run is complete."""
        return RunDirectory.load_json(self.directory / "result.json") or None

    @property
    def tables(self) -> dict[str, list[Any]]:
        """Metric -> array of the last evaluation, as nested lists."""
        evaluation = (self.result or {}).get("eval", {})
        return {name: v for name, v in evaluation.items() if isinstance(v, list)}

    def class_names(self, count: int) -> Sequence[str]:
        """Returns names of classes, by the labels of a table, or numbers as text.

        Args:
            count: number of classes.
        """
        return self._class_names(count)

    @cached_property
    def _class_names(self) -> ClassNames:
        return class_names_of(RunDirectory(self.directory).columns)

    @property
    def files(self) -> list[Path]:
        """Files that describe the run: config, manifest, curves, result."""
        names = ("config.yaml", "manifest.json", "curves.png", "result.json")
        return [path for name in names if (path := self.directory / name).is_file()]

    @property
    def exports(self) -> dict[str, Path]:
        """Exporter -> directory of its newest export."""
        exports = (self.result or {}).get("exports") or {}
        paths = {
            name: self.directory / str(export.get("path"))
            for name, export in exports.items()
            if isinstance(export, Mapping)
        }
        return {name: path for name, path in paths.items() if path.is_dir()}

    def rows(self) -> list[dict[str, Any]]:
        """Rows of `metrics.jsonl`, oldest first; null: a number that is not finite."""
        return read_rows(self.directory / "metrics.jsonl")

    def _output(self) -> Mapping[str, Any]:
        output = self.config.get("output")
        return output if isinstance(output, Mapping) else {}

    def _manifest(self) -> dict[str, Any]:
        return RunDirectory.load_json(self.directory / "manifest.json")


def _names_trial(path: Path, directory: Path) -> bool:
    """Returns whether a sweep's records name a directory, relative to its folder."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return False
    for line in lines:
        try:
            named = json.loads(line)["directory"]
        except (ValueError, KeyError, TypeError):
            continue
        if Path(str(named)) in (directory, path.parent / directory):
            return True
    return False
