"""The parts of an estimator, and its inputs as batches."""

import copy
import itertools
import math
import warnings
from collections.abc import Generator
from pathlib import Path
from typing import Any

from specflow.columns import FittedColumns
from specflow.config.estimator_record import CannedRecord
from specflow.config.run_config import RunConfig
from specflow.contract import Mode
from specflow.data import Batch, Data, EvalBatches, Share, as_source
from specflow.diagnostics.errors import Diagnostic, SpecflowWarning
from specflow.distributed import collectives
from specflow.estimator.data_lock import DataLock
from specflow.estimator.estimator_record_writer import Recorder
from specflow.estimator.input_functions import (
    BatchForm,
    InputFn,
    ask,
    is_empty,
    peeked,
    source_form,
)
from specflow.estimator.loss_reports import batches_shown, shows_progress
from specflow.estimator.state_source import States
from specflow.estimator.synchronized_inputs import EvalTogether, agree_on_rows
from specflow.executor import Program
from specflow.mesh import Partitioner
from specflow.output import Checkpointer, CheckpointStep
from specflow.output.checkpoint.checkpoint_directory import CheckpointDirectory
from specflow.output.checkpoint.checkpoint_tags import remove_tag, set_tag
from specflow.output.checkpoint.params_snapshots import ParamsSnapshots
from specflow.runtime.stopwatch import Stopwatch

__all__ = ["EstimatorParts"]


