"""`specflow export run=DIR`: a run's model for serving with JAX alone."""

import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specflow.commands.evaluate import estimator_of_run
from specflow.commands.run_data import data_of_run
from specflow.distributed import collectives
from specflow.estimator import CheckpointStep, Estimator
from specflow.runtime.filesystem import check_output_folder
from specflow.serving import load_export

if TYPE_CHECKING:
    from specflow.compose import Composed

__all__ = ["export", "export_model"]


def export(
    composed: "Composed",
    *,
    output: str | None = None,
    step: CheckpointStep = None,
    platforms: Sequence[str] = ("cpu", "cuda", "tpu"),
    batch: Sequence[int] | None = None,
    format: str | None = None,
) -> Path:
    """Exports a checkpoint, and prints its signatures and its directory.

    A conversion to another format is written beside the export; its verification is
    printed as well.

    Args:
        composed: the run's config with overrides applied.
        output: parent directory of exports; `export` in the run directory if None.
        step: step of the checkpoint, or `best`; None: the newest.
        platforms: to export for.
        batch: fixed batch sizes to export for; None: any.
        format: convert the export to `savedmodel` or `onnx`; None: do not.

    Returns:
        The directory of the new export.

    Raises:
        CheckpointError: the run has no such checkpoint, or only damaged ones.
        ExportError: the model cannot be exported or converted, or a package that the
            format needs is missing.
        OutputError: the files cannot be written.
    """

    def build() -> tuple[Estimator, Callable[[], Any]]:
        data = data_of_run(composed, needs_labels=False, needs_train=False)
        return estimator_of_run(composed, data), lambda: data.eval

    return export_model(
        build,
        Path(composed.run or "") / "export" if output is None else Path(output),
        step=step,
        platforms=platforms,
        batch=batch,
        format=format,
    )


def export_model(
    build: Callable[[], tuple[Estimator, Callable[..., Any]]],
    directory: Path,
    *,
    step: CheckpointStep,
    platforms: Sequence[str],
    batch: Sequence[int] | None,
    format: str | None,
) -> Path:
    """Exports a checkpoint of an estimator below `directory`; see `export`.

    Args:
        build: returns the estimator, and the input function with an example of what
            clients send; called once the packages that the format needs are found.
        directory: parent directory of exports.
        step: of the checkpoint.
        platforms: to export for.
        batch: fixed batch sizes.
        format: to convert the export to.

    Returns:
        The directory of the new export.
    """
    if format is not None:
        # TensorFlow logs at length unless the user asks for another level.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        from specflow.serving.convert import require_packages

        require_packages(format)
    check_output_folder(directory, "--output")
    estimator, input_fn = build()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Exported for batches")
        path = estimator.export(
            directory,
            input_fn=input_fn,
            checkpoint_step=step,
            platforms=platforms,
            batch=batch,
        )
    estimator.close()
    if not collectives.is_process_zero():
        collectives.on_process_zero(lambda: None)  # Wait until all is written.
        return path
    loaded = load_export(path, check=False)  # Checked before it got its name.
    if loaded.note:
        print(f"note: {loaded.note}", file=sys.stderr)
    for asset in sorted((path / "assets.extra").glob("tokenizer.*")):
        note = f"takes tokens, which assets.extra/{asset.name} makes of texts"
        print(f"note: {note}", file=sys.stderr)
    print(loaded)
    print(path)
    if format is not None:
        from specflow.serving.convert import convert_export

        conversion = convert_export(path, format=format)
        print(conversion)
        print(conversion.path)
        if loaded.columns is not None:
            note = f"{format} takes features; serving_raw is in {path} alone"
            print(f"note: {note}", file=sys.stderr)
    collectives.on_process_zero(lambda: None)
    return path
