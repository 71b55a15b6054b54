"""TensorBoard files of a sweep's trials, of the metrics that they have recorded."""

import os
from pathlib import Path
from typing import Any

from specflow.diagnostics.errors import ConfigError, Diagnostic
from specflow.output.report.reporters import TensorBoard, read_rows
from specflow.sweep.results.results_table import typed_value
from specflow.sweep.results.sweep_results import SweepResults
from specflow.sweep.results.trial_result import TrialResult

__all__ = ["write_tensorboard"]


def write_tensorboard(results: SweepResults, directory: str | Path) -> int:
    """Writes the curves of each trial, and what differs between them as HParams.

    Args:
        results: of the sweep.
        directory: for `tensorboard --logdir`; new or empty.

    Returns:
        The number of runs that have metrics.

    Raises:
        ConfigError: the directory has files, which would be shown too.
        OutputError: a file cannot be written.
    """
    folder = Path(directory)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(
            Diagnostic(
                "--tensorboard",
                f"'{directory}' is not empty",
                "a new or empty directory",
                origin="command line",
                code="usage",
            )
        )
    return sum(
        _write(results, trial, run, folder)
        for trial in results.trials
        for run in (trial.runs or (trial.directory,))
    )


def _write(results: SweepResults, trial: TrialResult, run: Path, folder: Path) -> bool:
    rows = read_rows(run / "metrics.jsonl")
    if not rows:
        return False
    settings: dict[str, Any] = {
        key: typed_value(trial.overrides[key])
        for key in results.keys
        if key in trial.overrides
    }
    name = os.path.join(str(trial.number), run.name if trial.runs else "")
    writer = TensorBoard(folder / name, config={**settings, "status": trial.status})
    for row in rows:
        numbers = {
            key: value
            for key, value in row.items()
            if key not in ("step", "split") and isinstance(value, int | float)
        }
        writer.write(row["step"], str(row.get("split")), numbers)
    writer.close()
    if trial.status != "running":
        writer.end(has_succeeded=trial.status != "failed")
    return True
