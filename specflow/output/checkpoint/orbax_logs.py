"""Orbax's log lines of every save, which are none of the user's news."""

import logging

__all__ = ["hush_checkpoints"]


def hush_checkpoints() -> None:
    """Leaves Orbax's remarks below a warning out of the logs of a program.

    `logging.basicConfig(level=logging.INFO)` would show some forty lines a save. A
    level that the user has set for the logger `absl` or `orbax` stands; what other code
    writes to `absl` is shown as before.
    """
    for name in ("absl", "orbax"):
        logger = logging.getLogger(name)
        if _is_news not in logger.filters:
            logger.addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    is_warning = record.levelno < logging.WARNING and "/orbax/" in record.pathname
    wanted = logging.getLogger(record.name).level
    return not is_warning or 0 < wanted <= record.levelno