class EstimatorParts:
    """Attributes that the methods of `Estimator` share, and its checkpoints by step.

    `Estimator.__init__` sets them; its base classes implement one job each.
    """

    config: RunConfig
    """Seeds, intervals and retention."""
    params: dict[str, Any]
    """Hyperparameters of the model and input functions."""
    model_dir: Path
    """Parent of checkpoints, exports, evaluations and summaries; absolute."""
    partitioner: Partitioner
    """Shards arrays over the mesh."""
    program: Program
    """The compiled steps of each mode."""
    checkpoints: Checkpointer
    """Writes and reads checkpoints."""
    timing: Stopwatch
    """Seconds spent so far, by name: compile, train, input, eval, checkpoint."""
    stopped_early: str | None
    """Reason of the rule that ended the last `train_and_evaluate`; None if none did."""
    _batch_sizes: dict[Mode, int]
    _batch_share: Share
    _states: States
    _recorder: Recorder | None
    _data: Data | None
    """Data of a config."""
    _data_lock: DataLock | None
    """Files of the data of a config, which have to stay as they are."""
    _snapshots: ParamsSnapshots | None
    _columns: FittedColumns | None
    """Fitted columns of a table, which exports contain."""
    _reports_untrained: bool
    """A config alone says where the run is, and it may not mean that one."""

    def _report_untrained(self, checkpoint_path: Any, what: str) -> None:
        """Warns that the initial values of a config's model are used."""
        if not self._reports_untrained or checkpoint_path is not None:
            return
        if self._states.state is not None or self.latest_step() is not None:
            return
        warnings.warn(
            SpecflowWarning(
                Diagnostic(
                    what,
                    f"{self.model_dir} has no checkpoint: the model has its initial "
                    "values",
                    hint="A config does not name the directory of its run: "
                    "Estimator.from_config(config, model_dir=DIR).",
                    code="untrained",
                )
            ),
            stacklevel=3,
        )

    def _canned(self) -> tuple[CannedRecord, dict[str, str]] | None:
        """Record of a canned estimator; None for any other estimator."""
        return None

    def latest_checkpoint(self) -> Path | None:
        """Returns the newest checkpoint, as `checkpoint_path` takes it, or None."""
        step = self.latest_step()
        return None if step is None else self.checkpoints.directory / str(step)

    def best_checkpoint(self) -> Path | None:
        """Returns the best checkpoint by `RunConfig.keep_best`, as `checkpoint_path`.

        Returns:
            None if `keep_best` is not set, or no checkpoint has been evaluated.
        """
        best = self.checkpoints.best()
        return None if best is None else self.checkpoints.directory / str(best.step)

    def tag_checkpoint(
        self, step: CheckpointStep, name: str, *, move: bool = False
    ) -> Path:
        """Names a checkpoint, which is then kept permanently.

        The name selects it: `checkpoint_step=name`, and `--step name`.

        Args:
            step: its step; `best` or `latest`.
            name: letters, digits, `.`, `_` and `-`; no number, neither `best` nor
                `latest`.
            move: whether the name moves if another checkpoint has it.

        Returns:
            The checkpoint, as `checkpoint_path` takes it.

        Raises:
            ConfigError: the name is invalid, or another checkpoint has it.
            CheckpointError: there is no such checkpoint.
        """
        self.checkpoints.wait()
        chosen = self.checkpoints.resolve(step)
        chosen = self.latest_step() if chosen is None else chosen
        directory = CheckpointDirectory(self.checkpoints.directory)
        collectives.on_process_zero(lambda: set_tag(directory, chosen, name, move=move))
        return directory.step_path(chosen or 0)

    def untag_checkpoint(self, name: str) -> None:
        """Removes the name of a checkpoint, which may then be removed as any other.

        Raises:
            CheckpointError: no checkpoint has the name.
        """
        directory = CheckpointDirectory(self.checkpoints.directory)
        collectives.on_process_zero(lambda: remove_tag(directory, name))

    def latest_step(self) -> int | None:
        """Returns the step of the newest checkpoint; None if there is none."""
        return self.checkpoints.latest_step()

    def parameter_count(self) -> int:
        """Returns the number of scalar parameters of the model."""
        return sum(
            math.prod(array.shape)
            for array in self.program.model.abstract_params.values()
        )

    def batch_form(self, source: Any, mode: Mode) -> BatchForm:
        """Returns shapes and dtypes of a batch of a source: (features, labels)."""
        return source_form(source, self._batch_sizes[mode])

    def close(self) -> None:
        """Waits for checkpoints that are being written."""
        try:
            self.checkpoints.close()
        finally:
            if self._snapshots is not None:
                self._snapshots.close()

    def _write_record(self) -> None:
        """Records the arguments of this estimator, or the files of its data.

        Raises:
            DataError: files have changed since the run was trained.
        """
        if self._data_lock is not None:
            collectives.on_process_zero(self._data_lock.lock)
        if self._recorder is not None:
            self._recorder.write()

    def _input(self, input_fn: InputFn, mode: Mode) -> Any:
        """Returns the input; arrays as a source, which checks every number."""
        value = self._asked(input_fn, mode)
        source = None if is_empty(value) else as_source(value)
        return value if source is None else source

    def _asked(self, input_fn: InputFn, mode: Mode) -> Any:
        """Calls an input function for batches of this process."""
        size = len(self._batch_share.rows(self._batch_sizes[mode]))
        return ask(input_fn, self._params_for(size))

    def _eval_batches(
        self,
        value: Any,
        mode: Mode,
        steps: int | None,
        *,
        shown: bool = False,
        skip: int = 0,
    ) -> Generator[Batch, None, None]:
        """Yields padded batches of an input, once each, with a progress bar if shown.

        Args:
            value: the input.
            mode: evaluate or predict.
            steps: number of batches; None: to the end of the data.
            shown: whether a bar may be shown.
            skip: number of first batches that are left out.
        """
        source = as_source(value)
        is_together = collectives.process_count() > 1 and not agree_on_rows(
            "evaluation", value
        )
        batches = EvalBatches(
            value if source is None else source,
            self._batch_sizes[mode],
            limit=steps,
            padded="mask" in self.program.tracer.model_fn.takes,
            share=self._batch_share,
            skip=0 if is_together else skip,
        )
        total, gives_way = batches.count, mode is Mode.PREDICT
        if is_together:
            # A process without further rows pads after its last batch, which it has to
            # read.
            batches = itertools.islice(EvalTogether(batches), skip, None)
        if shown and shows_progress(self.config):
            return batches_shown(batches, total, gives_way=gives_way)
        return (batch for batch in batches)

    def _learned_from(self, value: Any, mode: Mode) -> Any:
        """Initializes the layers of a Linen model from the first batch of an input.

        Returns:
            The input, which still has all its batches.
        """
        if self.program.model.is_known:
            return value
        probe = value
        if as_source(value) is None and hasattr(value, "__iter__"):
            probe, value = peeked(value)
        for batch in self._eval_batches(probe, mode, 1):
            self.program.tracer.learn(mode, batch.features, batch.labels)
        return value

    def _micro_steps(self, mode: Mode) -> int:
        return self.config.tpu_config.micro_steps if mode is Mode.TRAIN else 1

    def _params_for(self, batch_size: int) -> dict[str, Any]:
        """Returns a copy of `params` for a function, which may change it."""
        use_tpu = self.partitioner.mesh.devices.flat[0].platform == "tpu"
        return {
            **copy.deepcopy(self.params),
            "batch_size": batch_size,
            "use_tpu": use_tpu,
        }
