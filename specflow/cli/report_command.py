"""`report`: pages about runs, and what trackers have missed; loads no JAX."""

import argparse

from specflow.cli.command import usage
from specflow.cli.experiments import compose_run, reporting
from specflow.diagnostics.errors import ConfigError

__all__ = ["report"]


def report(arguments: argparse.Namespace) -> int:
    """Sends a run to its trackers, or writes a page about runs."""
    if arguments.overrides[:1] == ["sync"]:
        return _sync(arguments)
    from specflow.output.files import write_text
    from specflow.reports.row_pictures import read_row_pictures
    from specflow.reports.run_contents import read_runs
    from specflow.reports.run_page import run_page
    from specflow.runtime.filesystem import expanded

    with reporting(arguments, None) as fields:
        runs = read_runs(_directories(arguments))
        if arguments.card:
            from specflow.reports.model_card import model_card

            text = model_card(runs[0])
        else:
            rows = arguments.rows
            pictures = None
            if rows is not None:
                path = expanded(rows, "--rows")
                pictures = read_row_pictures(path, runs[0].run.class_names)
            text = run_page(runs, pictures=pictures)
        name = "card.md" if arguments.card else "report.html"
        file = arguments.output or str(runs[0].run.directory / name)
        write_text(expanded(file, "--output"), text)
        fields["path"] = file
        print(file)
    return 0


def _directories(arguments: argparse.Namespace) -> list[str]:
    """The directories of `run=DIR`, one or more.

    Raises:
        ConfigError: none is given, or something else is.
    """
    expected = "run=DIR, once for each run of the page; or sync run=DIR"
    words = arguments.overrides
    others = [word for word in words if not word.startswith("run=")]
    problems = [usage(word, "is no argument of report", expected) for word in others]
    if not words:
        problems.append(usage("run", "is missing", expected))
    if arguments.card and len(words) > 1:
        problems.append(usage("--card", "is given with several runs", "one run"))
    if arguments.card and arguments.rows is not None:
        problems.append(usage("--rows", "is given with --card, which has no pictures"))
    if problems:
        raise ConfigError(*problems)
    return [word.removeprefix("run=").strip("'\"") for word in words]


def _sync(arguments: argparse.Namespace) -> int:
    arguments.overrides = arguments.overrides[1:]
    composed = compose_run(arguments)
    from specflow.reports.tracker_sync import sync_trackers

    with reporting(arguments, composed) as fields:
        sent = sync_trackers(composed.run or "", composed.config.output.reporters)
        fields["rows"] = sent
        for name, rows in sent.items():
            print(f"{name}: {rows} rows sent" if rows else f"{name}: has all rows")
    return 0
