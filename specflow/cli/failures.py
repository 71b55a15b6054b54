"""Reports of failed commands, to the user and to the other processes."""

import os
import sys

from specflow.diagnostics.errors import ConfigError
from specflow.distributed import launcher_link
from specflow.runtime import standard_streams

__all__ = ["call_off", "report_failure"]

_SEVERAL = {"SPECFLOW_COORDINATOR", "SLURM_PROCID"}
"""Environment variables of a process that is one of several."""


def report_failure(error: BaseException, *, as_json: bool) -> int:
    """Reports a failed command to the user and, if there are any, other processes.

    Args:
        error: what the command raised.
        as_json: whether the report is one JSON document.

    Returns:
        The exit status.
    """
    from specflow.distributed import collectives, failure

    if getattr(error, "shared", False):
        if collectives.is_process_zero():
            return _report(error, as_json=as_json)
        return getattr(error, "exit_code", 1)
    error = failure.root_cause(error)
    status = _report(error, as_json=as_json)
    if isinstance(error, ConfigError):
        launcher_link.report(mistake=str(error))
    failure.notify_and_exit(error, status)
    return status


def _report(error: BaseException, *, as_json: bool) -> int:
    """Prints an error, and to people also the command that explains its codes."""
    from specflow.diagnostics.rendering import report_error

    status = report_error(error, as_json=as_json)
    diagnostics = getattr(error, "diagnostics", ())
    if diagnostics and not as_json and standard_streams.is_terminal(sys.stderr):
        from specflow.cli.error_codes import where_explained

        if line := where_explained(diagnostics):
            print(line, file=sys.stderr)
    return status


def call_off(error: ConfigError) -> None:
    """Reports to the other processes, if there are any, that this one will not start.

    Args:
        error: of the config; `error.processes` is its `mesh.processes`, if known.
    """
    processes = error.processes
    if not processes and not _SEVERAL & set(os.environ):
        return
    from specflow.config.sections.mesh import ProcessesConfig
    from specflow.mesh import cancel_start

    try:
        config = ProcessesConfig(**processes) if isinstance(processes, dict) else None
    except (TypeError, ValueError):
        config = None  # The invalid section is this one.
    cancel_start(config, str(error), error.exit_code)
