"""The experiment or run that a command line names, and the report of its result."""

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from specflow.cli.command import usage
from specflow.diagnostics.errors import ConfigError, Diagnostic

if TYPE_CHECKING:
    from specflow.compose import Composed
    from specflow.compose.recorded_python import RecordedRun

__all__ = [
    "compose_experiment",
    "compose_run",
    "print_notes",
    "reporting",
    "run_made_in_python",
]


def compose_experiment(
    arguments: argparse.Namespace, *, reads_data: bool = True
) -> "Composed":
    """The experiment of the overrides.

    Args:
        arguments: of the command.
        reads_data: the command reads the data, and reports missing files with the
            errors of the config.

    Raises:
        ConfigError: the config is invalid.
    """
    from specflow.compose import compose

    return compose(
        arguments.overrides,
        config_dirs=arguments.config_dir,
        reads_data=reads_data,
    )


def compose_run(arguments: argparse.Namespace) -> "Composed":
    """The experiment of `run=DIR`, which must be given.

    Raises:
        ConfigError: no run is named, or its config is invalid.
    """
    named = any(line.startswith("run=") for line in arguments.overrides)
    composed = compose_experiment(arguments) if named else None
    if composed is None or composed.run is None:
        bare = (argument for argument in arguments.overrides if os.path.isdir(argument))
        raise ConfigError(
            Diagnostic(
                "run",
                "is missing",
                expected="run=DIR, the directory of a finished or stopped run",
                hint=next((f"Did you mean run={folder}?" for folder in bare), ""),
                origin="command line",
                code="missing",
            )
        )
    print_notes(composed)
    return composed


def run_made_in_python(arguments: argparse.Namespace) -> "RecordedRun | None":
    """The run of `run=DIR`, its parts imported, if it was made in Python.

    Raises:
        ConfigError: a part cannot be imported, or an option does not apply to the run.
    """
    from specflow.compose.recorded_python import recorded_run

    recorded = recorded_run(
        arguments.overrides, input=arguments.input, config_dirs=arguments.config_dir
    )
    of_configs = {
        "--split": getattr(arguments, "split", "eval") != "eval",
        "--rows-of": getattr(arguments, "rows_of", None) is not None,
        "--labels": getattr(arguments, "labels", False),
    }
    refused: list[str] = []
    kind = instead = ""
    if recorded is not None:
        refused = [name for name, is_given in of_configs.items() if is_given]
        kind = "made in Python: no config names its data"
        instead = "--input MODULE:FUNCTION"
    elif arguments.input is not None:
        refused = ["--input"]
        kind = "made by a config, which names its data"
        instead = "--split, or data=..."
    if refused:
        problem = f"is given, and the run was {kind}"
        raise ConfigError(*(usage(name, problem, instead) for name in refused))
    return recorded


def print_notes(composed: "Composed") -> None:
    """Prints what has no effect.

    Fields dropped because a section selects another component, and options of sweeps.
    """
    from specflow.compose.merge.component_changes import change_messages

    for message in (*change_messages(composed.dropped), *composed.sweep_options):
        print(f"note: {message}", file=sys.stderr)


@contextlib.contextmanager
def reporting(
    arguments: argparse.Namespace,
    composed: "Composed | None",
    *,
    prints_document: bool = True,
) -> Iterator[dict[str, Any]]:
    """Runs a block, adds origins to its errors, and prints its result as JSON.

    Args:
        arguments: of the command.
        composed: its experiment; None: it has no config.
        prints_document: whether `--format json` prints a document on success. What the
            block prints for people goes to standard error then.

    Yields:
        The fields of the document; to be filled.
    """
    fields: dict[str, Any] = {}
    as_json = prints_document and arguments.report == "json"
    redirected = contextlib.redirect_stdout(sys.stderr) if as_json else None
    placing = contextlib.nullcontext()
    if composed is not None:
        from specflow.compose.check.locate import placing_errors

        placing = placing_errors(composed)
    with placing, redirected or contextlib.nullcontext():
        yield fields
    if as_json:
        from specflow.diagnostics.rendering import document
        from specflow.output.json_values import to_plain

        print(document(0, **to_plain(fields)))
