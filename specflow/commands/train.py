"""`specflow train`: a run, from its first step or where it stopped, to its result."""

import contextlib
import functools
import os
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax

from specflow.commands import jax_session
from specflow.commands.signals import stopping
from specflow.config.base import Component
from specflow.config.experiment import ExperimentConfig
from specflow.config.plugins.components import plugins_of
from specflow.contract import Mode
from specflow.data import build_data
from specflow.diagnostics.errors import ConfigError, Diagnostic
from specflow.diagnostics.rendering import line
from specflow.distributed import collectives, failure, launcher_link
from specflow.estimator import TPUEstimator, declared_specs
from specflow.estimator.synchronized_inputs import agree_on_rows
from specflow.lifecycle import Made, WarmPlan, newest_export
from specflow.output import (
    AsyncReporters,
    Best,
    JsonLines,
    Progress,
    Reporter,
    RunDirectory,
    TensorBoard,
    default_run_directory,
    draw_curves,
    efficiency,
    existing_run,
    hparams_of,
    open_run,
    print_result,
    read_rows,
    rerun_directory,
)
from specflow.runtime import gc_pause, standard_streams
from specflow.runtime.closing import closing
from specflow.runtime.filesystem import check_output_folder, expanded

if TYPE_CHECKING:
    from specflow.compose import Composed

__all__ = ["Stopped", "train"]


_ENDED_BEFORE = (
    "note: nothing was trained: this run has ended early before. It goes on with more "
    "patience, or with loop.early_stopping=null"
)


class Stopped(Exception):
    """Training was stopped by a signal; its state is saved."""

    shared = True
    """By all processes at once: the first one says so."""

    def __init__(self, signal: int, message: str):
        super().__init__(message)
        self.exit_code = 128 + signal


