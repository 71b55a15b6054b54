"""What evaluations found, by step: written beside the checkpoints, read by rules."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from specflow.diagnostics.errors import ConfigError, Diagnostic, did_you_mean, nearest
from specflow.distributed import collectives
from specflow.output import read_rows, reported, to_plain, write_text
from specflow.runtime.filesystem import expanded

__all__ = ["History", "MissingMetricError"]


class MissingMetricError(ConfigError, KeyError):
    """A metric that decides something is in no evaluation."""

    __str__ = Exception.__str__  # A KeyError shows its message in quotes.


class History:
    """The evaluations of one name, on disk, so that a later process sees them too.

    Args:
        model_dir: of the estimator.
        name: of the evaluation; None for the one without a name.

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
        """Writes the metrics of an evaluation down.

        Raises:
            OutputError: the file cannot be written.
        """
        row = json.dumps({"step": step, "split": "eval", **to_plain(metrics)})
        collectives.on_process_zero(lambda: self._append(row))

    def cut(self, step: int) -> None:
        """Forgets evaluations beyond a step, from which training goes on.

        They are of a process that died, or of another configuration; what training
        comes to now is evaluated again.

        Raises:
            OutputError: the file cannot be written.
        """
        collectives.on_process_zero(lambda: self._cut(step))

    def _append(self, row: str) -> None:
        with reported(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(row + "\n")

    def _cut(self, step: int) -> None:
        rows = read_rows(self.path)
        kept = [row for row in rows if row["step"] <= step]
        if len(kept) < len(rows):
            write_text(self.path, "".join(json.dumps(row) + "\n" for row in kept))

    def knows(self, metric: str) -> bool:
        """Whether any evaluation has a metric."""
        return any(metric in row for row in self._rows())

    def values(self, metric: str) -> dict[int, float]:
        """Step -> value, in the order of the steps; of one step, the later evaluation.

        A value that is not finite, which JSON cannot hold, is NaN.

        Raises:
            MissingMetricError: evaluations there are, but none with this metric.
        """
        rows = self._rows()
        found = {
            row["step"]: float("nan") if row[metric] is None else float(row[metric])
            for row in rows
            if metric in row
        }
        if rows and not found:
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
        return dict(sorted(found.items()))

    def _rows(self) -> list[dict[str, Any]]:
        """What is written down; process 0 reads it for all."""
        return collectives.on_process_zero(lambda: list(read_rows(self.path)))
