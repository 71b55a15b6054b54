"""Reporters: valid rows, no row twice, and one that fails does not stop the others."""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from specflow.diagnostics.errors import Diagnostic, OutputError
from specflow.output import (
    AsyncReporters,
    Checkpointer,
    JsonLines,
    TensorBoard,
    read_rows,
)


def written(path, *, resumed_at=0, rows):
    """Writes (step, split, loss) rows and returns the rows of the file."""
    reporter = JsonLines(path, resumed_at=resumed_at)
    for step, split, loss in rows:
        reporter.write(step, split, {"loss": loss})
    reporter.close()
    # Strict: a NaN, which is no JSON, fails here.
    return [
        json.loads(line, parse_constant=pytest.fail)
        for line in path.read_text().splitlines()
    ]


def test_a_checkpoint_is_complete_only_when_the_rows_before_it_are_written(tmp_path):
    """A resumed run takes no step before the checkpoint again, so writes no row."""
    released = threading.Event()

    class Slow:
        path = tmp_path

        def write(self, *_):
            assert released.wait(60)

        def close(self):
            pass

    reporters = AsyncReporters([Slow(), JsonLines(tmp_path / "metrics.jsonl")])
    with Checkpointer(tmp_path / "checkpoints") as checkpointer:
        checkpointer.before_complete.append(reporters.flush)
        for step in (1, 2, 3):
            reporters.write(step, "train", {"loss": 0.5})
        checkpointer.save(3, {"x": np.ones(2)})
        deadline_s = time.monotonic() + 60
        while not (tmp_path / "checkpoints/3.partial/checkpoint.json").exists():
            assert time.monotonic() < deadline_s
            time.sleep(0.001)
        assert checkpointer.steps() == []
        released.set()
        checkpointer.wait()
        assert checkpointer.steps() == [3]
        rows = read_rows(tmp_path / "metrics.jsonl")
        assert [row["step"] for row in rows] == [1, 2, 3]
    reporters.close()
    reporters.flush()  # Returns: no row can be waiting.


KILLED = """
import os, signal, sys

number = int(sys.argv[2])


def kill(event, arguments):
    global number
    if event in ("open", "os.chmod", "os.rename", "os.remove") and "metrics" in str(
        arguments[0]
    ):
        number -= 1
        if number == 0:
            os.kill(os.getpid(), signal.SIGKILL)


from specflow.output import JsonLines

sys.addaudithook(kill)
JsonLines(sys.argv[1], resumed_at=2).close()
"""


def test_a_kill_while_the_rows_after_a_checkpoint_are_cut_loses_no_row(tmp_path):
    """At every operation on a file: all rows are there, or those that are kept."""
    path = tmp_path / "metrics.jsonl"
    lines = [json.dumps(row(step, "train", 0.5)) + "\n" for step in range(1, 6)]
    for number in itertools.count(1):
        path.write_text("".join(lines))
        killed = subprocess.run(
            [sys.executable, "-c", KILLED, str(path), str(number)], check=False
        )
        assert path.read_text() in ("".join(lines), "".join(lines[:2]))
        JsonLines(path, resumed_at=2).close()
        assert path.read_text() == "".join(lines[:2])
        if killed.returncode != -signal.SIGKILL:
            break
    assert killed.returncode == 0
    assert number > 4


def row(step, split, loss):
    return {"step": step, "split": split, "loss": loss}


def test_a_row_is_a_json_object_and_non_finite_numbers_are_null(tmp_path):
    path = tmp_path / "metrics.jsonl"
    reporter = JsonLines(path)
    reporter.write(1, "train", {"loss": jnp.float32(0.5), "lr": np.float64(0.25)})
    reporter.write(2, "eval", {"auc": float("nan"), "confusion": np.array([[1, 2]])})
    reporter.write(3, "eval", {"loss": float("inf"), "recalls": np.array([np.nan, 1])})
    reporter.close()
    assert path.read_text() == (
        '{"step": 1, "split": "train", "loss": 0.5, "lr": 0.25}\n'
        '{"step": 2, "split": "eval", "auc": null, "confusion": [[1, 2]]}\n'
        '{"step": 3, "split": "eval", "loss": null, "recalls": [null, 1.0]}\n'
    )


