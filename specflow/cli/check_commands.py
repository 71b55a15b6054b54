"""`check`, and the pre-flight check of TPU slices."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from specflow.cli.experiments import (
    compose_experiment,
    print_dropped_fields,
    reporting,
)
from specflow.diagnostics.errors import ConfigError
from specflow.runtime import gc_pause

if TYPE_CHECKING:
    from specflow.preflight import Question

__all__ = ["check", "refuse_misfits"]


def check(arguments: argparse.Namespace) -> int:
    """Traces every mode of an experiment, or compiles it for a TPU slice."""
    if arguments.topology is not None:
        return _preflight(arguments)
    composed = compose_experiment(arguments)
    from specflow import commands

    gc_pause.resume()
    print_dropped_fields(composed)
    with reporting(arguments, composed) as fields:
        fields |= commands.check(composed, fingerprint=arguments.fingerprint)
    return 0


def refuse_misfits(
    arguments: argparse.Namespace, jobs: Sequence[Sequence[str]]
) -> None:
    """Refuses, before any job starts, those that do not fit a slice.

    Args:
        arguments: of the command; `--topology` names the slice.
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
    from specflow.runtime.chips import known

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
    from specflow.preflight import Question
    from specflow.runtime.chips import parse

    return Question(
        str(parse(arguments.topology)),
        jobs,
        config_dirs=arguments.config_dir,
        compiles=not arguments.no_compile,
        **more,
    )
