"""Closes several resources after a block, without losing an error."""

import contextlib
from collections.abc import Callable, Iterator

__all__ = ["closing"]


@contextlib.contextmanager
def closing(*functions: Callable[[], None]) -> Iterator[None]:
    """Calls every function after the block, in order, also if one fails.

    The first error is raised, and later ones become its notes: an error while closing
    must not hide the cause.

    Args:
        *functions: called without arguments.

    >>> def fail():
    ...     raise OSError("the disk is full")
    >>> try:
    ...     with closing(fail, lambda: print("closed")):
    ...         raise ValueError("got -1")
    ... except ValueError as error:
    ...     print(error, error.__notes__)
    closed
    got -1 ['the disk is full']
    """
    first: BaseException | None = None
    try:
        yield
    except BaseException as error:
        first = error
    for function in functions:
        try:
            function()
        except Exception as error:
            if first is None:
                first = error
            else:
                first.add_note(str(error))
    if first is not None:
        raise first
