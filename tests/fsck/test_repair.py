"""Repair of what a killed process left, and of what is damaged."""

import json
import shutil
import subprocess
import sys

import pytest

from specflow.cli.main import main
from specflow.diagnostics.errors import MACHINE, MISTAKE
from specflow.runtime.new_directory import new_directory

ENDED = 2**22 + 1
"""Process id above the largest of Linux."""


def append(file, text):
    with file.open("ab") as opened:
        opened.write(text)


def flip(file, offset=-1):
    content = bytearray(file.read_bytes())
    content[offset] ^= 1
    file.write_bytes(content)


def arrays_of(run, step):
    (file,) = (run / "checkpoints" / str(step)).glob("*.safetensors")
    return file


@pytest.fixture
def killed(stopped):
    """A run that was killed several times, in the middle of everything."""
    checkpoints = stopped / "checkpoints"
    shutil.copytree(checkpoints / "6", checkpoints / "9.partial")
    (checkpoints / "9.partial" / "checkpoint.json").unlink()
    shutil.copytree(checkpoints / "3", checkpoints / "deleting-1")
    shutil.copytree(stopped / "export" / "best", stopped / "export" / "temp-1795911131")
    (stopped / f".config.yaml.{ENDED}.tmp").write_text("seed: 0\n")
    append(stopped / "metrics.jsonl", b'{"step": 8, "spl')
    append(stopped / "eval" / "metrics.jsonl", b'{"step": 9')
    events = min((stopped / "tensorboard").iterdir())  # The other has the status.
    append(events, b"\x20\0\0\0\0\0")
    return stopped


def test_each_trace_of_a_kill_is_listed(killed, fsck):
    status, lines = fsck(killed)
    assert status == 0
    table = [line.split(maxsplit=2) for line in lines[: lines.index("")]]
    bad = {path: (verdict, why) for path, verdict, *why in table if verdict != "ok"}
    events = min((killed / "tensorboard").iterdir())  # The other has the status.
    assert bad == {
        f".config.yaml.{ENDED}.tmp": ("leftover", ["is a temporary file"]),
        "checkpoints/9.partial": (
            "incomplete",
            ["is not complete; only complete checkpoints have a step as name"],
        ),
        "checkpoints/deleting-1": ("leftover", ["its removal was interrupted"]),
        "eval/metrics.jsonl": ("incomplete", ["line 3 is torn"]),
        "export/temp-1795911131": (
            "incomplete",
            ["is not complete; only complete exports have a time as name"],
        ),
        "metrics.jsonl": ("incomplete", ["line 6 is torn"]),
        f"tensorboard/{events.name}": (
            "incomplete",
            [f"record {len(lines_of_events(events)) + 1} is torn"],
        ),
    }


def test_an_export_that_is_being_written_is_left_alone(stopped, fsck):
    with new_directory(stopped / "export" / "1795911131") as temporary:
        (temporary / "weights.bin").write_bytes(b"half")
        status, lines = fsck(stopped, "--repair")
        assert (temporary / "weights.bin").exists()
    assert status == 0
    (line,) = [each for each in lines if "temp-" in each]
    path, verdict, reason = line.split(maxsplit=2)
    assert (path, verdict) == ("export/temp-1795911131", "ok")
    assert reason == "another process is writing it"


def lines_of_events(events):
    """The complete records of an event file, by their lengths alone."""
    content, start, records = events.read_bytes(), 0, []
    while start + 12 <= len(content):
        length = int.from_bytes(content[start : start + 8], "little")
        records.append(content[start : start + length + 16])
        start += length + 16
    return records


def test_a_second_check_after_a_repair_is_clean(killed, fsck, finished):
    status, lines = fsck(killed, "--repair")
    assert status == 0
    assert len(lines[lines.index("repaired:") + 1 :]) == 7
    status, lines = fsck(killed)
    assert status == 0
    assert {line.split()[1] for line in lines[: lines.index("")]} == {"ok"}
    assert not (killed / "damaged").exists()
    # All that was complete is there as it was.
    for name in ("metrics.jsonl", "eval/metrics.jsonl", "config.yaml"):
        assert (killed / name).read_bytes() == (finished / name).read_bytes()


def test_a_dry_run_changes_nothing(killed, fsck, contents):
    before = contents(killed)
    status, lines = fsck(killed, "--repair", "--dry-run")
    assert status == 0
    actions = lines[lines.index("--repair would:") + 1 :]
    assert "  remove checkpoints/9.partial" in actions
    assert "  drop 16 bytes of metrics.jsonl that cannot be read" in actions
    assert contents(killed) == before