def train(composed: "Composed") -> dict[str, Any]:
    """Trains and evaluates an experiment, and writes everything down.

    Args:
        composed: the experiment, and who set each value.

    Returns:
        `result.json`: step, eval, timing; and the directory of the run.

    Raises:
        SpecflowError: what is wrong with the experiment, the data or the disk.
        Stopped: a signal came; the state is saved.
    """
    started, config = time.perf_counter(), composed.config
    jax_session.start(composed)
    data = build_data(config.data)
    directory = collectives.on_process_zero(lambda: str(_directory(composed)))
    try:
        estimator = TPUEstimator.from_config(config, data=data, model_dir=directory)
        estimator.check_labels()
        specs = declared_specs(config, data)
        if collectives.process_count() > 1:
            # Before the first step, and not when the first evaluation finds out.
            for split, rows in (("training", data.train), ("evaluation", data.eval)):
                agree_on_rows(split, rows)
        warm = estimator.warm_plan(data.train)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(directory).rmdir()  # Empty still: what cannot run leaves no trace.
        raise
    check = functools.partial(estimator.check_checkpoint, data.train)
    with _opened(composed, directory, check) as run, contextlib.ExitStack() as stack:
        # What is one is written by one: by the process that has the directory.
        writes = run.lock is not None
        device = jax.devices()[0]
        step = collectives.on_process_zero(estimator.latest_step) or 0
        launcher_link.report(directory=str(run.path.absolute()), start=step)
        if writes:
            run.add_to_manifest(
                backend=jax.default_backend(),
                devices={"kind": device.device_kind, "count": jax.device_count()},
                processes=collectives.process_count(),
                mesh=dict(estimator.partitioner.mesh.shape),
            )
            print(_headline(config, run, estimator, step), file=sys.stderr)
            config_warnings = estimator.program.warnings()
            if warm is not None:
                print(warm, file=sys.stderr)
                config_warnings += warm.warnings
                run.add_to_manifest(warm_start=warm.to_plain())
                _tell_warm_start(composed, warm)
            for warning in config_warnings:
                print(line(warning, kind="warning"), file=sys.stderr)
        reporters = AsyncReporters(_reporters(composed, run, step) if writes else [])
        unseen = None if writes else stack.enter_context(open(os.devnull, "w"))
        progress = Progress(config.loop.train_steps, step, unseen)

        begun = functools.cache(lambda: _tell_program(composed, run, estimator))

        def update(step: int, loss: float) -> None:
            gc_pause.resume()  # Training has begun.
            if composed.run is not None and writes:
                begun()
            failure.reached(step)
            progress.update(step, loss)

        with (
            closing(progress.close, reporters.close, estimator.close),
            stopping(progress.note) as asked,
            warnings.catch_warnings(),
        ):
            # Said at the end, with the export that it is about.
            warnings.filterwarnings("ignore", message="Exported for batches")
            # Printed above, with the table.
            warnings.filterwarnings("ignore", message="warm start: ")
            metrics, _ = estimator.train_and_evaluate(
                *specs,
                report=reporters.write,
                progress=update,
                should_stop=asked,
            )
            best = estimator.checkpoints.best()
        began, step = step, metrics["global_step"]
        if signalled := max(collectives.gather(asked.signal or 0)):
            raise Stopped(
                signalled,
                f"stopped at step {step} of {config.loop.train_steps}; the same "
                f"command with output.dir={run.path} goes on from there",
            )
        if not writes:
            collectives.on_process_zero(lambda: None)  # Until everything is written.
            return {"step": step, "directory": str(run.path)}
        run.add_to_manifest(
            fingerprint=estimator.program.fingerprint(),
            programs=estimator.program.fingerprints(),
        )
        if "plots" in config.output.reporters:
            draw_curves(read_rows(run.metrics), run.curves)
        timing = {**estimator.timing, "total": time.perf_counter() - started}
        lowered = estimator.program.lowered.get(Mode.TRAIN)
        efficient = efficiency(
            timing,
            total_s=timing["total"],
            steps=step - began,
            flops=None if lowered is None else lowered.model_flops,
            kind=device.device_kind,
            devices=estimator.partitioner.mesh.size,
        )
        evaluation = {name: v for name, v in metrics.items() if name != "global_step"}
        stopped, exports = estimator.stopped_early, _exports(config, run)
        if stopped is not None and step == began:
            print(_ENDED_BEFORE, file=sys.stderr)
        elif step == began:
            print(
                f"note: nothing was trained: this run is at step {step}, and "
                f"loop.train_steps is {config.loop.train_steps}. It goes on with more",
                file=sys.stderr,
            )
        skipped = estimator.skipped_steps
        skips = {} if skipped is None else {"skipped_steps": skipped}
        recovered = estimator.recoveries
        skips |= {"recoveries": recovered} if recovered else {}
        bests = {} if best is None else {"best": best._asdict()}
        plain = {name: made.to_json(run.path) for name, made in exports.items()}
        run.write_result(
            step,
            evaluation=evaluation,
            timing=timing,
            efficiency=efficient.plain(),
            stopped_early=stopped,
            exports=plain,
            **bests,
            **skips,
        )
        facts = efficient.facts() | _facts(run, stopped, best, exports)
        if recovered:
            facts["recovered"] = f"{recovered}x, from the newest checkpoint"
        if skipped:
            facts["skipped"] = (
                f"{skipped:,} of {step - began:,} steps, by the loss scale"
            )
        with standard_streams.to_the_end():
            print_result(step, evaluation=evaluation, timing=timing, facts=facts)
            print(f"\n{run.path}")
        collectives.on_process_zero(lambda: None)
    return {
        "step": step,
        "eval": evaluation,
        "timing": timing,
        "stopped_early": stopped,
        "exports": plain,
        **bests,
        **skips,
        "directory": str(run.path),
    }


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
    """The run directory; process 0 has it to write, others to know where it is."""
    config, opened = composed.config, []

    def open_it() -> bool:
        run = open_run(
            directory,
            composed.yaml(),
            origins=composed.origins,
            argv=sys.argv,
            overrides=composed.overrides,
            accept_changes=config.output.on_change == "accept",
            plugins={
                key: (found.package, found.version)
                for key, found in plugins_of(config).items()
            },
            check=check,
            config_dirs=composed.config_dirs,
        )
        opened.append(run)
        return run.resumed

    resumed = collectives.on_process_zero(open_it)
    return opened[0] if opened else RunDirectory(Path(directory), resumed=resumed)


