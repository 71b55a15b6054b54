"""`sweep show`, `sweep best`, `sweep report`: results of sweeps; they load no JAX."""

import argparse
import os
import sys
from typing import TYPE_CHECKING

from specflow.cli.command import usage
from specflow.cli.experiments import reporting
from specflow.diagnostics.errors import ConfigError

if TYPE_CHECKING:
    from specflow.sweep.results.sweep_results import SweepResults

__all__ = ["best", "report", "show"]

_FORMATS = {
    "": "table",
    ".csv": "csv",
    ".json": "json",
    ".parquet": "parquet",
    ".txt": "table",
}
"""Suffix of a file -> its format."""


def show(arguments: argparse.Namespace) -> int:
    """Prints the trials of a sweep as a table, or writes them to a file."""
    from specflow.sweep.results.results_table import (
        as_csv,
        as_plain,
        as_text,
        sorted_trials,
        write_parquet,
    )

    format = _format(arguments)
    with reporting(arguments, None) as fields:
        results = _read(arguments)
        trials = sorted_trials(results, arguments.sort, is_reversed=arguments.reverse)
        fields["directory"] = str(results.directory)
        fields["objectives"] = [one.model_dump() for one in results.objectives]
        fields["trials"] = as_plain(results, trials)
        if format == "parquet":
            write_parquet(results, trials, arguments.output)
        elif format != "json":
            text = (
                as_csv(results, trials)
                if format == "csv"
                else f"{as_text(results, trials)}\n"
            )
            _write(text, arguments.output)
    return 0


def best(arguments: argparse.Namespace) -> int:
    """Prints the run directory of the best trial, and its overrides on standard error.

    Standard output is the directory alone, so that `run=$(specflow sweep best DIR)`
    takes it.
    """
    from specflow.compose.read.override_grammar import quote_for_shell
    from specflow.sweep.results.best_trial import best_run, best_trial, judge
    from specflow.sweep.results.results_table import as_plain

    with reporting(arguments, None) as fields:
        results = _read(arguments)
        objective = judge(results, arguments.metric, arguments.direction)
        trial = best_trial(results, objective)
        run = best_run(trial, objective)
        (plain,) = as_plain(results, [trial])
        fields |= {**objective.model_dump(), "run": str(run), "trial": plain}
        value, spread = trial.value(objective.metric), trial.spread
        about = f"trial {trial.number}: {objective.metric} {value:.6g}"
        if trial.runs:
            about += f" ± {spread.get(objective.metric, 0.0):.2g}"
            about += f", the mean of {len(trial.runs)} seeds"
        about += ", at the last evaluation"
        print(about, file=sys.stderr)
        for key in results.keys:
            if key in trial.overrides:
                line = quote_for_shell(f"{key}={trial.overrides[key]}")
                print(f"  {line}", file=sys.stderr)
        print(run)
    return 0


def report(arguments: argparse.Namespace) -> int:
    """Writes the page of a sweep, and prints its path."""
    from pathlib import Path

    from specflow.output.files import write_text
    from specflow.sweep.report.report_page import report_page

    with reporting(arguments, None) as fields:
        results = _read(arguments)
        file = Path(arguments.output or results.directory / "report.html")
        write_text(file, report_page(results))
        fields["report"] = str(file)
        print(file)
        if arguments.tensorboard is not None:
            from specflow.sweep.report.tensorboard_files import write_tensorboard

            count = write_tensorboard(results, arguments.tensorboard)
            fields["tensorboard"] = arguments.tensorboard
            shown = f"tensorboard --logdir {arguments.tensorboard}"
            print(f"{count} runs: {shown}", file=sys.stderr)
    return 0


def _read(arguments: argparse.Namespace) -> "SweepResults":
    """Reads the sweep of a command, and prints what could not be read."""
    from specflow.sweep.results.sweep_results import read_sweep

    results = read_sweep(arguments.directory.removeprefix("output.dir="))
    for note in results.notes:
        print(f"note: {note}", file=sys.stderr)
    return results


def _format(arguments: argparse.Namespace) -> str:
    """The format of the table: as given, or by the suffix of the file.

    Raises:
        ConfigError: a file for Parquet is missing, JSON has one, or the suffix of a
            file is of no format.
    """
    output = arguments.output
    suffix = os.path.splitext(output or "")[1]
    is_json = arguments.report == "json"
    format = "json" if is_json else getattr(arguments, "format", None)
    if format is None and suffix not in _FORMATS:
        expected = "a file that ends in .csv, .parquet or .txt, or a --format"
        raise ConfigError(usage("--output", f"got {output!r}", expected))
    format = format or _FORMATS[suffix]
    if format == "parquet" and output is None:
        expected = "--output FILE, as Parquet is no text"
        raise ConfigError(usage("--format", "parquet needs a file", expected))
    if format == "json" and output is not None:
        problem = "is given, and json is printed to standard output"
        hint = f"specflow sweep show {arguments.directory} --format json > {output}"
        raise ConfigError(usage("--output", problem, hint=f"Type {hint}."))
    return format


def _write(text: str, output: str | None) -> None:
    from pathlib import Path

    from specflow.output.files import write_text
    from specflow.runtime import standard_streams

    if output is not None:
        write_text(Path(output), text)
        return
    with standard_streams.to_the_end():
        print(text, end="")
