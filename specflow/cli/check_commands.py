"""`check`, the pre-flight check of TPUs and GPUs, and `resume-check`."""

import argparse
import contextlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from specflow.cli.command import usage
from specflow.cli.experiments import (
    compose_experiment,
    print_notes,
    reporting,
)
from specflow.diagnostics.errors import ConfigError, Diagnostic
from specflow.runtime import gc_pause

if TYPE_CHECKING:
    from specflow.preflight import Question

__all__ = ["check", "refuse_misfits", "resume_check"]


def check(arguments: argparse.Namespace) -> int:
    """Traces every mode of an experiment, or compiles it for TPUs or GPUs."""
    if arguments.topology is not None:
        return _preflight(arguments)
    composed = compose_experiment(arguments)
    from specflow import commands

    gc_pause.resume()
    print_notes(composed)
    with reporting(arguments, composed) as fields:
        fields |= commands.check(composed, fingerprint=arguments.fingerprint)
    return 0


def resume_check(arguments: argparse.Namespace) -> int:
    """Interrupts and resumes a copy of an experiment, and compares."""
    _refuse_python_run(arguments)
    if arguments.processes < 1:
        problem = f"got {arguments.processes}"
        raise ConfigError(usage("--processes", problem, "1 or more"))
    composed = compose_experiment(arguments)
    from specflow.config.resume_plan import ResumePlan

    plan = ResumePlan.of(composed.config, arguments.steps, arguments.at)
    from specflow import commands  # Loads JAX.

    gc_pause.resume()
    print_notes(composed)
    as_json = arguments.report == "json"
    with reporting(arguments, composed, prints_document=False):
        hidden = contextlib.redirect_stdout(sys.stderr) if as_json else None
        with hidden or contextlib.nullcontext():
            comparison = commands.resume_check(
                composed,
                plan=plan,
                signal=arguments.signal,
                output=arguments.output,
                processes=arguments.processes,
                config_dirs=arguments.config_dir,
            )
    from specflow.diagnostics.rendering import document, line

    diagnostics = [] if comparison.difference is None else [comparison.difference]
    status = 1 if diagnostics else 0
    if as_json:
        print(document(status, diagnostics, **comparison.to_plain()))
        return status
    for diagnostic in diagnostics:
        print(line(diagnostic), file=sys.stderr)
    return status


def _refuse_python_run(arguments: argparse.Namespace) -> None:
    """Refuses a run made in Python: no command can train it.

    Raises:
        ConfigError: `run=DIR` names one.
    """
    from specflow.compose.recorded_python import recorded_run

    if recorded_run(arguments.overrides, config_dirs=arguments.config_dir) is None:
        return
    raise ConfigError(
        Diagnostic(
            "run",
            "was made in Python, and no command can train it again",
            expected="a run of a config",
            hint="specflow.testing.check_resume(make_estimator, input_fn) checks it.",
            origin="command line",
            code="resume-check",
        )
    )


def refuse_misfits(
    arguments: argparse.Namespace, jobs: Sequence[Sequence[str]]
) -> None:
    """Refuses, before any job starts, those that do not fit a topology.

    Args:
        arguments: of the command; `--topology` names it.
        jobs: the overrides of each.

    Raises:
        ConfigError: one does not fit.
    """
    from specflow.preflight import misfits

    diagnostics = misfits(_question(arguments, jobs), numbered=arguments.multirun)
    if diagnostics:
        raise ConfigError(*diagnostics)


def _preflight(arguments: argparse.Namespace) -> int:
    """Runs `check --topology`: a child process compiles; this one loads no JAX."""
    from specflow.preflight import as_text, ask, shortfall
    from specflow.runtime.topologies import known

    if arguments.topology == "list":
        print(known())
        return 0
    question = _question(arguments, [arguments.overrides], seconds=arguments.budget)
    composed = compose_experiment(arguments)
    with reporting(arguments, composed, prints_document=False):
        (report,) = ask(question)
    diagnostics = shortfall(report)
    if arguments.report == "json":
        from specflow.diagnostics.rendering import document

        status = ConfigError.exit_code if diagnostics else 0
        print(document(status, diagnostics, **report))
        return status
    print(as_text(report))
    if diagnostics:
        raise ConfigError(*diagnostics)
    return 0


def _question(
    arguments: argparse.Namespace, jobs: Sequence[Sequence[str]], **more: Any
) -> "Question":
    from specflow.preflight import Question, memory_limit
    from specflow.runtime.topologies import parse

    topology = parse(arguments.topology)
    memory_limit(topology)  # Refuses a wrong environment.
    return Question(
        str(topology),
        jobs,
        config_dirs=arguments.config_dir,
        compiles=not arguments.no_compile,
        **more,
    )
