"""Directories named by their second of creation, created atomically."""

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from specflow.diagnostics.errors import Diagnostic, OutputError
from specflow.output.files import reported
from specflow.runtime.new_directory import PREFIX, new_directory, remove_if_abandoned

__all__ = ["timestamped"]

_TRIES = 10
_TEMPORARY = re.compile(f"{PREFIX}[0-9]{{10}}")


@contextlib.contextmanager
def timestamped(
    base: Path,
    *,
    now: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[tuple[Path, Path]]:
    """Creates a directory `base/<seconds since 1970>`, complete or not at all.

    It is filled as `base/temp-<seconds>` and renamed when the block has succeeded;
    otherwise it is removed, by the next call if this process is killed. If a directory
    of this second exists, waits for the next second, up to ten times.

    Args:
        base: parent directory; created if missing.
        now: clock, in seconds since 1970.
        sleep: waits for a number of seconds.

    Yields:
        (directory to write to, its final path).

    Raises:
        OutputError: the directory cannot be written, or ten seconds in a row were
            taken.
    """
    for path in base.glob(f"{PREFIX}*"):
        if _TEMPORARY.fullmatch(path.name) is not None:
            remove_if_abandoned(path)
    seconds = ""
    for attempt in range(_TRIES):
        if attempt:
            sleep(1.0)
        seconds = f"{int(now()):010d}"
        final = base / seconds
        with contextlib.ExitStack() as stack:
            stack.enter_context(reported(final))
            try:
                temporary = stack.enter_context(new_directory(final))
            except FileExistsError:
                continue
            yield temporary, final
            return
    raise OutputError(
        Diagnostic(
            str(base),
            f"{_TRIES} seconds in a row are taken, the last by {seconds}",
            hint="Export to another directory, or one export at a time.",
            code="output-taken",
        )
    )
