"""`specflow export run=DIR`: a run's model for whoever has nothing but JAX."""

import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specflow.commands.evaluate import estimator_of_run
from specflow.data import build_data
from specflow.distributed import collectives
from specflow.estimator import CheckpointStep, TPUEstimator
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
    """Exports a checkpoint, and prints its signatures and where it is.

    In another format it is written beside the export, and how it was verified is
    printed, too.

    Args:
        composed: the run's config, with overrides laid over it.
        output: where exports go side by side; `export` in the run directory if None.
        step: export the checkpoint of this step, or the `best` one, and not the
            newest.
        platforms: what to export for.
        batch: fixed numbers of rows to export for; None: any.
        format: what to convert the export to: `savedmodel` or `onnx`; None: nothing.

    Returns:
        The directory of the new export.

    Raises:
        CheckpointError: the run has no such checkpoint, or none that is whole.
        ExportError: the model cannot be exported or converted, or a package that the
            format takes is missing.
        OutputError: the files cannot be written.
    """

    def build() -> tuple[TPUEstimator, Callable[[], Any]]:
        data = build_data(composed.config.data, needs_labels=False, needs_train=False)
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
    build: Callable[[], tuple[TPUEstimator, Callable[..., Any]]],
    directory: Path,
    *,
    step: CheckpointStep,
    platforms: Sequence[str],
    batch: Sequence[int] | None,
    format: str | None,
) -> Path:
    """Exports a checkpoint of an estimator into `directory`; see `export`.

    Args:
        build: gives the estimator, and the input function of an example of what
            clients send; called once the packages that the format takes are there.
        directory: where exports go side by side.
        step: of the checkpoint.
        platforms: what to export for.
        batch: fixed numbers of rows.
        format: what to convert the export to.

    Returns:
        The directory of the new export.
    """
    if format is not None:
        # TensorFlow tells about itself at length, unless somebody asked it to.
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
        collectives.on_process_zero(lambda: None)  # Until everything is written.
        return path
    loaded = load_export(path, check=False)  # It was checked before it got its name.
    if loaded.note:
        print(f"note: {loaded.note}", file=sys.stderr)
    print(loaded)
    print(path)
    if format is not None:
        from specflow.serving.convert import convert_export

        conversion = convert_export(path, format=format)
        print(conversion)
        print(conversion.path)
    collectives.on_process_zero(lambda: None)
    return path
