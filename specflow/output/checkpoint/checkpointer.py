"""Checkpoints that are either whole or not used: Orbax, with digests of our own."""

import contextlib
import dataclasses
import itertools
import json
import math
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np

from specflow.config.sections.output import BestConfig
from specflow.diagnostics.errors import CheckpointError, Diagnostic, OutputError
from specflow.distributed import collectives
from specflow.distributed.side_channel import SideChannel
from specflow.output.checkpoint.archive import Archive, DamagedError, SavedArray, reason
from specflow.output.checkpoint.joint import write_share
from specflow.output.checkpoint.orbax_logs import hush_checkpoints
from specflow.output.checkpoint.retention import best_step, is_better, kept_steps
from specflow.output.checkpoint.snapshot import (
    Share,
    differences,
    flat,
    host_snapshot,
    own_snapshot,
)
from specflow.output.files import reported
from specflow.output.json_values import to_plain
from specflow.runtime.filesystem import absence_hint, expanded
from specflow.runtime.typing import Tree

__all__ = ["Best", "Checkpointer", "Restored", "located"]

_MOST_SHOWN = 10
_LINES = itertools.count()
"""Numbers for the lines between processes, which make `Checkpointer`s in one order."""
_UNFINISHED = re.compile(r"\.orbax-checkpoint-tmp|^deleting-")


@dataclasses.dataclass(frozen=True, slots=True)
class Restored:
    """What a checkpoint held."""

    step: int
    state: Tree
    """Arrays, laid out as the abstract state said."""
    data: dict[str, Any]
    """What was saved beside them: the place in the data."""


class Best(NamedTuple):
    """The best checkpoint, and why."""

    step: int
    metric: str
    value: float


