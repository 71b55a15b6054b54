"""Keeps standard error for what specflow says itself of a failed checkpoint."""

import logging
import sys
from typing import Any

__all__ = ["hush_checkpoint_threads"]


def hush_checkpoint_threads() -> None:
    """Silences what Orbax's and TensorStore's threads print of errors they also raise.

    On a full disk that is hundreds of lines of tracebacks around the one that says what
    to do. Until Orbax leaves the errors that it raises to its caller.
    """
    logging.getLogger("absl").addFilter(_is_news)
    former = sys.unraisablehook

    def hook(unraisable: Any) -> None:
        # A write that ends after another one has failed finds nobody to tell.
        if str(unraisable.exc_value) != "Event loop is closed":
            former(unraisable)

    sys.unraisablehook = hook


def _is_news(record: logging.LogRecord) -> bool:
    return "_SignalingThread.run() raised" not in record.getMessage()
