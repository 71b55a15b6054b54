"""Directories of sweeps as launchers leave them, written without training."""

import json
from pathlib import Path
from typing import Any

from specflow.sweep.pool.trial import TrialStatus
from specflow.sweep.trial_records import TrialRecord, append_record

CONFIG = "name: sample\noutput: {checkpoint: {best: {metric: %s, order: %s}}}\n"


def write_run(
    run: Path,
    rows: list[dict[str, Any]] = (),
    overrides: list[str] = (),
    result: dict[str, Any] | None = None,
    best: tuple[str, str] = ("loss", "lowest"),
) -> Path:
    """Writes what a run leaves of itself: config, manifest, metrics and result."""
    run.mkdir(parents=True)
    (run / "config.yaml").write_text(CONFIG % best)
    manifest = {"overrides": list(overrides), "started": "2026-11-29T10:00:00+00:00"}
    (run / "manifest.json").write_text(json.dumps(manifest))
    lines = [json.dumps({"split": "eval", **row}) for row in rows]
    (run / "metrics.jsonl").write_text("".join(f"{line}\n" for line in lines))
    if result is not None:
        (run / "result.json").write_text(json.dumps(result))
    return run


def curve(last: float, steps: int = 4, name: str = "loss") -> list[dict[str, Any]]:
    """Evaluations that fall to a value."""
    return [
        {"step": step * 10, name: last + steps - step, "accuracy": step / 10}
        for step in range(1, steps + 1)
    ]


def finished(
    folder: Path, number: int, overrides: dict[str, str], metrics: dict[str, float]
) -> TrialRecord:
    """Writes a trial that is complete, and its record."""
    lines = [f"{key}={value}" for key, value in overrides.items()]
    result = {"step": 40, "eval": metrics, "timing": {"total": 2.5}}
    write_run(folder / str(number), curve(metrics["loss"]), lines, result)
    return recorded(
        folder,
        number,
        overrides,
        TrialStatus.COMPLETE,
        values={"loss": metrics["loss"]},
        step=40,
        seconds=1.5,
    )


def recorded(
    folder: Path,
    number: int,
    overrides: dict[str, str],
    status: TrialStatus,
    **fields: Any,
) -> TrialRecord:
    """Appends the record of a trial."""
    record = TrialRecord(
        number=number,
        overrides=overrides,
        directory=str(number),
        status=status,
        **fields,
    )
    append_record(folder, record)
    return record


def launched(folder: Path) -> Path:
    """Writes a sweep of the launcher of specflow with trials of every status."""
    common = {"experiment": "sample"}
    for number, (lr, loss) in enumerate([("0.1", 0.5), ("0.01", 0.25)]):
        metrics = {"loss": loss, "accuracy": 1 - loss}
        finished(folder, number, {**common, "optimizer.lr": lr, "seed": "1"}, metrics)
    write_run(
        folder / "2",
        curve(0.125, 2),
        result={"step": 20, "pruned": True, "eval": {"loss": 0.125, "accuracy": 0.2}},
    )
    of = {**common, "optimizer.lr": "0.001", "seed": "1"}
    recorded(folder, 2, of, TrialStatus.PRUNED, values={"loss": 0.125}, step=20)
    write_run(folder / "3", curve(9.0, 1))
    recorded(
        folder,
        3,
        {**common, "optimizer.lr": "1e+30", "seed": "1"},
        TrialStatus.FAILED,
        error="step 12: the loss is nan.\nMore.",
        failure="nan",
        seconds=0.5,
    )
    write_run(folder / "4", curve(2.0, 3))
    recorded(
        folder,
        4,
        {**common, "optimizer.lr": "1", "seed": "1"},
        TrialStatus.RUNNING,
    )
    return folder
