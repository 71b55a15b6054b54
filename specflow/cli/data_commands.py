"""`data show`, `data stats`, `data check`, `data synthesize`: what a model is fed."""

import argparse
import sys
from typing import TYPE_CHECKING, Any

from specflow.cli.command import usage
from specflow.cli.experiments import compose_experiment, print_notes, reporting
from specflow.diagnostics.errors import ConfigError, DataError
from specflow.runtime import gc_pause

if TYPE_CHECKING:
    from pathlib import Path

    from specflow.compose import Composed
    from specflow.exploration.opened_data import OpenedData

__all__ = ["check", "show", "stats", "synthesize"]


def show(arguments: argparse.Namespace) -> int:
    """Prints rows as the model gets them."""
    composed = _composed(arguments)
    with reporting(arguments, composed) as fields:
        opened = _opened(composed, needs_train=arguments.split == "train")
        rows = opened.shown(arguments.split, *arguments.rows, epochs=arguments.epochs)
        from specflow.exploration.shown_rows import as_text

        fields["split"] = arguments.split
        fields["rows"] = [row.to_json() for row in rows]
        print("\n\n".join(map(as_text, rows)))
    return 0


def stats(arguments: argparse.Namespace) -> int:
    """Prints statistics of the columns by split."""
    composed = _composed(arguments)
    with reporting(arguments, composed) as fields:
        split = arguments.split
        opened = _opened(composed, needs_train=split in (None, "train"))
        from specflow.exploration.data_text import statistics_text

        if arguments.output is not None and split is not None:
            raise ConfigError(usage("--output", "is given with --split", "one of them"))
        statistics = opened.statistics((split,) if split else ("train", "eval"))
        fields |= statistics.to_json()
        parts, mixture = opened.mixture
        if mixture is not None:
            fields["mixture"] = mixture
        print(statistics_text(statistics, parts=parts))
        if arguments.output is not None:
            fields["page"] = _write_page(opened, arguments.output)
    return 0


def check(arguments: argparse.Namespace) -> int:
    """Runs the checks of the data, and measures the speed of its pipeline."""
    composed = _composed(arguments)
    with reporting(arguments, composed, prints_document=False):
        opened = _opened(composed)
        results, speed = opened.checks(), opened.speed()
        page = arguments.output and _write_page(opened, arguments.output)
    status = int(any(result.severity == "error" for result in results))
    if arguments.report == "json":
        from specflow.diagnostics.rendering import document
        from specflow.output.json_values import to_plain

        fields: dict[str, Any] = {
            "checks": [result.to_json() for result in results],
            "speed": speed.to_json(),
        }
        fields |= {"page": page} if page else {}
        print(document(status, **to_plain(fields)))
        return status
    from specflow.exploration.data_text import checks_text

    print(checks_text(results))
    print(f"\npipeline  {speed}")
    return status


def synthesize(arguments: argparse.Namespace) -> int:
    """Writes a file of plausible rows."""
    composed = _composed(arguments, reads_data=False)
    with reporting(arguments, composed) as fields:
        from specflow.config.sections.table import TableConfig
        from specflow.exploration.synthetic_rows import synthetic_rows, write_table
        from specflow.runtime.filesystem import expanded

        config = composed.config.data
        if not isinstance(config, TableConfig):
            problem = f"rows of data={getattr(config, 'name', 'a function')} are arrays"
            raise ConfigError(
                usage("data", problem, "data=table, whose rows have columns")
            )
        path = expanded(arguments.output, "--output")
        sketches = _sketches(composed, config, path)
        rows = synthetic_rows(
            sketches, config.split, rows=arguments.rows, seed=arguments.seed
        )
        write_table(rows, path)
        fields |= {"path": arguments.output, "rows": arguments.rows}
        fields["columns"] = list(rows)
        print(f"{arguments.rows:,} rows of {len(rows)} columns in {arguments.output}")
    return 0


def _composed(arguments: argparse.Namespace, *, reads_data: bool = True) -> "Composed":
    composed = compose_experiment(arguments, reads_data=reads_data)
    gc_pause.resume()
    print_notes(composed)
    return composed


def _opened(composed: "Composed", *, needs_train: bool = True) -> "OpenedData":
    """Opens the data of an experiment, or of a run with its fitted columns."""
    from specflow.exploration.opened_data import open_data

    if composed.run is None:
        from specflow.data import build_data

        return open_data(composed.config, lambda: build_data(composed.config.data))
    from specflow.commands.run_data import data_of_run  # Loads JAX.

    def of_run() -> Any:
        try:
            return data_of_run(composed, needs_train=needs_train)
        except DataError:
            # New rows of a run may have no labels.
            return data_of_run(composed, needs_labels=False, needs_train=needs_train)

    return open_data(composed.config, of_run)


def _sketches(composed: "Composed", config: Any, output: "Path") -> Any:
    """Sketches of the columns: of the files, else of a run's columns, else declared."""
    from specflow.exploration.column_sketches import (
        declared_sketches,
        fitted_sketches,
        seen_sketches,
    )

    try:
        opened = _opened(composed)
    except DataError as error:
        if {each.code for each in error.diagnostics} != {"missing-file"}:
            raise
        stored = _stored_columns(composed)
        source = "the declared columns" if stored is None else "the columns of the run"
        print(f"note: data.files are missing: rows are of {source}", file=sys.stderr)
        if stored is None:
            return declared_sketches(config)
        return fitted_sketches(stored, config.id)
    pictures = opened.moved_pictures(output.parent)
    return seen_sketches(opened.columns("train"), pictures)


def _stored_columns(composed: "Composed") -> Any:
    """The fitted columns of the run; None for an experiment."""
    if composed.run is None:
        return None
    from specflow.commands.run_data import stored_columns

    return stored_columns(composed.run)


def _write_page(opened: "OpenedData", output: str) -> str:
    from specflow.exploration.data_page import data_page
    from specflow.output.files import write_text
    from specflow.runtime.filesystem import expanded

    write_text(expanded(output, "--output"), data_page(opened.contents()))
    print(output)
    return output
