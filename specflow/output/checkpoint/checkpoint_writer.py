"""Writing checkpoints in the background, by one process or by several together."""

import concurrent.futures
import contextlib
import itertools
import os
import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from specflow.diagnostics.errors import OutputError
from specflow.distributed import collectives
from specflow.distributed.side_channel import SideChannel
from specflow.output.checkpoint import checkpoint_errors
from specflow.output.checkpoint.archive import SavedShard
from specflow.output.checkpoint.checkpoint_directory import CheckpointDirectory
from specflow.output.checkpoint.retention import Retention
from specflow.output.checkpoint.snapshot import HostSnapshots, Snapshot
from specflow.output.files import reported
from specflow.output.json_values import JsonObject
from specflow.runtime.typing import Tree

__all__ = ["CheckpointWriter"]

_CHANNELS = itertools.count()
"""Numbers of the side channels: all processes create their writers in one order."""
_UNFINISHED = re.compile(r"\.partial$|^deleting-")


class CheckpointWriter:
    """Writes one checkpoint at a time in a thread.

    A checkpoint has its final name, `<directory>/<step>`, only when it is complete.
    Several processes each write the shards of their own devices. Checkpoints newer than
    the one that training resumed from are moved to `<directory>/superseded`.

    Args:
        directory: the checkpoints.
        retention: removes checkpoints after each write.
    """

    def __init__(self, directory: CheckpointDirectory, retention: Retention):
        self._directory = directory
        self._retention = retention
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="specflow-checkpoint")
        self._running: Future[None] | None = None
        self._newest: Future[None] | None = None
        self._channel: SideChannel | None = None
        self._snapshots = HostSnapshots()
        self._resumed_from: int | None = None
        self._complete: set[int] = set()
        self.pending_step: int | None = None
        """Step of the save that is not known to be on disk. None if there is none."""
        self.before_complete: list[Callable[[], None]] = []
        """Called by process 0 before a checkpoint gets its final name."""
        self.may_supersede = True
        """True if the next save, or the running one, can supersede checkpoints."""

    @property
    def is_joint(self) -> bool:
        """True once several processes have begun to write together."""
        return self._channel is not None

    def is_complete(self, step: int) -> bool:
        """Returns whether this object has written or restored a step."""
        return step in self._complete

    def resume_from(self, step: int) -> None:
        """Notes the restored step: the next save supersedes later checkpoints."""
        self._resumed_from = step
        self._complete.add(step)
        self.may_supersede = True

    def take(self, state: Tree) -> Snapshot:
        """Copies the pieces that this process writes to the host, for `start`.

        Args:
            state: nested dicts of arrays; may be donated when this returns.

        Raises:
            CheckpointError: a leaf is not an array of numbers.
        """
        assert self._running is None
        return self._snapshots.take(state, process=collectives.process_index())

    def start(self, step: int, snapshot: Snapshot, metadata: JsonObject) -> None:
        """Begins to write a state.

        Args:
            step: training steps done.
            snapshot: result of `take`, which is not called again before `wait`.
            metadata: of the checkpoint, in plain JSON values.
        """
        assert self._running is None
        if collectives.process_count() > 1 and self._channel is None:
            self._channel = SideChannel(f"checkpoints/{next(_CHANNELS)}")
        self._running = self._newest = self._thread.submit(
            self._write, self._channel, step, snapshot, metadata
        )
        self.pending_step = step

    def is_running(self) -> bool:
        """Returns whether a save is still being written."""
        return self._running is not None and not self._running.done()

    def wait(self) -> None:
        """Waits until the running save is on disk.

        Raises:
            OutputError: it failed; earlier checkpoints are unchanged.
        """
        if self._running is not None:
            running, self._running = self._running, None
            self.pending_step = None
            running.result()
            self.may_supersede = False

    def settle(self) -> None:
        """Waits until the newest save has ended, and leaves its error to `wait`.

        Safe to call from any thread.
        """
        if self._newest is not None:
            concurrent.futures.wait([self._newest])

    def abandon_pending_save(self) -> None:
        """Ends the running save unless the other processes complete it soon.

        For a failed computation: another process may be lost and never answer.
        """
        if self._channel is not None:
            self._channel.expire_soon()
            with contextlib.suppress(Exception):
                self.wait()
            self._channel = None  # Processes that all continue use a new one.

    def close(self) -> None:
        """Waits for the running save and ends the thread.

        Raises:
            OutputError: the running save failed.
        """
        try:
            self.wait()
        finally:
            self._thread.shutdown()

    # -- In the thread.

    def _write(
        self,
        channel: SideChannel | None,
        step: int,
        snapshot: Snapshot,
        metadata: JsonObject,
    ) -> None:
        """Writes the shards of this process; process 0 prepares and completes.

        Several processes meet at each call on the channel: all raise an error of one.
        """
        folder = self._directory.path / f"{step}.partial"
        processes = collectives.process_count()
        written: list[SavedShard] = []

        def prepare() -> None:
            self._prepare(step, metadata)
            folder.mkdir()

        def write() -> None:
            written[:] = self._directory.archive.write_share(
                folder,
                snapshot,
                process=collectives.process_index(),
                processes=processes,
            )

        def complete() -> None:
            self._directory.archive.complete(
                folder, snapshot.layout, written, metadata, processes=processes
            )
            _sync(folder)
            for function in self.before_complete:
                function()
            folder.rename(self._directory.step_path(step))
            _sync(self._directory.path)
            self._retention.note_complete(step)

        def named(function: Callable[[], None]) -> Callable[[], None]:
            def call() -> None:
                with self._errors_named(step):
                    function()

            return call

        on_process_zero = _call if channel is None else channel.on_process_zero
        on_every_process = _call if channel is None else channel.on_every_process
        try:
            on_process_zero(named(prepare))
            on_every_process(named(write))
            on_process_zero(named(complete))
        except OutputError:
            on_process_zero(lambda: shutil.rmtree(folder, ignore_errors=True))
            raise
        self._complete.add(step)
        on_process_zero(self._remove_expired)

    def _prepare(self, step: int, metadata: JsonObject) -> None:
        """Removes unfinished checkpoints, and supersedes checkpoints of later steps."""
        with reported(self._directory.path):
            if not self._complete:
                self._directory.path.mkdir(parents=True, exist_ok=True)
            # Later the directory exists: one that vanished must not be begun anew.
            self.remove_unfinished()
            base = step - 1 if self._resumed_from is None else self._resumed_from
            for stale in self._directory.steps():
                if stale > base and stale not in self._complete:
                    self._supersede(stale)
        metadata.update(self._retention.stamp(metadata["step"]))

    def remove_unfinished(self) -> None:
        """Removes what a killed process left incomplete, or was removing."""
        with reported(self._directory.path):
            for path in self._directory.path.iterdir():
                if _UNFINISHED.search(path.name):
                    self._retention.remove_unfinished(path)

    def _supersede(self, step: int) -> None:
        folder = self._directory.path / "superseded"
        folder.mkdir(exist_ok=True)
        number = 1
        while (target := folder / f"{step}-{number}").exists():
            number += 1
        self._directory.step_path(step).rename(target)

    def _remove_expired(self) -> None:
        with reported(self._directory.path):
            self._retention.remove_expired()

    @contextlib.contextmanager
    def _errors_named(self, step: int) -> Iterator[None]:
        """Raises every error as an `OutputError` that names the checkpoint."""
        try:
            yield
        except OutputError:
            raise
        except Exception as error:
            diagnostic = checkpoint_errors.unwritable(
                self._directory.step_path(step), error, newest=self._directory.newest()
            )
            raise OutputError(diagnostic) from error


def _call(function: Callable[[], None]) -> None:
    function()


def _sync(folder: Path) -> None:
    """Waits until the names in a folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
