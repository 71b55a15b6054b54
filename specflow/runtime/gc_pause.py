"""Pauses Python's garbage collector while a process starts.

Objects made at the start (modules, classes, traces, programs) live as long as the
process. Scanning them takes a sixth of the time to the first step, and later pauses
training whenever the collector reaches the oldest generation.
"""

import gc

__all__ = ["pause", "resume"]

_paused = False
_over = False
"""True once this process has started: a second run in it, as in a sweep, leaves garbage
that must be collected."""


def pause() -> None:
    """Disables collection until `resume`; only the first call in a process does so."""
    global _paused
    if not _over and gc.isenabled():
        _paused = True
        gc.disable()


def resume() -> None:
    """Enables collection again, and excludes all objects that exist by now."""
    global _paused, _over
    if _paused:
        _paused, _over = False, True
        gc.freeze()
        gc.enable()
