"""What a tracker has to provide; all else is common to all trackers."""

from collections.abc import Iterable, Sequence
from typing import ClassVar, Literal

from specflow.output.tracking.tracked_run import MetricRow, TrackedRun

__all__ = ["RunStatus", "TrackerClient"]

RunStatus = Literal["finished", "stopped", "failed"]
"""How a process that trained a run ended: all steps are done, or early stopping has
decided; a signal stopped it; an error ended it."""


class TrackerClient:
    """Base class of clients: the calls of one tracker's library.

    Every method is called on one thread, and may raise any exception: the tracker is
    then unreachable, and after a pause everything begins again with `start`. So calls
    that were made before may be repeated, and the rows that `recorded` returns are not.

    >>> class ToList(TrackerClient):
    ...     name = "list"
    ...     def __init__(self):
    ...         self.rows = []
    ...     def start(self, run, run_id):
    ...         return run_id or "1"
    ...     def recorded(self):
    ...         return [(row.split, row.step) for row in self.rows]
    ...     def log(self, rows):
    ...         self.rows += rows
    """

    name: ClassVar[str]
    """Name of the tracker, for messages and `trackers.json`."""
    refused: ClassVar[str | None] = None
    """Pattern of what names of metrics must not contain; None: all are accepted."""
    longest: ClassVar[int | None] = None
    """Largest number of characters of a metric's name; None: no limit."""

    def start(self, run: TrackedRun, run_id: str | None) -> str:
        """Creates the run at the tracker, or opens the one of an id.

        Args:
            run: the run.
            run_id: its id, from an earlier call; None: it has none yet. A run that is
                gone is created anew.

        Returns:
            The id of the run, which is stored in the run directory and checkpoints.
        """
        raise NotImplementedError

    def recorded(self) -> Iterable[tuple[str, int]]:
        """Returns (split, step) of the rows that the run has at the tracker."""
        raise NotImplementedError

    def log(self, rows: Sequence[MetricRow]) -> None:
        """Sends rows that `recorded` did not return, oldest first."""
        raise NotImplementedError

    def finish(self, run: TrackedRun, status: RunStatus) -> None:
        """Sends the files of the run, and marks it as ended.

        Args:
            run: the run; its `result` is there if the status is `finished`.
            status: how the process ended.
        """

    def close(self) -> None:
        """Gives up what the client holds, such as a connection; the last call."""