def test_a_row_is_on_disk_as_soon_as_it_is_written(tmp_path):
    reporter = JsonLines(tmp_path / "metrics.jsonl")
    reporter.write(1, "train", {"loss": 0.5})
    assert read_rows(tmp_path / "metrics.jsonl") == [row(1, "train", 0.5)]
    reporter.close()


def test_a_resumed_run_has_every_step_once(tmp_path):
    path = tmp_path / "metrics.jsonl"
    first = [
        (10, "train", 3.0),
        (20, "train", 2.0),
        (20, "eval", 2.5),
        (30, "train", 1.0),
    ]
    written(path, rows=first)
    after = written(
        path,
        resumed_at=20,
        rows=[(20, "eval", 2.5), (30, "train", 1.1), (40, "train", 0.9)],
    )
    assert after == [
        row(10, "train", 3.0),
        row(20, "train", 2.0),
        row(20, "eval", 2.5),
        row(30, "train", 1.1),
        row(40, "train", 0.9),
    ]


@pytest.mark.parametrize("cut", range(1, 40, 6))
def test_a_partial_line_of_a_crash_is_dropped(tmp_path, cut):
    path = tmp_path / "metrics.jsonl"
    written(path, rows=[(10, "train", 3.0), (20, "train", 2.0)])
    content = path.read_bytes()
    path.write_bytes(content[:-cut])
    assert read_rows(path)[0] == row(10, "train", 3.0)
    after = written(path, resumed_at=20, rows=[(20, "train", 2.0), (30, "train", 1.0)])
    assert after == [
        row(10, "train", 3.0),
        row(20, "train", 2.0),
        row(30, "train", 1.0),
    ]


def test_rows_kept_stay_as_they_were_to_the_byte(tmp_path):
    path = tmp_path / "metrics.jsonl"
    written(path, rows=[(1, "train", 1 / 3), (2, "train", 1e-300), (3, "train", 2e22)])
    before = path.read_bytes()
    written(path, resumed_at=3, rows=[])
    assert path.read_bytes() == before
    written(path, resumed_at=2, rows=[])
    assert path.read_bytes() == b"".join(before.splitlines(keepends=True)[:2])


def test_a_missing_file_has_no_rows(tmp_path):
    assert read_rows(tmp_path / "none.jsonl") == []


# -- TensorBoard


def scalars(directory: Path) -> list[tuple[int, str, float]]:
    """(step, tag, value) of every event file, read record by record.

    Source of the format: TFRecord, a little-endian length of 8 bytes, its crc of 4, the
    bytes, their crc of 4.
    """
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for path in sorted(directory.iterdir()):
        content, at = path.read_bytes(), 0
        while at < len(content):
            length = int.from_bytes(content[at : at + 8], "little")
            event = Event.FromString(content[at + 12 : at + 12 + length])
            at += 16 + length
            found += [(event.step, v.tag, v.simple_value) for v in event.summary.value]
            if event.HasField("session_log"):
                found.append((event.step, "session", float(event.session_log.status)))
    return found


def test_numbers_become_curves_named_by_split_and_metric(tmp_path):
    reporter = TensorBoard(tmp_path / "tensorboard")
    assert not reporter.path.exists()
    reporter.write(10, "train", {"loss": jnp.float32(0.5)})
    reporter.write(10, "eval", {"accuracy": 0.25, "confusion": np.eye(2)})
    reporter.close()
    assert scalars(reporter.path) == [
        (10, "train/loss", 0.5),
        (10, "eval/accuracy", 0.25),
    ]


