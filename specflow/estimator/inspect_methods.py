"""Inspection of an estimator without running it: specs, shapes, programs, rows."""

import contextlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specflow.contract import Mode, TPUEstimatorSpec
from specflow.data import BatchPlan, Source, as_source
from specflow.diagnostics.errors import ConfigError, DataError, Diagnostic
from specflow.estimator.estimator_arguments import check_positive
from specflow.estimator.estimator_parts import EstimatorParts
from specflow.estimator.input_functions import no_rows
from specflow.estimator.training_input import stacked_steps
from specflow.executor import Lowered, TrainState, check_predictions, to_tree
from specflow.executor.batch_placement import BatchPlacement
from specflow.lifecycle import WarmPlan
from specflow.output.checkpoint.disk_space import bytes_of

__all__ = ["InspectMethods"]


class InspectMethods(EstimatorParts):
    """Inspects the programs and states of an estimator; takes no step."""

    def rows_of_step(self, source: Any, step: int) -> NDArray[np.int64]:
        """Returns which rows of the training data a step read, or would read.

        Args:
            source: the training data: arrays or a source. Batches of an iterable have
                no row numbers.
            step: number of the step, counted from 1 as in messages and reports.

        Returns:
            int64[batch]: numbers of the rows, counted from 0, in their order.

        Raises:
            ConfigError: the step is not a positive number, or the data is an iterable.
            DataError: the step was trained with another batch size than this one.
        """
        rows = as_source(source)
        if rows is None:
            raise ConfigError(
                Diagnostic(
                    "source",
                    "is an iterable of batches",
                    code="input-form",
                    expected="arrays or a source, whose rows have numbers",
                )
            )
        check_positive(step, "step")
        saved = self.checkpoints.steps()
        start = max((at for at in saved if at < step), default=0)
        end = min((at for at in saved if at >= step), default=None)
        # The place counts rows: the batch size may have been another one before.
        place = self._place(start) if start in saved else {}
        size = self._batch_sizes[Mode.TRAIN]
        if end is not None:
            later = self._place(end)
            restarts = self.config.resume_input == "restart"
            if restarts and later.get("rows") == (end - start) * size:
                place = {**place, "rows": 0}  # A call restarted at the earlier one.
            _check_batches(start, place, end, later, size)
        drawn = place.get("seed", self._states.seed)
        plan = BatchPlan(
            rows,
            size,
            seed=self._states.seed if self.config.seed is not None else drawn,
            shuffle=self.config.shuffle,
            start_step=start,
            start_row=place.get("rows"),
            place=place,
        )
        return plan.row_ids(step - 1, 1)[0]

    def _place(self, step: int) -> dict[str, Any]:
        """Returns the place in the training input at a checkpoint."""
        return self.checkpoints.data_position(step).get("input") or {}

    def abstract_spec(self, mode: Mode, source: Source) -> TPUEstimatorSpec:
        """Returns the spec of a mode with shapes in place of arrays.

        Args:
            mode: train, evaluate or predict.
            source: source of the batches.

        Raises:
            SpecError: the function breaks the contract, or its predictions cannot be
                split into rows.
        """
        spec = self.program.spec(mode, *self.batch_form(source, mode))
        if mode is Mode.PREDICT:
            check_predictions(spec.predictions, self._batch_sizes[mode])
        return spec

    def abstract_state(self, source: Source) -> TrainState:
        """Returns shapes, dtypes and shardings of the training state, unallocated."""
        return self.program.abstract_state(*self.batch_form(source, Mode.TRAIN))

    def warm_plan(self, source: Source) -> WarmPlan | None:
        """Returns what training takes from `warm_start_from`, by names and shapes.

        Args:
            source: source of the training data.

        Returns:
            None if training does not start there. No array is read.

        Raises:
            CheckpointError: the checkpoint does not exist, or does not fit.
        """
        return self._states.warm_plan(*self.batch_form(source, Mode.TRAIN))

    def lower(
        self, train: Source, evaluation: Source, *, max_steps: int | None = None
    ) -> dict[Mode, Lowered]:
        """Traces and lowers the program of each mode; compiles nothing.

        Args:
            train: source of the training rows.
            evaluation: source of the rows to evaluate and predict.
            max_steps: step at which training ends.

        Raises:
            SpecError: the function breaks the contract.
            DataError: there are no rows to evaluate.
        """
        form = self.batch_form(train, Mode.TRAIN)
        steps = stacked_steps(self.config, form, max_steps)
        self.program.lower(Mode.TRAIN, *form, steps=steps)
        for mode in (Mode.EVAL, Mode.PREDICT):
            first = next(iter(self._eval_batches(evaluation, mode, 1)), None)
            if first is None:
                raise no_rows(str(mode))
            self.program.lower(mode, first.features, first.labels, mask=first.mask)
        return self.program.lowered

    def trace_ahead(self, train: Source, *, max_steps: int | None = None) -> None:
        """Traces the training program, if it is that of an earlier estimator.

        Args:
            train: source of the training rows.
            max_steps: step at which training ends.
        """
        form = self.batch_form(train, Mode.TRAIN)
        steps = stacked_steps(self.config, form, max_steps)
        batches = BatchPlacement(self.partitioner)
        self.program.train_again(*batches.abstract(form, steps))

    def drop_state(self) -> None:
        """Drops the arrays of the newest state, which are read from disk if needed."""
        self._states.drop()

    def fingerprints(
        self, train: Source, evaluation: Source, *, max_steps: int | None = None
    ) -> dict[str, str]:
        """Returns a hash of the program of each mode; see `lower` for the arguments.

        Equal programs have equal hashes, in other processes as well, given the same
        versions and devices.

        Returns:
            Hashes of `train`, `eval` and `predict`.

        Raises:
            SpecError: the function breaks the contract.
            DataError: there are no rows to evaluate.
        """
        self.lower(train, evaluation, max_steps=max_steps)
        return self.program.fingerprints()

    def check_checkpoint(self, source: Source) -> None:
        """Checks that training can resume from the newest checkpoint; reads no array.

        Raises:
            CheckpointError: the newest checkpoint is of another model.
        """
        if self.latest_step() is not None:
            self.checkpoints.check(to_tree(self.abstract_state(source)))

    def check_disk_space(self, source: Source) -> None:
        """Checks that there is room for a checkpoint; warns if there is little.

        Args:
            source: source of the training data.

        Raises:
            OutputError: there is no room, or the size of files is limited to less.
        """
        self.checkpoints.space.check(bytes_of(to_tree(self.abstract_state(source))))

    def live(
        self, step: int, state: TrainState
    ) -> contextlib.AbstractContextManager[None]:
        """Lets `predict` and `export` use a state while training continues with it."""
        return self._states.live(step, state)


def _check_batches(
    start: int, place: Mapping[str, Any], end: int, later: Mapping[str, Any], size: int
) -> None:
    """Checks that batches of a size lead from one place in the data to a later one.

    Raises:
        DataError: the steps between read batches of another size.
    """
    before, after = place.get("rows", 0 if start == 0 else None), later.get("rows")
    if before is None or after is None or after - before == (end - start) * size:
        return
    raise DataError(
        Diagnostic(
            "the training batch size",
            f"is {size}, and steps {start + 1} to {end} saw {after - before} rows",
            expected="the batch size that these steps had",
            hint="Give it: loop.batch_size=..., in Python train_batch_size.",
            code="data-place",
        )
    )
