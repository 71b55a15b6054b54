"""Kinds of failures of a trial, and which of them a retry may clear."""

import enum

from specflow.diagnostics.errors import MISTAKE, ConfigError
from specflow.diagnostics.rendering import machine_diagnostic

__all__ = ["Failure", "failure_of", "is_retried"]


class Failure(enum.StrEnum):
    """Why a trial failed."""

    CONFIG = "config"
    """A mistake in the config, the data or the user's own code."""
    NAN = "nan"
    """The loss, or the objective, is not finite."""
    OUT_OF_MEMORY = "out-of-memory"
    MACHINE = "machine"
    """A full disk, a lost device: exit status 75."""
    DIED = "died"
    """Its process, or the machine of it, was lost."""
    PREEMPTED = "preempted"
    """A scheduler took the machine away, or its time was over."""
    CANCELLED = "cancelled"
    """Someone ended its job in the scheduler."""
    BUG = "bug"
    """An exception that is none of these."""


_RETRIED = (Failure.MACHINE, Failure.DIED, Failure.PREEMPTED)


def failure_of(error: BaseException) -> Failure:
    """Returns the kind of an error that a trial raised.

    >>> failure_of(MemoryError()), failure_of(ZeroDivisionError())
    (<Failure.OUT_OF_MEMORY: 'out-of-memory'>, <Failure.BUG: 'bug'>)
    """
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
        return Failure.OUT_OF_MEMORY
    if type(error).__name__ == "NanLossDuringTrainingError":
        return Failure.NAN
    if isinstance(error, ConfigError) or getattr(error, "exit_code", 1) == MISTAKE:
        return Failure.CONFIG
    if getattr(error, "exit_code", 1) != 1 or machine_diagnostic(error):
        return Failure.MACHINE
    return Failure.BUG


def is_retried(failure: str, attempts: int, retries: int) -> bool:
    """Returns whether a trial that failed runs again, in a new process.

    Only what may succeed does. Memory may have been that of the trials before it in the
    process: once.

    Args:
        failure: its kind.
        attempts: how often the trial has started, 1 or more.
        retries: how often it may start again.

    >>> [is_retried("died", attempts, retries=2) for attempts in (1, 2, 3)]
    [True, True, False]
    >>> [is_retried("out-of-memory", attempts, retries=2) for attempts in (1, 2)]
    [True, False]
    >>> is_retried("nan", 1, retries=2)
    False
    """
    bound = min(retries, 1) if failure == Failure.OUT_OF_MEMORY else retries
    return failure in (*_RETRIED, Failure.OUT_OF_MEMORY) and attempts <= bound
