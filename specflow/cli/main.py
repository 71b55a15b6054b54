"""Entry point of the `specflow` command.

Light on purpose: help needs the standard library alone; Hydra and Pydantic are imported
by the first command that composes, and JAX by the first one that computes.
"""

import atexit
import contextlib
import gc
import sys
from collections.abc import Sequence

from specflow.cli.command import COMPUTING
from specflow.cli.command_table import dispatch
from specflow.cli.failures import call_off, report_failure
from specflow.diagnostics.errors import ConfigError
from specflow.distributed import launcher_link
from specflow.runtime import gc_pause, standard_streams

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status.

    Args:
        argv: arguments after `specflow`; those of the process by default.

    Returns:
        0 on success, 2 for an error of the user's, 75 for an error of the machine, 128
        plus the signal's number after a signal, 141 if the reader of standard output
        has left, 1 for anything else.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    # At exit Python would collect garbage in all that was imported, several times.
    atexit.register(gc.freeze)
    gc_pause.pause()
    launcher_link.watch()
    with standard_streams.prepared():
        try:
            return _run(arguments)
        finally:
            gc_pause.resume()


def _run(arguments: list[str]) -> int:
    try:
        try:
            status = dispatch(arguments)
        except SystemExit as stop:  # argparse raises it after it has printed its help.
            status = stop.code if isinstance(stop.code, int) else 1
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # The reader of standard output needs no more of it.
        from specflow.distributed import failure

        failure.notify_and_exit(None, standard_streams.READER_GONE)
        return standard_streams.READER_GONE
    except (Exception, KeyboardInterrupt) as error:
        status = report_failure(error, as_json=_is_for_tools(arguments))
        is_computing = bool(arguments) and arguments[0] in COMPUTING
        if isinstance(error, ConfigError) and is_computing:
            call_off(error)
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        return status


def _is_for_tools(arguments: Sequence[str]) -> bool:
    """Returns True if JSON is requested, even where the arguments do not parse."""
    has_format = "--format=json" in arguments or "--format json" in " ".join(arguments)
    return has_format or "--json" in arguments
