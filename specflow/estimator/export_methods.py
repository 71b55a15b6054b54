"""`Estimator.export`."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from specflow.contract import Mode
from specflow.data import RawRows, checked_batch, narrowed
from specflow.diagnostics.errors import CheckpointError, ConfigError, Diagnostic
from specflow.distributed import collectives
from specflow.estimator.estimator_arguments import check_functions
from specflow.estimator.estimator_parts import EstimatorParts
from specflow.estimator.input_functions import InputFn, no_rows
from specflow.estimator.state_source import CheckpointStep
from specflow.executor import Serving, to_host
from specflow.runtime.filesystem import check_output_folder
from specflow.runtime.typing import Tree

__all__ = ["ExportMethods"]


class ExportMethods(EstimatorParts):
    """Exports the checkpoints of an estimator for serving."""

    def export(
        self,
        directory: str | Path,
        *,
        input_fn: InputFn | None = None,
        features: Any = None,
        serving_fn: Callable[[Any], Any] | None = None,
        checkpoint_path: str | Path | None = None,
        checkpoint_step: CheckpointStep = None,
        assets_extra: Mapping[str, str | Path] | None = None,
        platforms: Sequence[str] = ("cpu", "cuda", "tpu"),
        batch: int | Sequence[int] | None = None,
    ) -> Path:
        """Writes the `export_outputs` of the newest checkpoint for serving with JAX.

        `specflow.load_export` reads the export; it needs nothing that trains.

        Args:
            directory: parent of the export, `directory/<seconds since 1970>`.
            input_fn: returns an example of what clients send, as `predict` takes it.
                Some of its rows are stored in the export, with the answers to them.
            features: such an example itself, in place of `input_fn`.
            serving_fn: maps what clients send to features of the model function, with
                any function of JAX arrays. By default clients send features.
            checkpoint_path: checkpoint to export instead of the newest.
            checkpoint_step: checkpoint of this step or tag instead; or `best` (by
                `RunConfig.keep_best`) or `latest`.
            assets_extra: path below `assets.extra/` -> file to copy there.
            platforms: platforms to export for.
            batch: fixed batch sizes to export, to which requests are padded; None: any
                size, if the model can be traced with an unknown one.

        Returns:
            The new directory.

        Raises:
            CheckpointError: there is no checkpoint.
            ConfigError: the directory, or a parent of it, is a file.
            ExportError: the model cannot be exported.
        """
        from specflow.output.export.exporting import (
            write_export,  # Few runs end in an export.
        )

        check_output_folder(directory, "directory")
        check_functions(input_fn=input_fn, serving_fn=serving_fn)
        example, raw = self._example(input_fn, features)
        # A serving function replaces the features that the columns make; records have
        # columns of labels alone.
        columns = self._columns if serving_fn is None else None
        columns = columns if columns is not None and columns.columns else None
        tokenizers = {} if self._data is None else self._data.tokenizer_files()
        for name in tokenizers:
            if (copied := self.model_dir / name).is_file():
                assets_extra = {name: copied, **(assets_extra or {})}
        wants_newest = checkpoint_path is None and not self._states.is_live
        if wants_newest and self.checkpoints.latest_step() is None:
            raise CheckpointError(
                Diagnostic(
                    str(self.model_dir),
                    "has no checkpoint",
                    code="export-untrained",
                    expected="a model that was trained",
                )
            )
        if not self.program.model.is_known:
            form = jax.eval_shape(serving_fn or (lambda request: request), example)
            self.program.tracer.learn(Mode.PREDICT, form, None)
        step, state = self._states.to_evaluate(checkpoint_step, checkpoint_path)
        mesh = self.partitioner.mesh
        if collectives.process_count() > 1:
            # All processes gather; process 0 computes on its own device and writes.
            params, model_state = to_host((state.params, state.model_state))
            state = state._replace(params=params, model_state=model_state)

        def write() -> str:
            path = write_export(
                directory,
                Serving(self.program, state, receiver=serving_fn),
                example,
                step=step,
                platforms=platforms,
                batch=batch,
                usual_batch=self._batch_sizes[Mode.PREDICT],
                assets_extra=assets_extra,
                columns=columns,
                raw=raw,
                exact=mesh.size == 1 and mesh.devices.flat[0].platform == "cpu",
            )
            return str(path)

        return Path(collectives.on_process_zero(write))

    def _example(
        self, input_fn: InputFn | None, features: Any
    ) -> tuple[Tree, dict[str, list[Any]]]:
        """Returns the features of one batch, on the host, and raw rows of a table."""
        if (input_fn is None) == (features is None):
            raise ConfigError(
                Diagnostic(
                    "export",
                    f"got {'neither' if features is None else 'both'} of input_fn and "
                    "features",
                    expected="one of them: an example of what clients send",
                    code="export-example",
                )
            )
        if input_fn is None:
            checked_batch(features, None, where="export")
            return jax.tree.map(narrowed, features), {}
        value = self._input(input_fn, Mode.PREDICT)
        first = next(iter(self._eval_batches(value, Mode.PREDICT, 1)), None)
        if first is None:
            raise no_rows("export")
        features = jax.tree.map(lambda array: array[: first.rows], first.features)
        rows = slice(0, first.rows)
        return features, value.served_raw(rows) if isinstance(value, RawRows) else {}
