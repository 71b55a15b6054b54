"""`specflow train`: a run from its first or newest checkpoint to its result."""

import contextlib
import functools
import os
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax

from specflow.commands.pooled_folds import pool_folds
from specflow.commands.run_data import data_to_train, write_columns
from specflow.commands.run_probe import RunProbe
from specflow.commands.settings_warnings import (
    resolved_experiment,
    settings_warnings,
)
from specflow.commands.signals import stopping
from specflow.commands.swept_trial import Pruning, SharedParts, SweptTrial
from specflow.commands.train_result import TrainResult
from specflow.config.experiment import ExperimentConfig
from specflow.config.plugins.components import plugins_of
from specflow.config.resolved_epochs import steps_of_epochs
from specflow.data import Data
from specflow.diagnostics.errors import CheckpointError
from specflow.diagnostics.rendering import line
from specflow.distributed import collectives, failure, launcher_link
from specflow.estimator import Estimator, declared_specs
from specflow.estimator.synchronized_inputs import agree_on_rows
from specflow.executor.device_loops import DeviceLoops, run_alone, until_turn
from specflow.exploration.mixture_parts import mixture_note
from specflow.lifecycle import WarmPlan
from specflow.output import (
    AsyncReporters,
    Progress,
    RunDirectory,
    default_run_directory,
    draw_curves,
    existing_run,
    open_run,
    read_rows,
    rerun_directory,
)
from specflow.output.report.matrix_names import class_names_of
from specflow.output.tracking.tracker import Tracker
from specflow.reports.open_reporters import check_packages, open_reporters_of
from specflow.runtime import gc_pause, standard_streams
from specflow.runtime.closing import closing
from specflow.runtime.filesystem import check_output_folder, expanded
from specflow.sweep.outcomes import pooled_line

if TYPE_CHECKING:
    from specflow.compose import Composed

__all__ = ["Stopped", "train", "train_loops"]


class Stopped(Exception):
    """Training was stopped by a signal; its state is saved."""

    shared = True
    """Raised by all processes at once: process 0 reports it."""

    def __init__(self, signal: int, message: str):
        super().__init__(message)
        self.exit_code = 128 + signal


def train(composed: "Composed") -> dict[str, Any]:
    """Trains and evaluates an experiment, and writes its run directory.

    Args:
        composed: the experiment, with the origin of each value.

    Returns:
        `result.json`: step, eval, timing; and the directory of the run.

    Raises:
        SpecflowError: the experiment, the data or the disk has a problem.
        Stopped: a signal arrived; the state is saved.
    """
    return run_alone(train_loops(composed))


