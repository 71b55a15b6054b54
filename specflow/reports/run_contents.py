"""What a page or card shows of a run: read once, from its files."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from specflow.output.report.evaluation_rows import ROW_PLACE, evaluation_rows
from specflow.output.run.run_directory import RunDirectory, existing_run
from specflow.output.tracking.tracked_run import TrackedRun
from specflow.reports.run_listing import RunEntry, run_entry
from specflow.runtime.plain_tree import settings

__all__ = ["RunContents", "config_differences", "read_runs", "series_of"]

Points = list[tuple[int, float]]


@dataclasses.dataclass(frozen=True)
class RunContents:
    """A run and its files, read."""

    label: str
    """Shortest name that differs from those of the other runs."""
    entry: RunEntry
    run: TrackedRun
    manifest: Mapping[str, Any]
    result: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]
    """Rows of `metrics.jsonl`."""

    @property
    def evaluation(self) -> dict[str, Any]:
        """Metrics of the last evaluation, numbers or nested lists."""
        stored = self.result.get("eval")
        if isinstance(stored, Mapping):
            return dict(stored)
        rows = evaluation_rows(self.rows)
        last = rows[-1] if rows else {}
        return {k: v for k, v in last.items() if k not in ROW_PLACE}

    @property
    def scalars(self) -> dict[str, float | None]:
        """Numbers of the last evaluation; None is one that is not finite."""
        return {
            name: value
            for name, value in self.evaluation.items()
            if value is None or isinstance(value, int | float)
        }

    @property
    def arrays(self) -> dict[str, list[Any]]:
        """Arrays of the last evaluation, as nested lists."""
        return {n: v for n, v in self.evaluation.items() if isinstance(v, list)}

    @property
    def efficiency(self) -> Mapping[str, Any]:
        """Goodput and MFU of `result.json`; empty until the run is complete."""
        return self.result.get("efficiency") or {}

    @property
    def environment(self) -> dict[str, str]:
        """Name -> text of what the run ran on and with."""
        manifest = self.manifest
        devices = manifest.get("devices") or {}
        facts = {
            "devices": f"{devices.get('count', '?')} x {devices.get('kind', '?')}"
            if devices
            else "",
            "processes": str(manifest.get("processes", "")),
            "mesh": " x ".join(
                f"{axis} {size}" for axis, size in (manifest.get("mesh") or {}).items()
            ),
            "platform": str(manifest.get("platform", "")),
            "Python": str(manifest.get("python", "")),
        }
        for root, commit in self.run.commits.items():
            changed = " (changed files)" if commit.get("dirty") else ""
            facts[f"commit of {Path(root).name}"] = f"{commit.get('commit')}{changed}"
        facts |= self.run.packages
        programs = manifest.get("programs") or {}
        facts["program of a step"] = str(programs.get("train", ""))
        return {name: text for name, text in facts.items() if text}


def read_runs(directories: Sequence[str | Path]) -> list[RunContents]:
    """Reads runs, in the order given.

    Raises:
        ConfigError: one of them is no run.
    """
    runs = [TrackedRun.of(existing_run(each).path) for each in directories]
    labels = _labels([run.directory for run in runs])
    return [
        RunContents(
            label=label,
            entry=run_entry(run.directory),
            run=run,
            manifest=RunDirectory.load_json(run.directory / "manifest.json"),
            result=RunDirectory.load_json(run.directory / "result.json"),
            rows=run.rows(),
        )
        for run, label in zip(runs, labels, strict=True)
    ]


def config_differences(runs: Sequence[RunContents]) -> dict[str, list[Any]]:
    """Dotted key -> value in each run, of keys that differ; None where it is absent.

    `output` is left out, except tags: it is another in every run.
    """
    flat = [
        {
            ".".join(path): value
            for path, value in settings(run.run.config)
            if path[0] != "output" or path == ("output", "tags")
        }
        for run in runs
    ]
    keys = dict.fromkeys(key for values in flat for key in values)
    rows = {key: [values.get(key) for values in flat] for key in keys}
    return {
        key: values
        for key, values in rows.items()
        if any(value != values[0] for value in values[1:])
    }


def series_of(runs: Sequence[RunContents]) -> dict[str, dict[tuple[int, str], Points]]:
    """Metric -> (index of the run, split) -> its finite points; the loss first."""
    series: dict[str, dict[tuple[int, str], Points]] = {}
    for index, run in enumerate(runs):
        for row in run.rows:
            split = str(row.get("split"))
            for name, value in row.items():
                if name in ROW_PLACE or not isinstance(value, int | float):
                    continue
                if isinstance(value, bool) or not math.isfinite(value):
                    continue
                points = series.setdefault(name, {}).setdefault((index, split), [])
                points.append((row["step"], float(value)))
    evaluated = {n for n, lines in series.items() if any(s == "eval" for _, s in lines)}
    order = sorted(series, key=lambda name: (name != "loss", name not in evaluated))
    return {name: series[name] for name in order}


def _labels(paths: Sequence[Path]) -> list[str]:
    """Names of directories, with as many parents as tell them apart."""
    resolved = [path.resolve().parts for path in paths]
    for count in range(1, max(map(len, resolved)) + 1):
        labels = ["/".join(parts[-count:]) for parts in resolved]
        if len(set(labels)) == len(set(resolved)):
            return labels
    return [str(path) for path in paths]