class Checkpointer:
    """Saves and restores a training state, without making the training wait.

    `save` copies the state to the host and returns; a thread writes it. Several
    processes make the same calls, and write together, each its share. A checkpoint
    appears under its final name, `<directory>/<step>`, when it is complete: a process
    that dies earlier leaves the earlier ones as they were. Each array has a digest, for
    Orbax restores flipped bytes without a word; a damaged checkpoint is passed over.
    A checkpoint that training went back behind is moved to `<directory>/superseded`.

    Args:
        directory: `checkpoints/` of a run.
        keep: newest checkpoints kept; 0 keeps all.
        best: keep the best checkpoint beside them, by the metrics given to `save`.
        keep_every_s: one checkpoint of each such period is kept for ever on top. The
            first period begins with the first object of this directory; a later one
            goes by what is on disk.
        note: takes one line about a damaged checkpoint; standard error if None.
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        keep: int = 3,
        best: BestConfig | None = None,
        keep_every_s: float = math.inf,
        note: Callable[[str], None] | None = None,
    ):
        hush_checkpoints()
        # Orbax refuses relative paths.
        self.directory = expanded(directory).absolute()
        self._keep = keep
        self._best = best
        self._keep_every_s = keep_every_s
        self._made_s = time.time()
        self._preserved_s: float | None = None
        self._note = note or _to_stderr
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="specflow-checkpoint")
        self._saving: Future[None] | None = None
        self._restored: int | None = None
        self._done: set[int] = set()
        self._values: dict[int, object] = {}
        self._archive = Archive()
        self._channel: SideChannel | None = None

    def steps(self) -> list[int]:
        """Steps with a complete checkpoint, ascending; does not load Orbax.

        Several processes wait for the save that is running: all get the same.
        """
        if self._channel is not None:
            self.wait()
        return self._present()

    def latest_step(self) -> int | None:
        """The newest complete checkpoint, damaged or not; does not load Orbax."""
        return max(self.steps(), default=None)

    def save(
        self,
        step: int,
        state: Tree,
        *,
        data: Mapping[str, Any] | None = None,
        metrics: Mapping[str, Any] | None = None,
    ) -> None:
        """Begins to save; the state may be donated as soon as this returns.

        A step that this object has saved or restored already is left as it is.

        Args:
            step: training steps done.
            state: nested dicts of arrays.
            data: the place in the data, as plain JSON values.
            metrics: metrics of an evaluation at this step; they judge which is best.

        Raises:
            OutputError: the *former* save failed.
        """
        self.wait()
        if step in self._done:
            return
        about = {
            "step": step,
            # A copy that later calls of the iterator cannot change.
            "data": json.loads(json.dumps(dict(data or {}))),
            "metrics": to_plain(metrics),
        }
        if collectives.process_count() == 1:
            arrays = host_snapshot(state)
            self._saving = self._worker.submit(self._write, step, arrays, about)
            return
        if self._channel is None:
            self._channel = SideChannel(f"checkpoints/{next(_LINES)}")
        self._saving = self._worker.submit(
            self._write_together, self._channel, step, own_snapshot(state), about
        )

    def is_new_best(self, metrics: Mapping[str, Any]) -> bool:
        """Whether a state with these metrics is better than every one that is saved.

        Raises:
            OutputError: a save that was still running failed.
        """
        if self._best is None:
            return False
        order = self._best
        self.wait()

        def judge() -> bool:
            value = to_plain(metrics).get(order.metric)
            saved = self._judged(self._present()).values()
            return all(is_better(value, other, order) for other in saved)

        return collectives.on_process_zero(judge)

    def best(self) -> Best | None:
        """The best checkpoint; None if nothing says what is best, or none is evaluated.

        Raises:
            OutputError: a save that was still running failed.
        """
        if self._best is None:
            return None
        order = self._best
        self.wait()

        def look() -> list[Any] | None:
            values = self._judged(self._present())
            step = best_step(values, order)
            return None if step is None else [step, values[step]]

        found = collectives.on_process_zero(look)
        return None if found is None else Best(found[0], order.metric, found[1])

    def best_step(self) -> int:
        """Step of the best checkpoint.

        Raises:
            CheckpointError: there is none.
            OutputError: a save that was still running failed.
        """
        found, steps = self.best(), self.steps()
        if found is not None:
            return found.step
        if not steps:
            raise CheckpointError(self._missing(None, steps))
        problem = "no best checkpoint: "
        hint = f"Steps: {', '.join(map(str, steps))}."
        if self._best is None:
            problem += "nothing says by which metric"
            hint = (
                "Say it: output.checkpoint.best={metric:loss}, in Python "
                f"RunConfig(keep_best=...). Or take a step. {hint}"
            )
        else:
            problem += f"none of them was evaluated by '{self._best.metric}'"
        raise CheckpointError(
            Diagnostic(
                str(self.directory), problem, hint=hint, code="checkpoint-missing"
            )
        )

    def judge(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Adds what an evaluation found to the checkpoint of its step, if there is one.

        `save` is given it where the evaluation came first; it comes later where that
        failed, and is made up for.

        Raises:
            OutputError: it cannot be written, or a save that was still running failed.
        """
        self.wait()

        def add() -> None:
            if step not in self._present():
                return
            path, plain = self.directory / str(step), to_plain(metrics)
            with contextlib.suppress(DamagedError):
                if self._archive.about(path)["metrics"] != plain:
                    self._archive.note(path, metrics=plain)
                    self._retire(step, plain)

        collectives.on_process_zero(add)

    def data(self, step: int) -> dict[str, Any]:
        """The place in the data that was saved at a step, without the arrays.

        Raises:
            CheckpointError: there is no such checkpoint, or it is damaged.
        """
        self.wait()
        if step not in self.steps():
            raise CheckpointError(self._missing(step, self.steps()))
        try:
            return self._archive.about(self.directory / str(step))["data"]
        except DamagedError as error:
            diagnostic = self._damaged(step, str(error), only=True)
            raise CheckpointError(diagnostic) from error

    def arrays(self, step: int | None = None) -> dict[str, np.ndarray]:
        """Everything that a checkpoint holds, on the host, by `part/name`.

        Args:
            step: the one to read; None: the newest.

        Raises:
            CheckpointError: there is none, or it is damaged.
        """
        self.wait()
        steps = self.steps()
        chosen = max(steps, default=None) if step is None else step
        if chosen is None or chosen not in steps:
            raise CheckpointError(self._missing(step, steps))
        path = self.directory / str(chosen)
        try:
            return self._archive.arrays(path, _described(self._archive.about(path)))
        except DamagedError as error:
            diagnostic = self._damaged(chosen, str(error), only=True)
            raise CheckpointError(diagnostic) from error

    def forms(self, step: int | None = None) -> dict[str, tuple[Any, Any]]:
        """Shape and dtype of everything that a checkpoint holds, by `part/name`.

        Args:
            step: the one to look at; None: the newest that is whole.

        Returns:
            Nothing, if there is none: `restore` says so.
        """
        saved = self.saved(step)
        return {name: (array.shape, array.dtype) for name, array in saved.items()}

    def saved(self, step: int | None = None) -> dict[str, SavedArray]:
        """Shape, dtype and digest of what `forms` tells of."""
        self.wait()
        for candidate in reversed(self.steps()) if step is None else [step]:
            try:
                about = self._archive.about(self.directory / str(candidate))
            except DamagedError:
                continue
            return _described(about)
        return {}

    def restore(
        self, abstract: Tree, *, step: int | None = None, partial: bool = False
    ) -> Restored:
        """Reads a checkpoint onto the devices that `abstract` names.

        Args:
            abstract: `jax.ShapeDtypeStruct` leaves, with the shardings wanted now;
                the mesh it was saved on does not matter.
            step: the one to read; None: the newest that is whole.
            partial: look only at the parts, by first key, that `abstract` has; to
                evaluate, the optimizer's part need not be known.

        Raises:
            CheckpointError: there is none, it is damaged, or it is of another model.
            OutputError: a save that was still running failed.
        """
        self.wait()
        steps = self.steps()
        if not steps or (step is not None and step not in steps):
            raise CheckpointError(self._missing(step, steps))
        damaged: list[tuple[int, str]] = []
        for candidate in reversed(steps) if step is None else [step]:
            try:
                restored = self._read(candidate, abstract, partial=partial)
            except DamagedError as error:
                damaged.append((candidate, str(error)))
                continue
            for bad, why in damaged:
                self._note(
                    f"checkpoint of step {bad} is damaged ({why}); "
                    f"going on from step {candidate}"
                )
            self._restored = candidate
            self._done.add(candidate)
            return restored
        raise CheckpointError(
            *(self._damaged(bad, why, only=step is not None) for bad, why in damaged)
        )

    def check(self, abstract: Tree) -> None:
        """Looks whether `restore` would find the arrays of this state; reads none.

        Raises:
            CheckpointError: the newest whole checkpoint is of another model.
        """
        for step in reversed(self.steps()):
            try:
                about = self._archive.about(self.directory / str(step))
            except DamagedError:
                continue  # `restore` says so, and looks further too.
            self._matched(step, about, abstract, partial=False)
            return

    def wait(self) -> None:
        """Waits until the save that is running is on disk.

        Raises:
            OutputError: it failed; the earlier checkpoints are as they were.
        """
        if self._saving is not None:
            saving, self._saving = self._saving, None
            saving.result()

    def give_up(self) -> None:
        """Ends the save that is running, unless the other processes end it soon.

        For when a computation fails: another process may be lost, and never come.
        """
        if self._channel is not None:
            self._channel.expire_soon()
            with contextlib.suppress(Exception):
                self.wait()
            self._channel = None  # Where all go on, they do so on a line of its own.

    def close(self) -> None:
        """Waits, and gives back the thread.

        Raises:
            OutputError: the save that was still running failed.
        """
        try:
            self.wait()
        finally:
            self._worker.shutdown()
            self._archive.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # -- writing, in the worker's thread

    def _write(
        self, step: int, arrays: dict[str, np.ndarray], about: dict[str, Any]
    ) -> None:
        path = self.directory / str(step)
        with self._named(step):
            self._clear_the_way(step)
            about["preserved_s"] = self._period_start()
            try:
                self._archive.write(path, arrays, about)
            except Exception:
                for unfinished in self.directory.glob(f"{step}.orbax-checkpoint-tmp*"):
                    shutil.rmtree(unfinished, ignore_errors=True)
                raise
        self._done.add(step)
        with reported(self.directory):
            self._retire(step, about["metrics"])

    def _write_together(
        self,
        channel: SideChannel,
        step: int,
        shares: dict[str, Share],
        about: dict[str, Any],
    ) -> None:
        """What `_write` does, where each process has a share.

        All processes wait at each call of `channel`; an error in one is raised in all.
        """
        folder = self.directory / f"{step}.orbax-checkpoint-tmp"

        def begin() -> None:
            with self._named(step):
                self._clear_the_way(step)
                about["preserved_s"] = self._period_start()
                (folder / "state").mkdir(parents=True)

        def write() -> None:
            with self._named(step):
                write_share(folder, shares)

        def finish() -> None:
            with self._named(step):
                self._archive.join(folder, shares, about)
                folder.rename(self.directory / str(step))

        try:
            channel.on_process_zero(begin)
            channel.on_every_process(write)
            channel.on_process_zero(finish)
        except OutputError:
            channel.on_process_zero(lambda: shutil.rmtree(folder, ignore_errors=True))
            raise

        def retire() -> None:
            with reported(self.directory):
                self._retire(step, about["metrics"])

        self._done.add(step)
        channel.on_process_zero(retire)

    @contextlib.contextmanager
    def _named(self, step: int) -> Iterator[None]:
        try:
            yield
        except OutputError:
            raise
        except Exception as error:
            raise self._unwritable(step, error) from error

    def _unwritable(self, step: int, error: Exception) -> OutputError:
        who = (
            ""
            if collectives.process_count() == 1
            else f"process {collectives.process_index()}: "
        )
        return OutputError(
            Diagnostic(
                str(self.directory / str(step)),
                f"the checkpoint of step {step} was not written: {who}{reason(error)}",
                hint="Make room or mend the permissions and run the same command "
                f"again; it goes on from {self._newest_as_text()}.",
                code="checkpoint-unwritable",
            )
        )

    def _present(self) -> list[int]:
        if not self.directory.is_dir():
            return []
        return sorted(
            int(path.name)
            for path in self.directory.iterdir()
            if path.name.isdigit() and path.is_dir()
        )

    def _clear_the_way(self, step: int) -> None:
        """Removes what dead processes left, moves what training went back behind."""
        with reported(self.directory):
            self.directory.mkdir(parents=True, exist_ok=True)
            for path in self.directory.iterdir():
                if _UNFINISHED.search(path.name):
                    shutil.rmtree(path)
            base = step - 1 if self._restored is None else self._restored
            for stale in self._present():
                if stale > base and stale not in self._done:
                    self._supersede(stale)

    def _supersede(self, step: int) -> None:
        folder = self.directory / "superseded"
        folder.mkdir(exist_ok=True)
        number = 1
        while (target := folder / f"{step}-{number}").exists():
            number += 1
        (self.directory / str(step)).rename(target)

    def _retire(self, step: int, metrics: Mapping[str, Any] | None) -> None:
        """Removes the checkpoints that need not be kept."""
        steps = self._present()
        best = None
        if self._best is not None:
            self._values[step] = (metrics or {}).get(self._best.metric)
            best = best_step(self._judged(steps), self._best)
        kept = kept_steps(steps, keep=self._keep, best=best)
        for old in steps:
            path = self.directory / str(old)
            if old not in kept and not self._is_for_ever(path):
                # Renamed first: half a checkpoint must never bear a step's name.
                dying = path.rename(self.directory / f"deleting-{old}")
                shutil.rmtree(dying)

    def _is_for_ever(self, path: Path) -> bool:
        """Whether a checkpoint is the one of its period; a mark in it says so.

        Source of the rule: TensorFlow's `CheckpointManager`.
        """
        mark, saved_s = path / "kept", path.stat().st_mtime
        if not mark.exists() and saved_s >= self._period_start() + self._keep_every_s:
            mark.touch()
            os.utime(mark, (saved_s, saved_s))
            self._preserved_s = saved_s
        return mark.exists()

    def _period_start(self) -> float:
        """When the last checkpoint that is kept for ever was saved, or all began.

        Every checkpoint says so of its time, and marks have the time of theirs. What
        lies in the future, by a clock that was put back, counts as now.
        """
        if self._preserved_s is None:
            steps = self._present()
            paths = [self.directory / str(step) for step in steps]
            marks = [path / "kept" for path in paths]
            known = [mark.stat().st_mtime for mark in marks if mark.exists()]
            with contextlib.suppress(DamagedError, IndexError):
                known.append(self._archive.about(paths[-1]).get("preserved_s", 0.0))
            known = [time_s for time_s in known if time_s]
            self._preserved_s = min(max(known, default=self._made_s), time.time())
        return self._preserved_s

    def _judged(self, steps: Sequence[int]) -> dict[int, object]:
        """Step -> what the metric of `best` was there."""
        assert self._best is not None
        return {step: self._value(step, self._best.metric) for step in steps}

    def _value(self, step: int, metric: str) -> object:
        if step not in self._values:
            try:
                metrics = (
                    self._archive.about(self.directory / str(step))["metrics"] or {}
                )
            except DamagedError:
                metrics = {}
            self._values[step] = metrics.get(metric)
        return self._values[step]

    # -- reading

    def _read(self, step: int, abstract: Tree, *, partial: bool) -> Restored:
        import jax

        path = self.directory / str(step)
        about = self._archive.about(path)
        saved = self._matched(step, about, abstract, partial=partial)
        wanted = flat(abstract)
        if collectives.process_count() > 1:
            # Loads JAX, and listing checkpoints should not.
            from specflow.output.checkpoint.pieces import read_together

            arrays = read_together(path, saved, wanted)
            on_device = [arrays[name] for name in wanted]
        else:
            on_host = self._archive.arrays(path, saved)
            on_device = jax.device_put(
                [on_host[name] for name in wanted],
                [getattr(leaf, "sharding", None) for leaf in wanted.values()],
            )
        state = jax.tree.unflatten(jax.tree.structure(abstract), on_device)
        return Restored(step, state, about["data"])

    def _matched(
        self, step: int, about: Mapping[str, Any], abstract: Tree, *, partial: bool
    ) -> dict[str, SavedArray]:
        """The saved arrays that are wanted, when they are those that are wanted."""
        saved = _described(about)
        if partial:
            parts = tuple(f"{part}/" for part in abstract)
            saved = {name: a for name, a in saved.items() if name.startswith(parts)}
        if found := differences(saved, flat(abstract)):
            raise CheckpointError(*self._of_another_model(step, found, len(saved)))
        return saved

    # -- messages

    def _missing(self, step: int | None, steps: list[int]) -> Diagnostic:
        there = f"there are {', '.join(map(str, steps))}" if steps else "there is none"
        problem = (
            f"no checkpoint of step {step}" if step is not None else "no checkpoint"
        )
        return Diagnostic(
            str(self.directory),
            problem if step is None else f"{problem}; {there}",
            hint="Train first, or name another run." if not steps else "",
            code="checkpoint-missing",
        )

    def _damaged(self, step: int, why: str, *, only: bool) -> Diagnostic:
        return Diagnostic(
            str(self.directory / str(step)),
            f"the checkpoint of step {step} is damaged: {why}",
            hint=self._other_than(step) if only else "",
            code="checkpoint-damaged",
        )

    def _other_than(self, step: int) -> str:
        others = [str(other) for other in self._present() if other != step]
        return f"Other steps: {', '.join(others)}." if others else ""

    def _newest_as_text(self) -> str:
        latest = max(self._present(), default=None)
        return "the start" if latest is None else f"step {latest}"

    def _of_another_model(
        self, step: int, found: list[tuple[str, str]], total: int
    ) -> list[Diagnostic]:
        headline = Diagnostic(
            str(self.directory / str(step)),
            f"checkpoint of another model: {len(found)} arrays differ ({total} saved)",
            hint="Restore it with the config of its own run, or choose another "
            "output.dir.",
            code="checkpoint-of-another-model",
        )
        diagnostics = [
            Diagnostic(name, difference, code="checkpoint-of-another-model")
            for name, difference in found[:_MOST_SHOWN]
        ]
        if len(found) > _MOST_SHOWN:
            diagnostics.append(
                Diagnostic(
                    "",
                    f"... and {len(found) - _MOST_SHOWN} more",
                    code="checkpoint-of-another-model",
                )
            )
        return [headline, *diagnostics]