def train_loops(
    composed: "Composed", trial: SweptTrial | None = None
) -> DeviceLoops[dict[str, Any]]:
    """Yields the device loops of `train`, and is sent their results.

    Args:
        composed: the experiment, with the origin of each value.
        trial: what it shares with the other trials of a sweep; None: it is no trial.

    Returns:
        `result.json`: step, eval, timing; and the directory of the run.

    Raises:
        SpecflowError: the experiment, the data or the disk has a problem.
        Stopped: a signal arrived; the state is saved.
    """
    started, config = time.perf_counter(), composed.config
    shared = None if trial is None else trial.shared
    is_ahead = trial is not None and trial.is_ahead
    if is_ahead and not (shared and _can_be_prepared(config, shared)):
        started += yield from until_turn()
        is_ahead = False
    data = data_to_train(composed, shared)
    reporter_configs = (
        config.output.reporters
        if trial is None
        else trial.reporters(config, composed.origins)
    )
    check_packages(reporter_configs)
    directory = collectives.on_process_zero(lambda: str(_directory(composed)))
    before = shared and shared.estimator
    try:
        estimator = Estimator.from_config(
            config,
            data=data,
            model_dir=directory,
            earlier=before,
        )
        if shared is not None:
            shared.estimator = estimator
        config = resolved_experiment(estimator)
        estimator.check_labels()
        specs = declared_specs(config, data)
        probe = RunProbe.of_environment()
        if probe is not None:
            specs = probe.attach(estimator, *specs)
        if collectives.process_count() > 1:
            # Before the first step, not at the first evaluation.
            agree_on_rows("training", data.train)
            for name, rows in data.evaluated().items():
                set_name = "evaluation" if name == "eval" else f"evaluation set {name}"
                agree_on_rows(set_name, rows)
        warm_plan = estimator.warm_plan(data.train)
        if not collectives.on_process_zero(lambda: _is_trained(estimator, config)):
            collectives.on_process_zero(lambda: estimator.check_disk_space(data.train))
        if is_ahead:
            estimator.trace_ahead(data.train, max_steps=config.loop.steps)
            started += yield from until_turn()
            if before is not None:
                before.drop_state()
    except BaseException:
        with contextlib.suppress(OSError):
            Path(directory).rmdir()  # Still empty: a run that cannot start leaves none.
        raise
    check = functools.partial(estimator.check_checkpoint, data.train)
    with _opened(composed, directory, check) as run, contextlib.ExitStack() as stack:
        # Process 0 has the lock, and is the only one to write files.
        writes = run.lock is not None
        start_step = collectives.on_process_zero(estimator.latest_step) or 0
        launcher_link.report(directory=str(run.path.absolute()), start=start_step)
        if writes:
            write_columns(run, data)
            _announce(composed, data, run, estimator, start_step, warm_plan)
        reporters = AsyncReporters()
        stack.enter_context(_finishing(reporters))
        estimator.checkpoints.before_complete.append(reporters.flush)
        hidden = None if writes else stack.enter_context(open(os.devnull, "w"))
        progress = Progress(config.loop.steps, start_step, hidden)
        compare = functools.cache(lambda: _compare_program(composed, run, estimator))

        def open_reporters(step: int) -> dict[str, Tracker]:
            # Not earlier: they remove the rows beyond a step that is restored now.
            if not writes:
                return {}
            opened = open_reporters_of(composed, reporter_configs, run, step)
            reporters.open(opened)
            return {
                f"tracker {each.name}": each
                for each in opened
                if isinstance(each, Tracker)
            }

        def update(step: int, loss: float) -> None:
            gc_pause.resume()  # Training has begun.
            if composed.run is not None and writes:
                compare()
            failure.record_step(step)
            progress.update(step, loss)
            if probe is not None:
                probe.after(step, run.checkpoints)

        with (
            closing(progress.close, reporters.close, estimator.close),
            stopping(progress.note) as stop_request,
            warnings.catch_warnings(),
        ):
            # Printed at the end, with the export.
            warnings.filterwarnings("ignore", message="Exported for batches")
            # Printed above, with the table.
            warnings.filterwarnings("ignore", message="warm start: ")
            pruning = Pruning(trial, config.loop.steps)
            metrics, _ = yield from estimator.train_and_evaluate_loops(
                *specs,
                on_start=open_reporters,
                report=pruning.after(reporters.write),
                progress=update,
                should_stop=lambda: stop_request() or pruning.is_pruned,
            )
            best = estimator.checkpoints.best()
            is_over = _is_trained(estimator, config) or estimator.stopped_early
            pooled = (
                pool_folds(composed, estimator, data, directory)
                if collectives.on_process_zero(lambda: bool(is_over))
                and not pruning.is_pruned
                else None
            )
        if probe is not None:
            probe.finish()
        step = metrics["global_step"]
        signal = max(collectives.gather(stop_request.signal or 0))
        if signal and not pruning.is_pruned:  # It would not be judged again.
            raise Stopped(
                signal,
                f"stopped at step {step} of {config.loop.steps}; the same "
                f"command with output.dir={run.path} resumes there",
            )
        if not writes:
            collectives.on_process_zero(lambda: None)  # Wait until all is written.
            return {"step": step, "directory": str(run.path)}
        run.add_to_manifest(
            fingerprint=estimator.program.fingerprint(),
            programs=estimator.program.fingerprints(),
            program_inputs=estimator.program.inputs(),
        )
        if "plots" in reporter_configs:
            draw_curves(read_rows(run.metrics), run.curves)
        result = TrainResult.of(
            estimator,
            config,
            run,
            metrics,
            start_step=start_step,
            best=best,
            is_pruned=pruning.is_pruned,
            total_s=time.perf_counter() - started,
        )
        result.write(run)
        if note := result.note(config):
            print(f"note: {note}", file=sys.stderr)
        with standard_streams.to_the_end():
            result.print(class_names_of(run.columns))
            if pooled is not None:
                print(f"\n{pooled_line(pooled)}")
            print(f"\n{run.path}")
        collectives.on_process_zero(lambda: None)
    plain = {**result.to_plain(), "directory": str(run.path)}
    return plain if pooled is None else {**plain, "pooled": pooled}


