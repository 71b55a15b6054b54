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
    raise ConfigError(
        usage("report", "is given no word", "sync run=DIR, to send it to its trackers")
    )


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
