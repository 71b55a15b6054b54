"""Sends a run to its trackers: what they missed, or all of it."""

from collections.abc import Sequence
from typing import Any

from specflow.diagnostics.errors import ConfigError, Diagnostic, OutputError
from specflow.output.run.lock import holder
from specflow.output.run.run_directory import existing_run
from specflow.output.tracking.tracker import Tracker
from specflow.reports.open_reporters import check_packages, plugin_reporter

__all__ = ["sync_trackers"]


def sync_trackers(
    directory: str, configs: Sequence[Any], *, name: str | None = None
) -> dict[str, int]:
    """Sends the rows and files of a run that its trackers do not have.

    Args:
        directory: of the run.
        configs: `output.reporters` of its config.
        name: the only tracker to send to; None: all of the config.

    Returns:
        Tracker -> number of rows sent.

    Raises:
        ConfigError: there is no run, or it has no tracker.
        OutputError: a tracker does not respond, or a process is training the run.
    """
    run = existing_run(directory)
    check_packages(configs)
    writer = holder(run.path / ".lock")
    if writer is not None:
        raise OutputError(
            Diagnostic(
                str(run.path),
                f"process {writer} is writing this run, and sends its rows itself",
                hint="Wait for it or end it.",
                code="run-locked",
            )
        )
    trackers = [
        reporter
        for config in configs
        if hasattr(config, "requirement")
        and isinstance(reporter := plugin_reporter(config, run, 0), Tracker)
        and name in (None, reporter.name)
    ]
    if not trackers:
        raise ConfigError(
            Diagnostic(
                "output.reporters",
                "the run has no tracker",
                expected="one of mlflow, trackio, wandb",
                hint=f"For example: specflow report sync run={directory} "
                "output.reporters=[mlflow].",
                code="missing",
            )
        )
    return {tracker.name: tracker.sync() for tracker in trackers}
