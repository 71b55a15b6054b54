"""State of a process that one trial must not leave to the next."""

import contextlib
import logging
import os
import random
import signal
import sys
import threading
import warnings
from typing import Any

__all__ = ["ProcessState"]


class ProcessState:
    """What code of a trial may change in its process, as it is now.

    Environment variables, the working directory, the import path, the random states of
    Python and of NumPy, warning filters, levels and handlers of loggers, signal
    handlers, and the settings of JAX. NumPy and JAX count if they are imported.
    """

    def __init__(self) -> None:
        self._environment, self._folder = dict(os.environ), os.getcwd()
        self._path = list(sys.path)
        self._python_random = random.getstate()
        numpy: Any = sys.modules.get("numpy")
        self._numpy_random = None if numpy is None else numpy.random.get_state()
        jax: Any = sys.modules.get("jax")
        self._jax_settings = None if jax is None else dict(jax.config.values)
        self._loggers, self._handlers = _logger_settings(), _signal_handlers()
        self._filters = warnings.filters
        self._showwarning = warnings.showwarning

    def restore(self) -> None:
        """Makes the process as it was then."""
        _restore_environment(self._environment)
        os.chdir(self._folder)
        sys.path[:] = self._path
        random.setstate(self._python_random)
        if self._numpy_random is not None:
            sys.modules["numpy"].random.set_state(self._numpy_random)
        if self._jax_settings is not None:
            jax: Any = sys.modules["jax"]
            settings = jax.config.values  # Each access collects them anew.
            for name, value in self._jax_settings.items():
                if settings[name] != value:
                    # The number of devices cannot be set once JAX runs.
                    with contextlib.suppress(RuntimeError):
                        jax.config.update(name, value)
        _restore_loggers(self._loggers)
        for number, handler in self._handlers.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)
        if warnings.filters is not self._filters:
            warnings.filters = self._filters
            with warnings.catch_warnings():
                pass  # Python forgets what it knew of the other list.
        warnings.showwarning = self._showwarning


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