def test_hyperparameters_of_a_config_reach_the_hparams_tab_with_their_types(tmp_path):
    """Read back by TensorBoard's own message; None and lists would be empty there."""
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

    tree = {
        "seed": 3,
        "optimizer": {"lr": 0.5, "schedule": None},
        "model": {"name": "mlp", "hidden": [8, 4], "bias": True},
        "output": {"dir": "run"},
    }
    reporter = TensorBoard(tmp_path, config=tree)
    reporter.write(1, "train", {"loss": 0.5})
    reporter.close()
    (path,) = tmp_path.iterdir()
    content, at, found, metrics = path.read_bytes(), 0, {}, set()
    while at < len(content):
        size = int.from_bytes(content[at : at + 8], "little")
        event = Event.FromString(content[at + 12 : at + 12 + size])
        at += size + 16
        for value in event.summary.value:
            if value.metadata.plugin_data.plugin_name == "hparams":
                data = HParamsPluginData.FromString(value.metadata.plugin_data.content)
                for key, one in data.session_start_info.hparams.items():
                    found[key] = getattr(one, one.WhichOneof("kind"))
                metrics |= {one.name.tag for one in data.experiment.metric_infos}
    assert found == {
        "seed": 3.0,
        "optimizer.lr": 0.5,
        "optimizer.schedule": "null",
        "model.name": "mlp",
        "model.hidden": "[8, 4]",
        "model.bias": True,
    }
    # TensorBoard would take the columns of one trial for all.
    assert metrics == set()


def test_a_resumed_run_hides_the_events_beyond_its_step(tmp_path):
    for resumed_at in (0, 20):
        reporter = TensorBoard(tmp_path, resumed_at=resumed_at)
        reporter.write(30, "train", {"loss": 1.0})
        reporter.close()
    assert len(list(tmp_path.iterdir())) == 2
    # A session that starts at 21 (status 1) hides what earlier files say from there.
    assert scalars(tmp_path) == [
        (30, "train/loss", 1.0),
        (21, "session", 1.0),
        (30, "train/loss", 1.0),
    ]


def test_writers_that_start_at_once_have_files_of_their_own(tmp_path):
    reporters = [TensorBoard(tmp_path) for _ in range(8)]
    for step, reporter in enumerate(reporters, start=1):
        reporter.write(step, "train", {"loss": 0.5})
    for reporter in reporters:
        reporter.close()
    assert len(list(tmp_path.iterdir())) == 8
    assert sorted(step for step, _, _ in scalars(tmp_path)) == [*range(1, 9)]


def test_a_row_that_an_earlier_process_has_written_is_not_written_again(tmp_path):
    """As of an evaluation that is repeated at the step of the checkpoint."""
    for existing in ((), {(10, "train"), (10, "eval")}):
        reporter = TensorBoard(tmp_path, existing=existing, resumed_at=10)
        reporter.write(10, "eval", {"loss": 1.0})
        reporter.close()
    assert [tag for _, tag, _ in scalars(tmp_path)].count("eval/loss") == 1


