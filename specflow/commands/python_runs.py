"""`specflow evaluate|predict|export run=DIR` of a run that was made in Python."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specflow.commands import jax_session
from specflow.commands.evaluate import trained
from specflow.commands.export import export_model
from specflow.commands.predict import is_progress_seen, write_rows
from specflow.config.run_config import RunConfig
from specflow.config.sections.mesh import MeshConfig
from specflow.estimator import CheckpointStep, TPUEstimator
from specflow.output import print_result, row_format

if TYPE_CHECKING:
    from specflow.compose.recorded_python import RecordedRun

__all__ = ["evaluate_recorded", "export_recorded", "predict_recorded"]


def evaluate_recorded(
    run: "RecordedRun", *, step: CheckpointStep = None
) -> dict[str, Any]:
    """Evaluates a checkpoint as the last evaluation in Python did, and prints it.

    Args:
        run: the run, its parts imported.
        step: of the checkpoint; `best` or `latest`, the default.

    Returns:
        The metrics, with `loss` and `global_step`.

    Raises:
        CheckpointError: the run has no such checkpoint, or none that is whole.
    """
    estimator = _estimator(run)
    metrics = estimator.evaluate(
        run.input_fn,
        steps=run.eval_steps,
        checkpoint_step=step,
        record=False,  # Who looks at a run leaves it as it is.
    )
    estimator.close()
    evaluation = {name: v for name, v in metrics.items() if name != "global_step"}
    print_result(metrics["global_step"], evaluation=evaluation, timing=estimator.timing)
    return metrics


def predict_recorded(
    run: "RecordedRun",
    *,
    output: str | None = None,
    format: str | None = None,
    keys: Sequence[str] | None = None,
    step: CheckpointStep = None,
) -> int:
    """Writes a row of predictions for each row of the input; see `predict`.

    Returns:
        The number of rows.

    Raises:
        CheckpointError: the run has no such checkpoint, or none that is whole.
        ConfigError: there is no such format or prediction.
        OutputError: the file cannot be written.
    """
    written_as = row_format(output, format)
    estimator = _estimator(run)
    batches = estimator.predict(
        run.input_fn,
        predict_keys=keys,
        yield_single_examples=False,
        checkpoint_step=step,
        progress=is_progress_seen(output),
    )
    rows = write_rows(batches, {}, output, written_as)
    estimator.close()
    return rows


def export_recorded(
    run: "RecordedRun",
    *,
    output: str | None = None,
    step: CheckpointStep = None,
    platforms: Sequence[str] = ("cpu", "cuda", "tpu"),
    batch: Sequence[int] | None = None,
    format: str | None = None,
) -> Path:
    """Exports a checkpoint, and prints its signatures and where it is; see `export`.

    Returns:
        The directory of the new export.

    Raises:
        CheckpointError: the run has no such checkpoint, or none that is whole.
        ExportError: the model cannot be exported or converted.
        OutputError: the files cannot be written.
    """
    return export_model(
        lambda: (_estimator(run), run.input_fn),
        run.directory / "export" if output is None else Path(output),
        step=step,
        platforms=platforms,
        batch=batch,
        format=format,
    )


def _estimator(run: "RecordedRun") -> TPUEstimator:
    record = run.record
    mesh = None if record.mesh is None else MeshConfig(**record.mesh)
    jax_session.prepare(mesh or MeshConfig(), record.model_dump())
    estimator = TPUEstimator(
        run.parts["model_fn"],
        model=run.parts.get("model"),
        model_dir=run.directory,
        config=RunConfig(**record.config),
        params=record.params,
        train_batch_size=record.train_batch_size,
        eval_batch_size=record.eval_batch_size,
        predict_batch_size=record.predict_batch_size,
        mesh=mesh,
        use_tpu=record.use_tpu,
        eval_params=run.parts.get("eval_params"),
    )
    return trained(estimator, run.directory)