def _can_be_prepared(config: ExperimentConfig, shared: SharedParts) -> bool:
    """Returns whether a trial needs nothing that the one before may still write."""
    return config.warm_start is None and shared.has_data(config.data)


def _is_trained(estimator: Estimator, config: ExperimentConfig) -> bool:
    """Returns whether the newest checkpoint has all the steps."""
    return (estimator.latest_step() or 0) >= config.loop.steps


def _announce(
    composed: "Composed",
    data: Data,
    run: RunDirectory,
    estimator: Estimator,
    step: int,
    warm_plan: WarmPlan | None,
) -> None:
    """Records the devices, and prints the headline, the warm start and warnings."""
    run.add_to_manifest(
        backend=jax.default_backend(),
        devices={
            "kind": jax.devices()[0].device_kind,
            "count": jax.device_count(),
        },
        processes=collectives.process_count(),
        train_steps=estimator.experiment and estimator.experiment.loop.steps,
        mesh=dict(estimator.partitioner.mesh.shape),
    )
    if default := _default_experiment(composed):
        print(default, file=sys.stderr)
    print(_headline(composed.config, run, estimator, step), file=sys.stderr)
    config = estimator.experiment or composed.config
    for note in (
        mixture_note(data),
        _epochs_note(estimator),
        _batch_size_note(config, estimator, step),
    ):
        if note:
            print(f"note: {note}", file=sys.stderr)
    diagnostics = [
        *settings_warnings(composed, data, estimator),
        *estimator.program.warnings(),
    ]
    if warm_plan is not None:
        print(warm_plan, file=sys.stderr)
        diagnostics += warm_plan.warnings
        run.add_to_manifest(warm_start=warm_plan.to_plain())
        _compare_warm_start(composed, warm_plan)
    for diagnostic in diagnostics:
        print(line(diagnostic, kind="warning"), file=sys.stderr)


def _epochs_note(estimator: Estimator) -> str | None:
    """A line with the steps of `loop.epochs`."""
    config, length = estimator.experiment, estimator.epoch_length
    if config is None or length is None or config.loop.epochs is None:
        return None
    return steps_of_epochs(config, length)


def _batch_size_note(
    config: ExperimentConfig, estimator: Estimator, step: int
) -> str | None:
    """A line for a run that is resumed with another batch size."""
    rows, batch_size = None, config.loop.batch_size
    if step:
        # A damaged checkpoint is reported when it is restored.
        with contextlib.suppress(CheckpointError):
            place = estimator.checkpoints.data_position(step).get("input") or {}
            rows = place.get("rows")
    if rows in (None, step * batch_size):
        return None
    ends = "loop.train_steps, schedules" if config.loop.epochs is None else "Schedules"
    return (
        f"{step} steps saw {rows} rows, not of loop.batch_size={batch_size} each; the "
        f"data resumes after them. {ends} and triggers count steps"
    )