def test_training_resumes_from_the_last_good_step(stopped, fsck, finished, train_words):
    flip(arrays_of(stopped, 6))
    status, lines = fsck(stopped)
    assert status == 1
    (line,) = [line for line in lines if line.startswith("checkpoints/6")]
    assert "damaged" in line
    assert "changed since it was written" in line
    status, lines = fsck(stopped, "--repair")
    assert status == 0
    assert lines[-1] == "  move checkpoints/6 to damaged/"
    assert (stopped / "damaged" / "checkpoints" / "6" / "checkpoint.json").exists()
    assert fsck(stopped)[0] == 0
    assert main(["train", *train_words, f"output.dir={stopped}"]) == 0
    again = json.loads((stopped / "result.json").read_text())
    before = json.loads((finished / "result.json").read_text())
    assert again["eval"] == before["eval"]
    assert fsck(stopped)[0] == 0


def test_the_only_checkpoints_stay_even_if_they_are_damaged(stopped, fsck):
    checkpoints = stopped / "checkpoints"
    shutil.copytree(checkpoints / "3", checkpoints / "deleting-1")
    for step in (3, 6):
        flip(arrays_of(stopped, step))
    status, lines = fsck(stopped, "--repair")
    assert status == 1
    assert sum(line.endswith("; no intact checkpoint remains") for line in lines) == 3
    assert (checkpoints / "deleting-1" / "checkpoint.json").exists()
    assert "repaired:" not in lines
    assert arrays_of(stopped, 3).exists()
    assert arrays_of(stopped, 6).exists()


def test_readable_rows_and_records_stay_beside_a_copy_of_the_damaged_file(run, fsck):
    rows = (run / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    (run / "metrics.jsonl").write_bytes(
        b"".join([rows[0], b"\xff\0\n", *rows[1:], b"{"])
    )
    events = min((run / "tensorboard").iterdir())  # The other has the status.
    records = lines_of_events(events)
    flip(events, len(records[0]) + 14)
    damaged = events.read_bytes()
    assert fsck(run, "--repair")[0] == 0
    assert (run / "metrics.jsonl").read_bytes() == b"".join(rows)
    assert events.read_bytes() == b"".join([records[0], *records[2:]])
    copy = run / "damaged" / "tensorboard" / events.name
    assert copy.read_bytes() == damaged
    # The digests in the result are those of the files as they are now.
    assert fsck(run)[0] == 0


def test_damaged_results_and_exports_are_moved(run, fsck):
    result = (run / "result.json").read_text()
    (run / "result.json").write_text(result.replace('"step": 6', '"step": 7'))
    (export,) = run.glob("export/[0-9]*")
    flip(export / "weights.bin")
    status, lines = fsck(run)
    assert status == 1
    assert "  move result.json to damaged/" in lines
    assert any("weights.bin changed since it was written" in line for line in lines)
    assert fsck(run, "--repair")[0] == 0
    assert (run / "damaged" / "result.json").exists()
    assert (run / "damaged" / "export" / export.name / "weights.bin").exists()
    assert fsck(run)[0] == 0


def test_a_damaged_config_stays_and_is_reported(run, fsck):
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(config.replace("seed: 0", "seed: 1"))
    for _ in range(2):
        status, lines = fsck(run, "--repair")
        assert status == 1
        assert lines[0].split() == (
            "config.yaml damaged changed since result.json was written".split()
        )
    assert (run / "config.yaml").exists()


def test_a_repair_waits_for_no_process_that_writes_the_run(run, capsys, contents):
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from specflow.output.run.lock import Lock\n"
        "lock = Lock(Path(sys.argv[1]))\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(run / ".lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        before = contents(run)
        assert main(["fsck", f"run={run}"]) == 0
        first = capsys.readouterr().out.splitlines()[0]
        assert first.split(maxsplit=2) == [
            ".lock",
            "ok",
            f"held by process {process.pid}, which writes this run now",
        ]
        assert main(["fsck", f"run={run}", "--repair"]) == MACHINE
        assert capsys.readouterr().err == (
            f"error[run-locked] {run}: process {process.pid} is writing this run "
            "directory. Wait for it or end it, or choose another output.dir.\n"
        )
        assert contents(run) == before
        process.communicate("")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            [],
            "error[missing] run: is missing (command line). Expected run=DIR, a run "
            "directory or a folder of runs.",
        ),
        (
            ["run=nowhere"],
            "error[run-missing] run: 'nowhere' is no directory (override run=nowhere). "
            "Expected a run directory, a model_dir, or a folder with some below it.",
        ),
        (
            ["run=.", "seed=1"],
            "error[usage] seed=1: is no argument of fsck (command line). Expected "
            "run=DIR alone.",
        ),
        (
            ["run=.", "--dry-run"],
            "error[usage] --dry-run: is given without --repair (command line).",
        ),
    ],
)
def test_a_wrong_command_line_is_refused(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["fsck", *words]) == MISTAKE
    assert capsys.readouterr().err == f"{message}\n"


def test_training_that_has_no_step_left_removes_what_a_kill_left(killed, train_words):
    assert main(["train", *train_words, f"output.dir={killed}"]) == 0
    names = {path.name for path in (killed / "checkpoints").iterdir()}
    assert names == {"3", "6"}
