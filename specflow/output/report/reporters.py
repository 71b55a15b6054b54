"""Reporters: write the metrics of a run in a thread, beside training."""

import contextlib
import json
import os
import queue
import threading
import time
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import IO, Any, Protocol

from specflow.diagnostics import user_code
from specflow.diagnostics.errors import Diagnostic, OutputError
from specflow.output.files import replacing, reported
from specflow.output.json_values import to_plain
from specflow.output.report.matrix_image import is_matrix, matrix_image
from specflow.output.report.matrix_names import ClassNames, numbered
from specflow.runtime.filesystem import expanded
from specflow.runtime.plain_tree import settings

__all__ = ["AsyncReporters", "JsonLines", "Reporter", "TensorBoard", "read_rows"]

_FLUSH_INTERVAL_S = 2.0


class Reporter(Protocol):
    """Writes rows of metrics: numbers, or arrays (also on a device)."""

    path: Path
    """File or directory that it writes, for messages."""

    def write(self, step: int, split: str, metrics: Mapping[str, Any]) -> None:
        """Writes one row; `split` is `train` or `eval`."""
        ...

    def close(self) -> None:
        """Writes all buffered rows.

        A reporter may also have `flush()`, called before a checkpoint is complete: the
        rows before it are not written again. And `finish(status)`, called once after
        `close`, when all files of the run are written: `finished`, `stopped` by a
        signal, or `failed`.
        """
        ...


def read_rows(path: str | Path) -> list[dict[str, Any]]:
    """Reads the rows of a `metrics.jsonl`, oldest first; skips invalid lines.

    A process that is killed while writing leaves a partial line.
    """
    rows = []
    with contextlib.suppress(FileNotFoundError):
        for line in expanded(path).read_bytes().splitlines():
            with contextlib.suppress(ValueError):
                row = json.loads(line)
                if isinstance(row, dict) and isinstance(row.get("step"), int):
                    rows.append(row)
    return rows


class JsonLines:
    """Writes a JSON object a line: `{"step": 100, "split": "train", "loss": 0.5}`.

    Non-finite numbers are null. When a run is resumed, rows beyond the restored step
    are removed, and an existing row is not written twice.

    Args:
        path: the file, `metrics.jsonl`.
        resumed_at: step from which the run resumes; 0 for a new run.

    Raises:
        OutputError: the file cannot be written.
    """

    def __init__(self, path: str | Path, *, resumed_at: int = 0):
        self.path = expanded(path)
        kept = [row for row in read_rows(self.path) if row["step"] <= resumed_at]
        if self.path.exists():
            text = "".join(json.dumps(row) + "\n" for row in kept)
            if text.encode() != self.path.read_bytes():
                with replacing(self.path) as temporary:
                    temporary.write_text(text, encoding="utf-8")
        self.existing = {(row["step"], str(row.get("split"))) for row in kept}
        """(step, split) of the rows that were there."""
        with reported(self.path):
            self._file: IO[str] = self.path.open("a", encoding="utf-8")

    def write(self, step: int, split: str, metrics: Mapping[str, Any]) -> None:
        if (step, split) in self.existing:
            return
        row = {"step": step, "split": split, **to_plain(metrics)}
        with reported(self.path):
            self._file.write(json.dumps(row, allow_nan=False) + "\n")
            self._file.flush()

    def close(self) -> None:
        with reported(self.path):
            self._file.close()


