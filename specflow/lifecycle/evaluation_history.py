"""Metrics of evaluations by step, stored beside the checkpoints for rules to read."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from specflow.diagnostics.errors import ConfigError, Diagnostic, did_you_mean, nearest
from specflow.distributed import collectives
from specflow.output import read_rows, reported, to_plain, write_text
from specflow.runtime.filesystem import expanded

__all__ = ["Histories", "History", "MissingMetricError"]


class MissingMetricError(ConfigError, KeyError):
    """A metric that a rule reads is in no evaluation."""

    __str__ = Exception.__str__  # A KeyError shows its message in quotes.


class History:
    """Stores the evaluations of one name on disk, for later processes too.

    Args:
        model_dir: model directory of the estimator.
        name: name of the evaluation; None: the unnamed one.

    >>> import tempfile
    >>> history = History(tempfile.mkdtemp())
    >>> history.add(100, {"loss": 0.5})
    >>> history.values("loss")
    {100: 0.5}
    """

    def __init__(self, model_dir: str | Path, name: str | None = None):
        folder = "eval" if name is None else f"eval_{name}"
        self.path = expanded(model_dir, "model_dir") / folder / "metrics.jsonl"

    def add(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Appends the metrics of an evaluation, unless they are the last row already.

        A finished run that is started again evaluates its last state again.

        Raises:
            OutputError: the file cannot be written.
        """
        row = json.dumps({"step": step, "split": "eval", **to_plain(metrics)})
        collectives.on_process_zero(lambda: self._append(row))

    def cut(self, step: int) -> None:
        """Removes evaluations after the step at which training resumes.

        They belong to a process that died or to another configuration; those steps are
        evaluated again.

        Raises:
            OutputError: the file cannot be written.
        """
        collectives.on_process_zero(lambda: self._cut(step))

    def put_back(self, metric: str, values: Mapping[int, float]) -> None:
        """Adds the values of evaluations that the file does not have.

        The checkpoint from which a run resumes may have moved here without it.

        Args:
            metric: name of the metric.
            values: step -> value.

        Raises:
            OutputError: the file cannot be written.
        """
        known = self.values(metric) if self.knows(metric) else {}
        for step in sorted(values.keys() - known.keys()):
            self.add(step, {metric: values[step]})

    def _append(self, row: str) -> None:
        with reported(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self._last_row() == json.loads(row):
                return
            with self.path.open("ab+") as file:
                # A process that was killed while writing leaves a partial line.
                if file.tell() and not _ends_line(file):
                    file.write(b"\n")
                file.write(f"{row}\n".encode())

    def _last_row(self) -> dict[str, Any] | None:
        rows = read_rows(self.path)
        return rows[-1] if rows else None

    def _cut(self, step: int) -> None:
        rows = read_rows(self.path)
        kept = [row for row in rows if row["step"] <= step]
        if len(kept) < len(rows):
            write_text(self.path, "".join(json.dumps(row) + "\n" for row in kept))

    def knows(self, metric: str) -> bool:
        """Returns True if any evaluation has a metric."""
        return any(metric in row for row in self._rows())

    def values(self, metric: str) -> dict[int, float]:
        """Returns step -> value in step order; of equal steps, the later evaluation.

        A value that is not finite, which JSON cannot represent, is NaN.

        Raises:
            MissingMetricError: there are evaluations, but none with this metric.
        """
        rows = self._rows()
        values = {
            row["step"]: float("nan") if row[metric] is None else float(row[metric])
            for row in rows
            if metric in row
        }
        if rows and not values:
            names = sorted({name for row in rows for name in row} - {"step", "split"})
            raise MissingMetricError(
                Diagnostic(
                    metric,
                    "is in no evaluation",
                    code="metric-missing",
                    expected=f"one of {', '.join(names)}",
                    hint=did_you_mean(nearest(metric, names)),
                )
            )
        return dict(sorted(values.items()))

    def _rows(self) -> list[dict[str, Any]]:
        """Reads the file on process 0, for all processes."""
        return collectives.on_process_zero(lambda: list(read_rows(self.path)))


class Histories:
    """Evaluations of a run: those of its own input, and those of each further set.

    A metric of a set is `<set>/<metric>`.

    Args:
        model_dir: model directory of the estimator.
        name: name of the evaluation; None: the unnamed one.
        sets: names of the sets.

    >>> import tempfile
    >>> histories = Histories(tempfile.mkdtemp(), None, ["night"])
    >>> histories.of("night").add(100, {"loss": 0.5})
    >>> histories.values("night/loss")
    {100: 0.5}
    """

    def __init__(self, model_dir: str | Path, name: str | None, sets: Iterable[str]):
        self._own = History(model_dir, name)
        self._sets = {each: History(model_dir, each) for each in sets}

    def of(self, name: str | None) -> History:
        """Returns the evaluations of a set; None: of the own input."""
        return self._own if name is None else self._sets[name]

    def knows(self, metric: str) -> bool:
        """Returns True if any evaluation has a metric."""
        history, measured = self._of_metric(metric)
        return history.knows(measured)

    def values(self, metric: str) -> dict[int, float]:
        """Returns step -> value of a metric; see `History.values`."""
        history, measured = self._of_metric(metric)
        return history.values(measured)

    def put_back(self, metric: str, values: Mapping[int, float]) -> None:
        """Adds the values of evaluations that the file of a metric does not have."""
        history, measured = self._of_metric(metric)
        history.put_back(measured, values)

    def cut(self, step: int) -> None:
        """Removes evaluations after the step at which training resumes."""
        for history in (self._own, *self._sets.values()):
            history.cut(step)

    def _of_metric(self, metric: str) -> tuple[History, str]:
        """Returns the evaluations with a metric, and its name there."""
        of_set, slash, measured = metric.partition("/")
        if slash and of_set in self._sets:
            return self._sets[of_set], measured
        return self._own, metric


def _ends_line(file: BinaryIO) -> bool:
    """Returns whether the last byte of an open file ends a line."""
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"