KILLED_AFTER_FLUSH = """
import os, signal, sys
from specflow.output import AsyncReporters, TensorBoard

reporters = AsyncReporters([TensorBoard(sys.argv[1])])
for step in range(1, 6):
    reporters.write(step, "train", {"loss": 0.5})
reporters.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_kill_after_a_checkpoint_loses_no_event_before_it(tmp_path):
    command = [sys.executable, "-c", KILLED_AFTER_FLUSH, str(tmp_path)]
    assert subprocess.run(command).returncode == -signal.SIGKILL
    assert [step for step, _, _ in scalars(tmp_path)] == [1, 2, 3, 4, 5]


def test_a_confusion_matrix_is_drawn_if_asked(tmp_path):
    import io

    import matplotlib.image
    from tensorboardX.proto.event_pb2 import Event

    reporter = TensorBoard(tmp_path, pictures=True)
    row = {"confusion": np.array([[9, 1], [0, 10]]), "vector": np.ones(3)}
    reporter.write(10, "eval", row | {"wide": np.ones((2, 3)), "loss": 0.5})
    reporter.close()
    (path,) = tmp_path.iterdir()
    content, at, images = path.read_bytes(), 0, {}
    while at < len(content):
        size = int.from_bytes(content[at : at + 8], "little")
        event = Event.FromString(content[at + 12 : at + 12 + size])
        at += size + 16
        for value in event.summary.value:
            if value.HasField("image"):
                images[value.tag] = value.image
    assert set(images) == {"eval/confusion"}
    image = images["eval/confusion"]
    pixels = matplotlib.image.imread(io.BytesIO(image.encoded_image_string), "png")
    assert pixels.shape == (image.height, image.width, 4)
    # Of the diagonal, which is dark, and beside it.
    quarter, half = image.height // 3, 2 * image.width // 3
    assert pixels[quarter, quarter, :3].mean() < 0.5 < pixels[quarter, half, :3].mean()


# -- from a thread


class Slow:
    """Keeps rows, each after the gate has opened."""

    path = Path("slow")

    def __init__(self):
        self.gate = threading.Event()
        self.rows = []
        self.closed = False

    def write(self, step, split, metrics):
        self.gate.wait(10)
        self.rows.append((step, split, dict(metrics)))

    def close(self):
        self.closed = True


class Broken(Slow):
    path = Path("/there/broken.txt")

    def write(self, step, split, metrics):
        raise RuntimeError("out of ink")


def test_write_does_not_wait_and_close_does(tmp_path):
    slow = Slow()
    reporters = AsyncReporters([slow])
    metrics = {"loss": 0.0}
    for step in range(100):
        metrics["loss"] = float(step)
        reporters.write(step, "train", metrics)
    assert slow.rows == []
    slow.gate.set()
    reporters.close()
    assert slow.rows == [(s, "train", {"loss": float(s)}) for s in range(100)]
    assert slow.closed
    reporters.close()  # Again is nothing.


def test_an_error_is_raised_once_and_the_others_get_every_row(tmp_path):
    path = tmp_path / "metrics.jsonl"
    reporters = AsyncReporters([Broken(), JsonLines(path)])
    reporters.write(1, "train", {"loss": 1.0})
    while not read_rows(path):
        time.sleep(0.001)
    with pytest.raises(RuntimeError, match="out of ink") as error:
        reporters.write(2, "train", {"loss": 1.0})
    assert type(error.value) is RuntimeError
    assert error.traceback[-1].path == Path(__file__)
    reporters.write(3, "train", {"loss": 1.0})
    reporters.close()
    assert [row["step"] for row in read_rows(path)] == [1, 2, 3]


def test_an_error_with_the_last_row_is_raised_by_close():
    reporters = AsyncReporters([Broken()])
    reporters._rows.put((1, "train", {}))
    with pytest.raises(RuntimeError, match="out of ink"):
        reporters.close()


@pytest.fixture
def tiny_disk(tmp_path):
    """A real file system of 64 KiB, which only root can mount."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.parametrize("kind", [JsonLines, TensorBoard])
def test_a_full_disk_names_the_file_and_earlier_rows_are_readable(tiny_disk, kind):
    reporter = kind(tiny_disk / "metrics")
    written = []

    def fill():
        while True:
            reporter.write(len(written), "train", {f"m{i}": 0.5 for i in range(100)})
            written.append(1)

    with pytest.raises(OutputError) as error:
        fill()
    with contextlib.suppress(OutputError):
        reporter.close()
    assert str(error.value) == (
        f"{tiny_disk}/metrics: cannot be written: No space left on device. Free disk "
        "space or fix the permissions, or choose another output.dir; what was written "
        "before is unchanged."
    )
    if kind is JsonLines:
        assert len(read_rows(reporter.path)) == len(written)


def test_after_a_row_that_is_not_written_no_checkpoint_is_complete(tmp_path):
    class Full(JsonLines):
        def write(self, step, split, metrics):
            if step == 2:
                raise OutputError(Diagnostic(str(self.path), "the disk is full"))
            super().write(step, split, metrics)

    reporters = AsyncReporters([Full(tmp_path / "metrics.jsonl")])
    reporters.write(1, "train", {"loss": 1.0})
    reporters.flush()
    reporters.write(2, "train", {"loss": 0.5})
    for _ in range(2):  # Of every later checkpoint.
        with pytest.raises(OutputError, match="the disk is full"):
            reporters.flush()
    with pytest.raises(OutputError, match="the disk is full"):
        reporters.close()