def _directory(composed: "Composed") -> str | Path:
    config = composed.config
    if config.output.dir:
        check_output_folder(config.output.dir, "output.dir", code="run-directory")
        return expanded(config.output.dir, "output.dir")
    if composed.run is None:
        return default_run_directory(config.name)
    return rerun_directory(composed.run)


def _opened(
    composed: "Composed", directory: str, check: Callable[[], None]
) -> RunDirectory:
    """Opens the run directory: process 0 locks it, the others know its path."""
    config, opened = composed.config, []

    def open_on_process_zero() -> bool:
        run = open_run(
            directory,
            composed.yaml(),
            origins=composed.origins,
            argv=sys.argv,
            overrides=composed.overrides,
            accept_changes=config.output.on_change == "accept",
            plugins={
                key: (plugin.package, plugin.version)
                for key, plugin in plugins_of(config).items()
            },
            check=check,
            config_dirs=composed.config_dirs,
        )
        opened.append(run)
        return run.resumed

    resumed = collectives.on_process_zero(open_on_process_zero)
    return opened[0] if opened else RunDirectory(Path(directory), resumed=resumed)


def _compare_program(
    composed: "Composed", run: RunDirectory, estimator: Estimator
) -> None:
    """Reports whether a rerun compiled the same program as its base run."""
    manifest = existing_run(composed.run or "").load_manifest()
    programs, inputs = manifest.get("programs", {}), manifest.get("program_inputs", {})
    base, program = programs.get("train"), estimator.program.fingerprints()["train"]
    if base is None:
        return
    same = base == program
    same_inputs = same and inputs.get("train") == estimator.program.inputs()["train"]
    run.add_to_manifest(
        rerun={
            "of": str(composed.run),
            "same_program": same,
            "same_inputs": same_inputs,
        }
    )
    relation = "the same program as" if same else "another program than"
    others = ", with other hyperparameters" if same and not same_inputs else ""
    print(f"note: {relation} {composed.run}{others} (train {program})", file=sys.stderr)


def _compare_warm_start(composed: "Composed", warm_plan: WarmPlan) -> None:
    """Reports a rerun whose initial values differ from those of its base run."""
    if composed.run is None:
        return
    base = existing_run(composed.run).load_manifest().get("warm_start") or {}
    if base.get("digest", warm_plan.digest) != warm_plan.digest:
        print(
            f"note: {composed.run} started from other values, those of {base['path']} "
            "at that time",
            file=sys.stderr,
        )


@contextlib.contextmanager
def _finishing(reporters: AsyncReporters) -> Iterator[None]:
    """Lets reporters finish once the result is written, or training has ended."""
    try:
        yield
    except BaseException as error:
        with contextlib.suppress(Exception):
            reporters.finish("stopped" if isinstance(error, Stopped) else "failed")
        raise
    reporters.finish("finished")


def _default_experiment(composed: "Composed") -> str:
    """A line that names the default experiment; empty if the user chose one."""
    is_chosen = (
        composed.run is not None
        or composed.choices.get("experiment") not in (None, "null")
        or not composed.choice_origins.get("data", "").startswith("conf/config.yaml:")
        or any(re.match(r"[+~]*data\b", override) for override in composed.overrides)
    )
    if is_chosen:
        return ""
    data, model = composed.choices["data"], composed.choices["model"]
    return (
        f"note: no experiment=NAME was given: training the default (data={data} "
        f"model={model})"
    )


def _headline(
    config: ExperimentConfig, run: RunDirectory, estimator: Estimator, step: int
) -> str:
    mesh = estimator.partitioner.mesh
    axes = " x ".join(f"{name} {size}" for name, size in mesh.shape.items() if size > 1)
    count = estimator.parameter_count()
    devices = f"{jax.default_backend()} {axes or 'single device'}"
    verb = f"resumes from step {step}" if step else "starts"
    return f"{config.name} {verb}: {count:,} parameters, {devices}, {run.path}"
