"""The end of a block that may have failed: everything is closed, no error is lost."""

import contextlib
from collections.abc import Callable, Iterator

__all__ = ["closing"]


@contextlib.contextmanager
def closing(*functions: Callable[[], None]) -> Iterator[None]:
    """Calls every function after the block, in order, whatever fails.

    The first error is the one raised. Those after it are its notes: what went wrong
    while something was closed must not hide why.

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