def located(path: str | Path, *, key: str = "") -> tuple[Path, int | None]:
    """The directory of checkpoints that a path means, and the step of one of them.

    Args:
        path: one checkpoint, a `checkpoints/` directory, or a model or run directory;
            the last two mean the newest one there, step None.
        key: that gives the path, for the message; without one, the path stands there.

    Raises:
        CheckpointError: nothing of the kind is there.
    """
    where = expanded(path, key or "checkpoint_path").absolute()
    for folder in (where / "checkpoints", where):
        if any(found.name.isdigit() for found in folder.glob("*/")):
            return folder, None
    if where.name.isdigit():
        for folder in (where.parent, where.parent / "checkpoints"):
            if (folder / where.name).is_dir():
                return folder, int(where.name)
    raise CheckpointError(
        Diagnostic(
            key or str(path),
            (f"{path} " if key else "")
            + ("is no checkpoint" if where.exists() else "does not exist"),
            expected="a checkpoint, such as RUN/checkpoints/100, or a directory with "
            "checkpoints",
            hint="" if where.exists() else absence_hint(where),
            code="checkpoint-path",
        )
    )


def _described(about: Mapping[str, Any]) -> dict[str, SavedArray]:
    return {
        name: SavedArray(
            tuple(array["shape"]),
            np.dtype(array["dtype"]),
            array.get("xxh3_128") or tuple(map(tuple, array["shards"])),
        )
        for name, array in about["arrays"].items()
    }


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
