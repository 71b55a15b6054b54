"""Python's garbage collector, and when it is in the way.

What a start makes (modules, classes, traces, programs) is there to stay. Looking for
garbage in it takes a sixth of the time to the first step, and later, each time the
collector comes to the oldest objects, a pause in training.
"""

import gc

__all__ = ["pause", "resume"]

_paused = False
_over = False
"""Whether this process has started; a second run in it, as in a sweep, leaves garbage
that must be found."""


def pause() -> None:
    """Collects nothing until `resume`; only the first start of a process does so."""
    global _paused
    if not _over and gc.isenabled():
        _paused = True
        gc.disable()


def resume() -> None:
    """Ends a pause: garbage is looked for again, but not in what there is by now."""
    global _paused, _over
    if _paused:
        _paused, _over = False, True
        gc.freeze()
        gc.enable()