class TensorBoard:
    """Writes TensorBoard events: a scalar `<split>/<metric>` for each number.

    Args:
        path: directory of the events, created with the first row; inside a folder that
            exists now, it is not written once that has been removed.
        resumed_at: step from which the run resumes; later events of an earlier process
            are hidden.
        existing: (step, split) of rows that an earlier process has written, and that
            are not written again.
        config: its settings are the hyperparameters of the HPARAMS tab, without those
            of `output`; None: the run has no such tab.
        pictures: draw square arrays, such as a confusion matrix, as images.
        class_names: number of classes -> names in the pictures.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        resumed_at: int = 0,
        existing: Collection[tuple[int, str]] = (),
        config: Mapping[str, Any] | None = None,
        pictures: bool = False,
        class_names: ClassNames = numbered,
    ):
        self.path = expanded(path)
        self._existing, self._pictures = existing, pictures
        self._class_names = class_names
        self._resumed_at = resumed_at
        self._hparams = None if config is None else _hparams(config)
        self._makes_parents = not self.path.parent.exists()
        self._records: Any = None
        self._next_flush_s = 0.0

    def write(self, step: int, split: str, metrics: Mapping[str, Any]) -> None:
        if (step, split) in self._existing:
            return
        values: list[dict[str, Any]] = [
            {"tag": f"{split}/{name}", "simple_value": float(value)}
            for name, value in metrics.items()
            if getattr(value, "ndim", 0) == 0
        ]
        if self._pictures:
            values += [
                {
                    "tag": f"{split}/{name}",
                    "image": matrix_image(value, self._class_names),
                }
                for name, value in metrics.items()
                if is_matrix(value)
            ]
        with reported(self.path):
            if self._records is None:
                self._open()
            self._add(step, summary={"value": values})

    def flush(self) -> None:
        """Writes buffered events to the file, which a kill would lose."""
        if self._records is not None:
            with reported(self.path):
                self._records.flush()

    def close(self) -> None:
        if self._records is not None:
            with reported(self.path):
                self._records.close()

    def finish(self, status: str) -> None:
        """Records that the run has succeeded, in the HPARAMS tab.

        TensorBoard takes the first status of a run, and a run that failed or was
        stopped may be resumed: it has none.
        """
        if status == "finished" and self._hparams and self._records is not None:
            self.end(has_succeeded=True)

    def end(self, *, has_succeeded: bool) -> None:
        """Records how the run ended, for good; in a file of its own."""
        from tensorboardX.proto import api_pb2, plugin_hparams_pb2

        messages: Any = plugin_hparams_pb2
        api: Any = api_pb2
        with reported(self.path):
            self._open_file()
            name = "STATUS_SUCCESS" if has_succeeded else "STATUS_FAILURE"
            ended = messages.SessionEndInfo(
                status=api.Status.Value(name), end_time_secs=time.time()
            )
            content = messages.HParamsPluginData(session_end_info=ended)
            plugin = {"plugin_name": "hparams", "content": content.SerializeToString()}
            value = {
                "tag": "_hparams_/session_end_info",
                "metadata": {"plugin_data": plugin},
            }
            self._add(0, summary={"value": [value]})
            self._records.close()

    def _open_file(self) -> None:
        # The plain record writer: SummaryWriter has a thread that ends silently when
        # the disk is full.
        from tensorboardX import RecordWriter

        self.path.mkdir(parents=self._makes_parents, exist_ok=True)
        # Nanoseconds, because a file of the same name would be truncated.
        name = f"events.out.tfevents.{time.time_ns()}.{os.getpid()}"
        self._records = RecordWriter(str(self.path / name))
        self._add(0, file_version="brain.Event:2")

    def _open(self) -> None:
        from tensorboardX.proto.event_pb2 import SessionLog  # type: ignore

        self._open_file()
        if self._hparams:
            from tensorboardX.summary import hparams

            # Without the first, which lists columns, and which TensorBoard takes of one
            # trial: it shows those of all trials then, and the metrics that they have.
            # The last says that training has succeeded, which `finish` knows.
            _, start, _ = hparams(self._hparams, {})
            self._add(0, summary=start)
        if self._resumed_at:
            self._add(self._resumed_at + 1, session_log={"status": SessionLog.START})

    def _add(self, step: int, **content: Any) -> None:
        from tensorboardX.proto.event_pb2 import Event  # type: ignore

        event: Any = Event(step=step, wall_time=time.time(), **content)
        self._records.write(event.SerializeToString())
        # A flush waits for the disk; metrics.jsonl has every row immediately.
        if time.monotonic() >= self._next_flush_s:
            self._records.flush()
            self._next_flush_s = time.monotonic() + _FLUSH_INTERVAL_S


class AsyncReporters:
    """Runs reporters in a thread, so that training never waits for them.

    Values may be arrays that are still being computed: the thread waits for them.

    An error of one reporter is raised once, by the caller's next `write` or `close`;
    the others still receive every row. Errors of the user's code keep their type.

    Args:
        reporters: each receives every row.
    """

    def __init__(self, reporters: Iterable[Reporter] = ()):
        self._reporters = list(reporters)
        self._broken: set[int] = set()
        self._errors: list[Diagnostic] = []
        self._unwritten: tuple[Diagnostic, ...] = ()
        """Why rows of `metrics.jsonl` are missing."""
        self._user_error: Exception | None = None
        self._rows: queue.SimpleQueue[
            tuple[int, str, dict[str, Any]] | threading.Event | None
        ]
        self._rows = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(
            target=self._run, name="specflow-reporters", daemon=True
        )
        self._thread.start()

    def open(self, reporters: Iterable[Reporter]) -> None:
        """Adds reporters, which receive every later row."""
        self._reporters.extend(reporters)

    def write(self, step: int, split: str, metrics: Mapping[str, Any]) -> None:
        """Queues one row and returns immediately.

        Raises:
            OutputError: a reporter failed with an earlier row.
        """
        self._rows.put((step, split, dict(metrics)))
        self._raise()

    def flush(self) -> None:
        """Waits until every queued row is written; safe to call from any thread.

        A checkpoint is complete only after that: the steps before it are not taken
        again, so a row that is lost with the process would never be written.

        Raises:
            OutputError: `metrics.jsonl` could not be written, so no later checkpoint
                may be complete.
        """
        if not self._closed:
            written = threading.Event()
            self._rows.put(written)
            while self._thread.is_alive() and not written.wait(1.0):
                pass
        if self._unwritten:
            raise OutputError(*self._unwritten)

    def close(self) -> None:
        """Waits until every row is written and closes the reporters.

        Raises:
            OutputError: a reporter failed, and no `write` has raised that.
        """
        if not self._closed:
            self._closed = True
            self._rows.put(None)
            self._thread.join()
        self._raise()

    def finish(self, status: str) -> None:
        """Lets reporters that have a method `finish` send the files of the run.

        Args:
            status: `finished`, `stopped` or `failed`.

        Raises:
            OutputError: a reporter failed.
        """
        for index, reporter in enumerate(self._reporters):
            if (finish := getattr(reporter, "finish", None)) is not None:
                self._try(index, finish, status)
        self._raise()

    def _run(self) -> None:
        while (row := self._rows.get()) is not None:
            if isinstance(row, threading.Event):
                self._flush()
                row.set()
                continue
            for index, reporter in enumerate(self._reporters):
                if index not in self._broken:
                    self._try(index, reporter.write, *row)
        for index, reporter in enumerate(self._reporters):
            self._try(index, reporter.close)

    def _flush(self) -> None:
        for index, reporter in enumerate(self._reporters):
            flush = getattr(reporter, "flush", None)
            if flush is not None and index not in self._broken:
                self._try(index, flush)

    def _try(self, index: int, action: Any, *args: Any) -> None:
        try:
            action(*args)
        except OutputError as error:
            self._note(index, *error.diagnostics)
        except Exception as error:
            if user_code.is_users(error):
                self._user_error = self._user_error or error
                self._broken.add(index)
                return
            where = str(self._reporters[index].path)
            self._note(
                index, Diagnostic(where, f"cannot be written: {error}", code="reporter")
            )

    def _note(self, index: int, *diagnostics: Diagnostic) -> None:
        # Closing a broken reporter fails again for the same reason: reported once.
        if index not in self._broken:
            self._broken.add(index)
            self._errors.extend(diagnostics)
            if isinstance(self._reporters[index], JsonLines):
                self._unwritten = diagnostics

    def _raise(self) -> None:
        if self._user_error is not None:
            error, self._user_error = self._user_error, None
            raise error
        if self._errors:
            diagnostics = [self._errors.pop(0) for _ in range(len(self._errors))]
            raise OutputError(*diagnostics)


def _hparams(config: Mapping[str, Any]) -> dict[str, bool | int | float | str]:
    """Flattens a config to dotted keys; leaves out the section `output`.

    Defaults are included, so that all trials of a sweep have the same columns. Values
    without a TensorBoard type (null, lists) become JSON text.

    >>> _hparams({"seed": 0, "model": {"hidden": [8], "dropout": None}})
    {'seed': 0, 'model.hidden': '[8]', 'model.dropout': 'null'}
    """
    return {
        ".".join(path): value
        if isinstance(value, bool | int | float | str)
        else json.dumps(value, default=str)
        for path, value in settings(config)
        if path[0] != "output"
    }
