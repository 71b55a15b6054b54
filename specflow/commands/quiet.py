"""Keeps standard error for what specflow says itself of a failed checkpoint."""

import logging
import sys
from types import TracebackType

__all__ = ["hush_checkpoint_threads"]


def hush_checkpoint_threads() -> None:
    """Silences what Orbax's and TensorStore's threads print of errors they also raise.

    On a full disk that is hundreds of lines of tracebacks above the one that says what
    to do. Until Orbax leaves the errors that it raises to its caller.
    """
    logging.getLogger("absl").addFilter(_is_news)
    former = sys.excepthook

    def hook(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        # A write that ends after another one has failed finds nobody to tell.
        if kind is not RuntimeError or str(error) != "Event loop is closed":
            former(kind, error, trace)

    sys.excepthook = hook


def _is_news(record: logging.LogRecord) -> bool:
    return "_SignalingThread.run() raised" not in record.getMessage()
