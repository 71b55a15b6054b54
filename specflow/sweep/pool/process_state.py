"""State of a process that one trial must not leave to the next."""

import contextlib
import logging
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

__all__ = ["restored_process_state"]


@contextlib.contextmanager
def restored_process_state() -> Iterator[None]:
    """Restores, at the end of the block, what its code changed in the process.

    Environment variables, the working directory, the import path, the random states of
    Python and of NumPy, warning filters, levels and handlers of loggers, signal
    handlers, and the settings of JAX. NumPy and JAX count if they are imported.
    """
    environment, folder, path = dict(os.environ), os.getcwd(), list(sys.path)
    python_random = random.getstate()
    numpy: Any = sys.modules.get("numpy")
    numpy_random = None if numpy is None else numpy.random.get_state()
    jax: Any = sys.modules.get("jax")
    jax_settings = None if jax is None else dict(jax.config.values)
    loggers = _logger_settings()
    handlers = _signal_handlers()
    try:
        with warnings.catch_warnings():
            yield
    finally:
        _restore_environment(environment)
        os.chdir(folder)
        sys.path[:] = path
        random.setstate(python_random)
        if numpy is not None:
            numpy.random.set_state(numpy_random)
        if jax is not None and jax_settings is not None:
            for name, value in jax_settings.items():
                if jax.config.values[name] != value:
                    jax.config.update(name, value)
        _restore_loggers(loggers)
        for number, handler in handlers.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)


def _restore_environment(former: dict[str, str]) -> None:
    for name in set(os.environ) - set(former):
        del os.environ[name]
    for name, value in former.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


def _logger_settings() -> dict[str, tuple[Any, ...]]:
    """Logger name -> its settings; the root logger has the empty name."""
    known: list[logging.Logger] = [logging.root]
    for logger in list(logging.root.manager.loggerDict.values()):
        if isinstance(logger, logging.Logger):
            known.append(logger)
    return {
        "" if logger is logging.root else logger.name: _settings(logger)
        for logger in known
    }


def _settings(logger: logging.Logger) -> tuple[Any, ...]:
    return (
        logger.level,
        list(logger.handlers),
        list(logger.filters),
        logger.propagate,
        logger.disabled,
    )


def _restore_loggers(former: dict[str, tuple[Any, ...]]) -> None:
    for name, settings in _logger_settings().items():
        # A logger made inside the block is as a new one outside.
        wanted = former.get(name, (logging.NOTSET, [], [], True, False))
        if settings == wanted:
            continue
        logger = logging.getLogger(name) if name else logging.root
        level, handlers, filters, propagate, disabled = wanted
        logger.setLevel(level)
        logger.handlers[:], logger.filters[:] = handlers, filters
        logger.propagate, logger.disabled = propagate, disabled


def _signal_handlers() -> dict[signal.Signals, Any]:
    """Signal -> its handler, of all that Python can set again."""
    if threading.current_thread() is not threading.main_thread():
        return {}  # Only the main thread sets handlers.
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    return {
        signal.Signals(number): handler
        for number, handler in handlers.items()
        if handler is not None and isinstance(number, signal.Signals)
    }