def _tell_program(
    composed: "Composed", run: RunDirectory, estimator: TPUEstimator
) -> None:
    """Says whether a run that is run again is the same program."""
    programs = existing_run(composed.run or "").load_manifest().get("programs", {})
    former, train = programs.get("train"), estimator.program.fingerprints()["train"]
    if former is None:
        return
    same = former == train
    run.add_to_manifest(rerun={"of": str(composed.run), "same_program": same})
    said = "the same program as" if same else "another program than"
    print(f"note: {said} {composed.run} (train {train})", file=sys.stderr)


def _tell_warm_start(composed: "Composed", warm: WarmPlan) -> None:
    """Says where a run that is run again begins with other values."""
    if composed.run is None:
        return
    former = existing_run(composed.run).load_manifest().get("warm_start") or {}
    if former.get("digest", warm.digest) != warm.digest:
        print(
            f"note: {composed.run} began with other values, those of {former['path']} "
            "at that time",
            file=sys.stderr,
        )


def _exports(config: ExperimentConfig, run: RunDirectory) -> dict[str, Made]:
    """Of each exporter, its newest export."""
    folders = {name: run.path / "export" / name for name in config.output.exporters}
    found = {name: newest_export(folder) for name, folder in folders.items()}
    return {name: made for name, made in found.items() if made is not None}


def _facts(
    run: RunDirectory,
    stopped: str | None,
    best: Best | None,
    exports: Mapping[str, Made],
) -> dict[str, str]:
    """What came of early stopping, of the best and of the exporters, for the table."""
    facts = {} if stopped is None else {"stopped early": stopped}
    if best is not None:
        facts["best checkpoint"] = (
            f"step {best.step:,}, {best.metric} {best.value:.4g}; --step best takes it"
        )
    for name, made in exports.items():
        note = f"\n{made.note}" if made.note else ""
        facts[f"{name} export"] = (
            f"{made.path.relative_to(run.path)}, of step {made.step:,}{note}"
        )
    return facts


def _reporters(composed: "Composed", run: RunDirectory, step: int) -> list[Any]:
    config = composed.config
    reporters: list[Any] = [JsonLines(run.metrics, resumed_at=step)]
    with contextlib.ExitStack() as opened:
        opened.callback(reporters[0].close)
        for one in config.output.reporters:
            if one == "tensorboard":
                hparams = hparams_of(composed.tree)
                reporters.append(
                    TensorBoard(run.tensorboard, resumed_at=step, hparams=hparams)
                )
            elif isinstance(one, Component):
                reporters.append(_brought(one, run, step))
            else:
                continue
            opened.callback(reporters[-1].close)
        opened.pop_all()  # What reports from here on closes them.
    return reporters


def _brought(config: Component, run: RunDirectory, step: int) -> Reporter:
    """The reporter of a plugin.

    Raises:
        ConfigError: it is none.
    """
    made = config(directory=run.path, resumed_at=step)
    if all(hasattr(made, name) for name in ("path", "write", "close")):
        return made
    raise ConfigError(
        Diagnostic(
            "output.reporters",
            f"{config.path} returned {type(made).__qualname__}",
            expected="a reporter: path, write(step, split, metrics) and close()",
            code="target-result",
        )
    )


def _headline(
    config: ExperimentConfig, run: RunDirectory, estimator: TPUEstimator, step: int
) -> str:
    mesh = estimator.partitioner.mesh
    axes = " x ".join(f"{name} {size}" for name, size in mesh.shape.items() if size > 1)
    count = estimator.parameter_count()
    where = f"{jax.default_backend()} {axes or 'single device'}"
    verb = f"goes on from step {step}" if step else "starts"
    return f"{config.name} {verb}: {count:,} parameters, {where}, {run.path}"
