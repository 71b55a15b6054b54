"""One call to train: from where a model stands until it is to stop."""

import contextlib
import functools
import importlib
import shlex
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from specflow import loop
from specflow.config.run_config import RunConfig
from specflow.contract import Mode, TPUEstimatorSpec
from specflow.data import Share, TrainInput, as_source, as_train_batches, handed
from specflow.diagnostics.errors import (
    ConfigError,
    DataError,
    Diagnostic,
    OutputError,
    SpecflowWarning,
)
from specflow.diagnostics.rendering import is_of_device
from specflow.distributed import collectives
from specflow.estimator.label_hint import label_hint
from specflow.estimator.loss_reports import Watcher, shows_progress, summaries
from specflow.estimator.recovery import Recovery
from specflow.estimator.state_source import States
from specflow.estimator.step_evaluations import Evaluations
from specflow.estimator.step_saving import Saver
from specflow.estimator.synchronized_inputs import (
    TrainTogether,
    agree_on_form,
    agree_on_rows,
    meet_after_error,
    own_place,
)
from specflow.executor import Program, TrainState, to_tree
from specflow.loop import (
    EverySeconds,
    EverySteps,
    Pace,
    Profile,
    StopTraining,
    Trigger,
)
from specflow.output import Checkpointer, Progress
from specflow.runtime.closing import closing

__all__ = ["Training", "is_asked", "stacked_steps"]

_TIMED_STACK = 1_000
"""Batches stacked when `iterations_per_loop` is a time."""
_START = {"batches": 0, "rows": 0}
"""The place at which an input begins."""
_CHUNK_BYTES = 256 << 20
"""Stacked batches are no larger than this, whatever `iterations_per_loop` says."""

_UNEVALUATED = "unevaluated"
"""Says, beside the place in the data, that the evaluation of a saved step failed."""
_LOSSES = "losses"
"""Beside the place in the data: the losses since the last row, as `Watcher.partial`."""


