"""Filters for the log records and tracebacks that Orbax writes of every save."""

import logging
import sys
from typing import Any

__all__ = ["hush_checkpoint_errors", "hush_checkpoints"]


def hush_checkpoints() -> None:
    """Drops Orbax's log records below a warning.

    `logging.basicConfig(level=logging.INFO)` would show some forty lines a save. A
    level that the user has set on the logger `absl` or `orbax` takes precedence;
    records of other code that uses `absl` are shown as before.
    """
    for name in ("absl", "orbax"):
        logger = logging.getLogger(name)
        if _is_wanted not in logger.filters:
            logger.addFilter(_is_wanted)


def hush_checkpoint_errors() -> None:
    """Drops what threads of Orbax and TensorStore print of errors that they also raise.

    On a full disk that is hundreds of lines of tracebacks around the one line with the
    hint. Needed until Orbax leaves the errors that it raises to its caller.
    """
    logging.getLogger("absl").addFilter(_is_no_repeated_error)
    previous_hook = sys.unraisablehook

    def hook(unraisable: Any) -> None:
        # A write that ends after another has failed has no caller to raise to.
        if str(unraisable.exc_value) != "Event loop is closed":
            previous_hook(unraisable)

    sys.unraisablehook = hook


def _is_wanted(record: logging.LogRecord) -> bool:
    is_remark = record.levelno < logging.WARNING and "/orbax/" in record.pathname
    user_level = logging.getLogger(record.name).level
    return not is_remark or 0 < user_level <= record.levelno


def _is_no_repeated_error(record: logging.LogRecord) -> bool:
    return "_SignalingThread.run() raised" not in record.getMessage()
