"""Result of a training run: `result.json`, and the table that `train` prints."""

import dataclasses
from typing import Any, Self

import jax

from specflow.config.experiment import ExperimentConfig
from specflow.contract import Mode
from specflow.diagnostics.errors import CheckpointError
from specflow.estimator import Estimator
from specflow.lifecycle import Made, newest_export
from specflow.output import (
    Best,
    Efficiency,
    RunDirectory,
    efficiency,
    print_result,
)
from specflow.output.checkpoint.checkpoint_directory import part_rows_seen, rows_seen
from specflow.output.report.matrix_names import ClassNames

__all__ = ["TrainResult"]


@dataclasses.dataclass(frozen=True)
class TrainResult:
    """Metrics, times, exports and events of a completed run."""

    step: int
    """Last training step."""
    start_step: int
    """Step that this process started or resumed at."""
    evaluation: dict[str, Any]
    """Metrics of the last evaluation."""
    timing: dict[str, float]
    """Seconds, or rates whose names end in `_per_s`."""
    efficiency: Efficiency
    stopped_early: str | None
    """Reason of early stopping; None: training ran to its end."""
    best: Best | None
    """The best checkpoint."""
    exports: dict[str, Made]
    """Newest export of each exporter, by its name."""
    export_paths: dict[str, str]
    """Directory of each export, relative to the run directory."""
    exports_json: dict[str, Any]
    """The exports as plain JSON values."""
    skipped_steps: int | None
    """Steps that the loss scale skipped; None: there is no dynamic scale."""
    rows_seen: int | None
    """Training rows seen over all starts of the run; None: the input does not say."""
    part_rows_seen: dict[str, int]
    """Those of each part of a mixture; empty: the data is none."""
    recoveries: int
    """Times that training resumed after a device failed."""
    is_pruned: bool
    """True for a trial of a sweep that was stopped by its metrics."""

    @classmethod
    def of(
        cls,
        estimator: Estimator,
        config: ExperimentConfig,
        run: RunDirectory,
        metrics: dict[str, Any],
        *,
        start_step: int,
        best: Best | None,
        is_pruned: bool,
        total_s: float,
    ) -> Self:
        """Collects the result of an estimator that has trained.

        Args:
            estimator: closed, or about to be.
            config: the experiment.
            run: its directory.
            metrics: of the last evaluation, with `global_step`.
            start_step: step that training started or resumed at.
            best: the best checkpoint.
            is_pruned: whether a sweep stopped it by its metrics.
            total_s: seconds of the whole run.
        """
        step = metrics["global_step"]
        timing = {**estimator.timing, "total": total_s}
        lowered = estimator.program.lowered.get(Mode.TRAIN)
        folders = {name: run.path / "export" / name for name in config.output.exporters}
        exports = {
            name: export
            for name, folder in folders.items()
            if (export := newest_export(folder)) is not None
        }
        return cls(
            step=step,
            start_step=start_step,
            evaluation={k: v for k, v in metrics.items() if k != "global_step"},
            timing=timing,
            efficiency=efficiency(
                timing,
                total_s=total_s,
                steps=step - start_step,
                flops=None if lowered is None else lowered.model_flops,
                kind=jax.devices()[0].device_kind,
                devices=estimator.partitioner.mesh.size,
            ),
            stopped_early=estimator.stopped_early,
            best=best,
            exports=exports,
            export_paths={
                name: str(export.path.relative_to(run.path))
                for name, export in exports.items()
            },
            exports_json={
                name: export.to_json(run.path) for name, export in exports.items()
            },
            skipped_steps=estimator.skipped_steps,
            rows_seen=rows_seen(place := _place(estimator, step)),
            part_rows_seen=part_rows_seen(place),
            recoveries=estimator.recoveries,
            is_pruned=is_pruned,
        )

    def write(self, run: RunDirectory) -> None:
        """Writes `result.json`.

        Raises:
            OutputError: the file cannot be written.
        """
        run.write_result(
            self.step,
            evaluation=self.evaluation,
            timing=self.timing,
            efficiency=self.efficiency.plain(),
            stopped_early=self.stopped_early,
            exports=self.exports_json,
            **self._events(),
        )

    def to_plain(self) -> dict[str, Any]:
        """The result as the command returns it."""
        return {
            "step": self.step,
            "eval": self.evaluation,
            "timing": self.timing,
            "stopped_early": self.stopped_early,
            "exports": self.exports_json,
            **self._events(),
        }

    def note(self, config: ExperimentConfig) -> str:
        """A line for a run that did not train; empty if it did."""
        if self.step != self.start_step:
            return ""
        if self.stopped_early is not None:
            return (
                "nothing was trained: this run stopped early before. More patience or "
                "loop.early_stopping=null resumes it"
            )
        loop = config.loop
        end = f"loop.train_steps is {loop.steps}"
        if loop.epochs is not None:
            end = f"loop.epochs={loop.epochs:g} ends at step {loop.steps}"
        return (
            f"nothing was trained: this run is at step {self.step}, and {end}. A "
            "larger value resumes it"
        )

    def print(self, class_names: ClassNames | None = None) -> None:
        """Prints the table of the result.

        Args:
            class_names: number of classes -> names for the rows of a matrix.
        """
        print_result(
            self.step,
            evaluation=self.evaluation,
            timing=self.timing,
            facts=self._facts(),
            class_names=class_names,
        )

    def _events(self) -> dict[str, Any]:
        events: dict[str, Any] = {}
        if self.best is not None:
            events["best"] = self.best._asdict()
        if self.rows_seen is not None:
            events["rows_seen"] = self.rows_seen
        if self.part_rows_seen:
            events["part_rows_seen"] = self.part_rows_seen
        if self.skipped_steps is not None:
            events["skipped_steps"] = self.skipped_steps
        if self.recoveries:
            events["recoveries"] = self.recoveries
        if self.is_pruned:
            events["pruned"] = True
        return events

    def _facts(self) -> dict[str, str]:
        """Rows below the metrics and times."""
        facts = self.efficiency.facts()
        if self.rows_seen is not None:
            parts = [f"{name} {rows:,}" for name, rows in self.part_rows_seen.items()]
            facts["rows seen"] = f"{self.rows_seen:,}" + (
                f": {', '.join(parts)}" if parts else ""
            )
        if self.stopped_early is not None:
            facts["stopped early"] = self.stopped_early
        if self.best is not None:
            facts["best checkpoint"] = (
                f"step {self.best.step:,}, {self.best.metric} {self.best.value:.4g}; "
                "--step best selects it"
            )
        for name, export in self.exports.items():
            note = f"\n{export.note}" if export.note else ""
            facts[f"{name} export"] = (
                f"{self.export_paths[name]}, of step {export.step:,}{note}"
            )
        if self.recoveries:
            facts["recovered"] = f"{self.recoveries}x, from the newest checkpoint"
        if self.skipped_steps:
            trained = self.step - self.start_step
            facts["skipped"] = (
                f"{self.skipped_steps:,} of {trained:,} steps, by the loss scale"
            )
        return facts


def _place(estimator: Estimator, step: int) -> dict[str, Any] | None:
    """The place in the input of the last checkpoint; None if there is none."""
    try:
        return estimator.checkpoints.data_position(step)
    except CheckpointError:  # Nothing is saved, or it has just been removed.
        return None
