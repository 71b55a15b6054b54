"""`train`, also as a sweep, and `launch`."""

import argparse
import contextlib
import dataclasses
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from specflow.cli.check_commands import refuse_misfits
from specflow.cli.command import COMPUTING, usage
from specflow.cli.experiments import (
    compose_experiment,
    print_notes,
    reporting,
)
from specflow.cli.failures import report_failure
from specflow.diagnostics.errors import ConfigError, did_you_mean, nearest
from specflow.runtime import standard_streams

if TYPE_CHECKING:
    from specflow.compose import Composed

__all__ = ["launch", "train"]


def train(arguments: argparse.Namespace) -> int:
    """Trains an experiment, or each trial of a sweep."""
    if arguments.multirun:
        return _sweep(arguments)
    composed = compose_experiment(arguments)
    if arguments.topology is not None:
        refuse_misfits(arguments, [composed.overrides])
    with reporting(arguments, composed) as fields:
        fields["result"] = _train(composed)
    return 0


def launch(arguments: argparse.Namespace) -> int:
    """Runs a command as several processes on this machine."""
    from specflow.distributed.launch import launch

    command, count = arguments.command, arguments.processes
    name = command[0] if command else "nothing"
    diagnostics = []
    if count < 1:
        diagnostics.append(usage("--processes", f"got {count}", "1 or more"))
    if arguments.restarts < 0:
        problem = f"got {arguments.restarts}"
        diagnostics.append(usage("--restarts", problem, "0 or more"))
    if arguments.restarts and {"-m", "--multirun"} & set(command):
        problem = "cannot restart a sweep: each trial has a directory of its own"
        hint = "Launch the trials one by one."
        diagnostics.append(usage("--restarts", problem, hint=hint))
    if name not in COMPUTING:
        expected = f"a command that computes, after --: {', '.join(COMPUTING)}"
        hint = did_you_mean(nearest(name, COMPUTING))
        diagnostics.append(usage("launch", f"got {name}", expected, hint))
    if diagnostics:
        raise ConfigError(*diagnostics)
    return launch(command, processes=count, restarts=arguments.restarts)


def _train(composed: "Composed") -> dict[str, Any]:
    from specflow import commands

    if composed.run is not None:
        from specflow.compose.rerun import notes

        for note in notes(composed):
            print(f"note: {note}", file=sys.stderr)
    print_notes(composed)
    return commands.train(composed)


def _sweep(arguments: argparse.Namespace) -> int:
    from specflow.diagnostics.rendering import document, line
    from specflow.runtime import project_file
    from specflow.sweep.failed_trials import failed_trials
    from specflow.sweep.hydra_jobs import sweep
    from specflow.sweep.outcomes import pooled_line, records, table

    as_json = arguments.report == "json"
    project = project_file.active()
    worker = (sys.executable, "-m", "specflow.cli.trial_worker")
    redirected = contextlib.redirect_stdout(sys.stderr) if as_json else None
    with redirected or contextlib.nullcontext():
        outcomes = sweep(
            arguments.overrides,
            _train_job,
            config_dirs=arguments.config_dir,
            vet=None
            if arguments.topology is None
            else lambda jobs: refuse_misfits(arguments, jobs),
            check=_refuse_other_run,
            worker_command=worker
            if project is None
            else (*worker, str(project.folder)),
        )
        with standard_streams.to_the_end():
            print(table(outcomes))
            for outcome in outcomes:
                if pooled := (outcome.result or {}).get("pooled"):
                    print(f"\n{pooled_line(pooled)}")
        if (saved := _save_trials(records(outcomes))) is not None:
            with standard_streams.to_the_end():
                print(f"\n{saved}")
    status, failed = failed_trials(outcomes, saved and saved.parent)
    if as_json:
        from specflow.output.json_values import to_plain

        trials = [dataclasses.asdict(outcome) for outcome in outcomes]
        print(document(status, [failed] if failed else [], trials=to_plain(trials)))
    elif failed:
        print(line(failed), file=sys.stderr)
    return status


def _train_job(composed: "Composed") -> dict[str, Any]:
    from specflow.distributed import failure

    try:
        return _train(composed)
    except Exception as error:
        if failure.is_listening() and not getattr(error, "shared", False):
            # The other processes still run this job: no process starts the next one.
            report_failure(error, as_json=False)
        raise


def _refuse_other_run(composed: "Composed", directory: str) -> None:
    """Refuses, before any trial starts, one whose directory has a run of another."""
    from specflow.runtime.filesystem import expanded

    if composed.config.output.on_change == "accept":
        return
    if expanded(directory, "output.dir").exists():
        from specflow.output.run.run_directory import check_resumable

        check_resumable(directory, composed.yaml(), composed.origins)


def _save_trials(rows: Sequence[dict[str, Any]]) -> Any:
    from specflow.sweep.trials_table import save_trials

    return save_trials(rows)
