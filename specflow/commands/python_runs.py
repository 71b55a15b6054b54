"""`specflow evaluate|predict|export run=DIR` for a run that was made in Python."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specflow.commands import jax_session
from specflow.commands.evaluate import evaluate_and_print, require_checkpoint
from specflow.commands.export import export_model
from specflow.commands.predict import predict_and_write
from specflow.config.run_config import RunConfig
from specflow.config.sections.mesh import MeshConfig
from specflow.estimator import CheckpointStep, Estimator
from specflow.output import row_format

if TYPE_CHECKING:
    from specflow.compose.recorded_python import RecordedRun

__all__ = ["evaluate_recorded", "export_recorded", "predict_recorded"]


def evaluate_recorded(
    run: "RecordedRun", *, step: CheckpointStep = None
) -> dict[str, Any]:
    """Evaluates a checkpoint as the last evaluation in Python did, and prints it.

    Args:
        run: the run, with its parts imported.
        step: step of the checkpoint, `best` or `latest`; None: the newest.

    Returns:
        The metrics, with `loss` and `global_step`.

    Raises:
        CheckpointError: the run has no such checkpoint, or only damaged ones.
    """
    return evaluate_and_print(
        _estimator(run), run.input_fn, steps=run.eval_steps, step=step
    )


def predict_recorded(
    run: "RecordedRun",
    *,
    output: str | None = None,
    format: str | None = None,
    keys: Sequence[str] | None = None,
    step: CheckpointStep = None,
) -> int:
    """Writes one row of predictions for each row of the input; see `predict`.

    Returns:
        The number of rows.

    Raises:
        CheckpointError: the run has no such checkpoint, or only damaged ones.
        ConfigError: there is no such format or prediction.
        OutputError: the file cannot be written.
    """
    resolved_format = row_format(output, format)
    return predict_and_write(
        _estimator(run),
        run.input_fn,
        keys=keys,
        step=step,
        output=output,
        format=resolved_format,
    )


def export_recorded(
    run: "RecordedRun",
    *,
    output: str | None = None,
    step: CheckpointStep = None,
    platforms: Sequence[str] = ("cpu", "cuda", "tpu"),
    batch: Sequence[int] | None = None,
    format: str | None = None,
) -> Path:
    """Exports a checkpoint, and prints its signatures and directory; see `export`.

    Returns:
        The directory of the new export.

    Raises:
        CheckpointError: the run has no such checkpoint, or only damaged ones.
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


def _estimator(run: "RecordedRun") -> Estimator:
    """The estimator of a run with a checkpoint.

    Raises:
        CheckpointError: the run has none.
    """
    record = run.record
    mesh = None if record.mesh is None else MeshConfig(**record.mesh)
    jax_session.prepare(mesh or MeshConfig(), record)
    arguments: dict[str, Any] = {
        "model_dir": run.directory,
        "config": RunConfig(**record.config),
        "params": record.params,
        "train_batch_size": record.train_batch_size,
        "eval_batch_size": record.eval_batch_size,
        "predict_batch_size": record.predict_batch_size,
        "mesh": mesh,
        "use_tpu": record.use_tpu,
        "eval_params": run.parts.get("eval_params"),
    }
    if record.canned is None:
        model_fn, model = run.parts["model_fn"], run.parts.get("model")
        estimator = Estimator(model_fn, model=model, **arguments)
    else:
        from specflow.tf.canned.canned_record import canned_estimator

        activation = run.parts.get("activation_fn")
        estimator = canned_estimator(record.canned, activation, **arguments)
    require_checkpoint(estimator, run.directory)
    return estimator