class Training:
    """Trains a model, saves it, and has it evaluated on the way.

    Args:
        program: the compiled steps.
        states: says where training stands, and is told where it ended.
        checkpoints: where states are saved.
        config: rhythms, and what is reported.
        model_dir: where summaries go.
        rows: rows of a batch, over all processes.
        hooks_see_each_step: whether hooks act around every step, as on the reference's
            CPU path, which had no device loops; else around device loops.
    """

    def __init__(
        self,
        program: Program,
        states: States,
        checkpoints: Checkpointer,
        config: RunConfig,
        *,
        model_dir: Path,
        rows: int,
        hooks_see_each_step: bool,
    ):
        self._program, self._states = program, states
        self._checkpoints, self._config = checkpoints, config
        self._model_dir, self._rows = model_dir, rows
        self._hooks_see_each_step = hooks_see_each_step
        self.recoveries = 0
        """How often training was resumed after a failure of a device."""
        self.skipped_steps: int | None = None
        """Steps of the last call that a dynamic loss scale skipped; None: it is not
        dynamic."""
        self._share = Share(*program.partitioner.local_parts)

    def run(
        self,
        value: Any,
        form: Any,
        stop_of: Callable[[int], int | None],
        *,
        again: Callable[[], Any],
        **following: Any,
    ) -> tuple[int, TrainState]:
        """Trains on an input, and resumes when a device fails for a moment.

        Args:
            value: the input, as an input function gives it.
            form: shapes and dtypes of a batch of it: (features, labels).
            stop_of: step at which training begins -> step at which to stop; None: at
                the end of the data.
            again: gives the input anew: where it was seen to its end, and where
                training resumes.
            **following: as `_run` takes them.

        Returns:
            The step and state where training ended.

        Raises:
            ConfigError: nothing says when to stop.
            DataError: the input gives no batch.
            NanLossDuringTrainingError: a loss is not finite; that state is not saved.
        """
        config = self._config
        # Of several processes, none can begin anew while the others wait for it.
        recovers = config.saves and collectives.process_count() == 1
        recovery = Recovery(config.recover if recovers else 0)
        stops: list[int | None] = []

        def stop_once(step: int) -> int | None:
            stops.append(stop_of(step))
            return stops[0]  # Where the first start of this call would have ended.

        while True:
            try:
                return self._run(value, form, stop_once, again=again, **following)
            except Exception as error:
                if not recovery.takes(error, self._checkpoints.latest_step):
                    raise
            self.recoveries += 1
            self._states.drop()
            value = handed(again())

    def _run(
        self,
        value: Any,
        form: Any,
        stop_of: Callable[[int], int | None],
        *,
        again: Callable[[], Any],
        hooks: Sequence[Any] = (),
        listeners: Sequence[Any] = (),
        evaluations: Evaluations | None = None,
        report: loop.Report | None = None,
        progress: Callable[[int, float], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> tuple[int, TrainState]:
        """Trains on an input, once.

        Args:
            value: the input, as an input function gives it.
            form: shapes and dtypes of a batch of it: (features, labels).
            stop_of: step at which training begins -> step at which to stop; None: at
                the end of the data.
            again: gives the input anew, where it was seen to its end.
            hooks: of the caller; those of the spec follow.
            listeners: hear of every save.
            evaluations: of the states on the way.
            report: takes (step, "train", {"loss": ...}), a mean since the last row.
            progress: takes (step, loss), that of the step.
            should_stop: asked between device loops.
        """
        agree_on_form("training", {"features": form[0], "labels": form[1]})
        with self._program.timing("checkpoint"):
            step, state, place = self._states.to_train(*form)
        is_unevaluated = bool(place and place.get(_UNEVALUATED))
        stop = stop_of(step)
        if stop is None and as_source(value) is not None:
            raise ConfigError(
                Diagnostic(
                    "train",
                    "neither steps nor max_steps is given, and arrays are "
                    "repeated without end",
                    expected="one of them",
                    code="steps",
                )
            )
        if stop is not None and step >= stop:
            return step, state
        if evaluations is not None and not evaluations.begin(step):
            return step, state
        if is_unevaluated and evaluations is not None:
            try:
                evaluations(step, state)
            except StopTraining:
                return step, state
            finally:
                self._checkpoints.judge(step, evaluations.metrics)
        batches = self._batches(value, form, step, place, stop, again)
        watcher: Watcher | None = None

        def write(step: int, state: TrainState) -> None:
            evaluated = evaluations is not None and evaluations.step == step
            failed = evaluations is not None and evaluations.is_unfinished
            partial = None if watcher is None else watcher.partial(step)
            with self._program.timing("checkpoint"):
                self._checkpoints.save(
                    step,
                    to_tree(state),
                    data=batches.state(step)
                    | ({_UNEVALUATED: True} if failed else {})
                    | ({} if partial is None else {_LOSSES: partial}),
                    metrics=evaluations.metrics if evaluations and evaluated else None,
                )

        save = Saver(write, listeners)

        def checkpoint(step: int, state: TrainState) -> None:
            # Evaluation goes first: its metrics judge the checkpoint of the same step.
            if evaluations is not None:
                evaluations.at_checkpoint(step, state)
            save(step, state)

        def evaluate(step: int, state: TrainState) -> None:
            assert evaluations is not None
            evaluations(step, state)
            # At another step than this one it could never be kept.
            if self._config.saves and self._checkpoints.is_new_best(
                evaluations.metrics
            ):
                save(step, state)

        def finish(step: int, state: TrainState) -> None:
            if evaluations is not None and not is_asked(should_stop):
                evaluations.finish(step, state)
            if not self._config.saves:
                return
            is_saved_before = save.is_saved(step)
            save.end(step, state)
            if is_saved_before and evaluations is not None and evaluations.step == step:
                self._checkpoints.judge(step, evaluations.metrics)

        def rescue(step: int, state: TrainState, error: Exception) -> None:
            batches.give_back(step)
            if not self._config.saves:
                return
            meet_after_error()
            try:
                save.rescue(step, state)
                self._checkpoints.wait()
            except OutputError as other:
                if isinstance(error, OutputError) and _codes(error) == _codes(other):
                    return  # It is a save that failed already.
                raise
            error.add_note(
                f"The state of step {step} is saved: training resumes there."
            )

        declared = self._program.spec(Mode.TRAIN, *form)
        followers = [*hooks, *declared.training_hooks]
        triggers = self._save_triggers(step, checkpoint)
        if followers and self._hooks_see_each_step:
            triggers.append(EverySteps(1, lambda *_: None))
        if evaluations is not None:
            triggers = [*evaluations.triggers(evaluate), *triggers]
        profile = self._profile()
        if profile is not None:
            triggers.append(profile)
        if self._config.saves and self._config.save_at_start:
            save(step, state)
        self._states.drop()  # The loop uses it up.
        config = self._config
        closers = [batches.close, *([] if profile is None else [profile.close])]
        if progress is None and shows_progress(config):
            bar = Progress(stop, step)
            progress = bar.update
            closers.append(bar.close)

        def finished() -> None:
            # What is being written is finished, also on the way out with an error.
            with self._program.timing("checkpoint"):
                self._checkpoints.wait()

        with closing(*closers, finished), self._giving_up():
            with (
                self._program.timing("train"),
                summaries(config, self._model_dir) as summarize,
            ):
                watcher = Watcher(
                    config,
                    rows=self._rows,
                    report=report,
                    summarize=summarize,
                    partial=place and place.get(_LOSSES),
                )
                result = loop.train(
                    self._program,
                    state,
                    batches,
                    start_step=step,
                    stop_step=stop,
                    watch=watcher,
                    reported=watcher.reported,
                    skipped=watcher.skip,
                    progress=progress,
                    triggers=triggers,
                    finish=finish,
                    rescue=rescue,
                    nan_hint=functools.partial(self._nan_hint, declared),
                    hooks=followers,
                    should_stop=functools.partial(is_asked, should_stop),
                    pace=self._pace(),
                    host_call=declared.host_call,
                    host_call_every=config.tpu_config.host_call_every_n_steps,
                )
            batches.give_back(result.step)
        self._note_skipped(watcher.skipped, result.step - step)
        if config.saves:
            self._states.keep(result.step, result.state)
        if result.data_ended:
            _check_steps(step, result.step, stop)
        return result.step, result.state

    def _note_skipped(self, skipped: list[int] | None, taken: int) -> None:
        """Keeps how many steps were skipped, and warns if that is half of them."""
        self.skipped_steps = None if skipped is None else len(skipped)
        if skipped and 2 * len(skipped) >= taken:
            diagnostic = Diagnostic(
                "loss_scale",
                f"{len(skipped)} of {taken} steps were skipped, the last one step "
                f"{skipped[-1]}: their gradients were not finite",
                hint="A dynamic scale needs a few steps to find its level.",
                code="steps-skipped",
            )
            warnings.warn(SpecflowWarning(diagnostic), stacklevel=2)

    @contextlib.contextmanager
    def _giving_up(self) -> Iterator[None]:
        """Does not wait long for a save of processes of which one may be lost."""
        try:
            yield
        except Exception as error:
            if is_of_device(error):
                self._checkpoints.give_up()
            raise

    def _nan_hint(
        self, spec: TPUEstimatorSpec, step: int, labels: Any, index: int
    ) -> str:
        """Where a run resumes, the rows of a step, and labels that are no class."""
        failed, wrong = "", label_hint(labels, index, spec)
        try:
            self._checkpoints.wait()
        except OutputError as error:
            failed = f" {error}"
        newest = self._checkpoints.latest_step()
        saved = "There is none of an earlier step either."
        if newest is not None:
            saved = f"The newest one is of step {newest}."
        saved += failed
        if (self._model_dir / "config.yaml").exists():  # A run's, for the command line.
            run = shlex.quote(f"run={self._model_dir}")
            command = f"specflow predict {run} --rows-of {step}"
        else:
            command = f"estimator.rows_of_step(source, {step})"
        return f"{saved} Those rows: {command}. {wrong}".rstrip()

    def _profile(self) -> Profile | None:
        window = self._config.profile
        if window is None:
            return None
        return Profile(window.start, window.steps, self._model_dir / "profile")

    def _pace(self) -> Pace | None:
        seconds = self._config.tpu_config.loop_seconds()
        return None if seconds is None else Pace(seconds)

    def _save_triggers(
        self, start: int, save: Callable[[int, TrainState], None]
    ) -> list[Trigger]:
        steps = self._config.save_checkpoints_steps
        seconds = self._config.save_checkpoints_secs
        if steps is not None:
            return [EverySteps(steps, save, start=start)]
        return [] if seconds is None else [EverySeconds(seconds, save)]

    def _batches(
        self,
        value: Any,
        form: Any,
        step: int,
        place: Mapping[str, Any] | None,
        stop: int | None,
        again: Callable[[], Any],
    ) -> TrainInput:
        steps = stacked_steps(self._config, form, stop)
        # Grain gathers the rows of every chunk but the first.
        later = [*(["grain"] if steps != stop else []), "orbax.checkpoint"]
        self._program.on_compiled = functools.partial(_import_ahead, later)
        if self._config.resume_input == "restart":
            place = _START
        batches = as_train_batches(
            value,
            batch_size=self._rows,
            steps_per_chunk=steps,
            seed=self._states.seed,
            shuffle=self._config.shuffle,
            start_step=step,
            place=own_place(place),
            share=self._share,
            batch_rows=jax.tree.leaves(form)[0].shape[0],
            again=again,
        )
        if collectives.process_count() > 1:
            agreed = agree_on_rows("training", value)
            return batches if agreed else TrainTogether(batches)
        return batches


def stacked_steps(config: RunConfig, form: Any, stop: int | None) -> int:
    """How many batches are stacked, for the devices to loop over.

    Args:
        config: says how many are wished for.
        form: shapes and dtypes of one.
        stop: step at which training stops; None: nobody knows.
    """
    batch_bytes = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(form))
    fitting = max(1, _CHUNK_BYTES // max(1, batch_bytes))
    # A loop that is meant in seconds is cut out of long stacks of batches.
    wanted = config.tpu_config.loop_steps() or _TIMED_STACK
    return min(wanted, fitting, stop or wanted)


def _codes(error: OutputError) -> list[str]:
    return [diagnostic.code for diagnostic in error.diagnostics]


def _check_steps(start: int, end: int, stop: int | None) -> None:
    """Tells of a call to train that ended because its input did.

    Raises:
        DataError: it took no step.
    """
    if end == start:
        raise DataError(
            Diagnostic(
                "data",
                f"the training input gave no batch; training stays at step {start}",
                expected="at least one batch",
                hint="An iterator gives its batches once: let input_fn make a new one.",
                code="data-empty",
            )
        )
    if stop is not None and end < stop:
        warnings.warn(
            SpecflowWarning(
                Diagnostic(
                    "train",
                    f"the input ended after {end - start} of {stop - start} steps, at "
                    f"step {end}",
                    hint="The next call to train begins the input anew; "
                    "RunConfig(resume_input='restart') begins it anew in every call.",
                    code="input-ended",
                )
            ),
            stacklevel=2,
        )


def is_asked(should_stop: Callable[[], bool] | None) -> bool:
    """Whether somebody wants training to stop, in any process."""
    return should_stop is not None and collectives.any_process(should_stop())


def _import_ahead(modules: Iterable[str]) -> None:
    """Imports, in the background, what is not needed until after the first step."""

    def load() -> None:
        for module in modules:
            importlib.import_module(module)

    threading.Thread(target=load, name="specflow-imports", daemon=True).start()
