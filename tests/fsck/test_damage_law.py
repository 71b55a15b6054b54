"""Every file of a run is changed, shortened and removed: the check names it."""

import json
import os
import shutil
from pathlib import Path

import pytest

from specflow.fsck import run_checks
from specflow.fsck.document_checks import check_config
from specflow.fsck.repairs import repair_run
from specflow.fsck.run_checks import check_run
from specflow.fsck.verdicts import Finding, Verdict

UNDETECTABLE = {
    ".lock": "holds a process id for messages; the lock is the kernel's",
    "rows.jsonl": "has no digest: another valid number, fewer rows, no such file",
    "rows.csv": "has no digest: another cell, fewer rows, no such file",
}
"""Files of which some damage cannot be detected, with the reason. Predictions are
written where a user wants them, and no record of the run lists them."""
UNDETECTABLE_REMOVALS = {
    "result.json": "is absent in a run that is not finished; training writes it again",
}


def damages(content: bytes):
    """Kind and content of a file after damage; None: it is removed."""
    size = len(content)
    for offset in sorted({0, size // 2, size - 1}):
        if 0 <= offset < size:
            flipped = bytearray(content)
            flipped[offset] ^= 1 << offset % 7
            yield f"byte {offset} of {size} flipped", bytes(flipped)
    for kept in sorted({0, size - 1}):
        if kept < size:
            yield f"cut to {kept} of {size} bytes", content[:kept]
    yield "a line appended", content + b"\n"
    yield "removed", None


def named(run: Path, file: Path) -> bool:
    """Whether a finding that is not `ok` has the path of the file, or of its folder."""
    bad = {each.path for each in check_run(run) if each.verdict is not Verdict.OK}
    return bool(bad & {file, *file.parents})


def is_harmless(file: Path, before: bytes, after: bytes | None) -> bool:
    """A JSON document whose layout changed, and not its content, reads as before."""
    if after is None:
        # Of event files, one has the status of the session alone.
        return file.name in UNDETECTABLE_REMOVALS or b"session_end_info" in before
    if file.suffix in (".jsonl", ".csv"):
        return after == before + b"\n"
    if file.suffix != ".json":
        return False
    try:
        return json.loads(after) == json.loads(before)
    except ValueError:
        return False


def test_a_finished_run_is_intact(run):
    assert {each.verdict for each in check_run(run)} == {Verdict.OK}


def test_every_damage_of_every_file_is_named(run, monkeypatch):
    composed = {}

    def check_once(folder):
        """Composes each content of the config once: that takes most of the time."""
        config = folder / "config.yaml"
        content = config.read_bytes() if config.exists() else None
        if content not in composed:
            composed[content] = check_config(folder)
        return composed[content]

    monkeypatch.setattr(run_checks, "check_config", check_once)
    files = sorted(path for path in run.rglob("*") if path.is_file())
    assert len(files) > 20
    missed, detected = [], set()
    for file in files:
        content, status = file.read_bytes(), file.stat()
        name = file.relative_to(run).as_posix()
        for kind, damaged in damages(content):
            if damaged is None:
                file.unlink()
            else:
                file.write_bytes(damaged)
            if named(run, file):
                detected.add(name)
            elif name not in UNDETECTABLE and not is_harmless(file, content, damaged):
                missed.append(f"{name}: {kind}")
        file.write_bytes(content)
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert missed == []
    # Of each file some damage is named, except of the lock file.
    expected = {file.relative_to(run).as_posix() for file in files}
    assert expected - detected == {".lock"}
    assert {each.verdict for each in check_run(run)} == {Verdict.OK}


def test_a_check_after_a_repair_has_nothing_to_repair(finished, tmp_path, monkeypatch):
    monkeypatch.setattr(run_checks, "check_config", lambda run: Finding(run / "x"))
    files = sorted(path for path in finished.rglob("*") if path.is_file())
    left = []
    for number, file in enumerate(files):
        name = file.relative_to(finished)
        content = file.read_bytes()
        # Either kind for every second file: checks and repairs take the time.
        kind = ("flipped", "cut")[number % 2]
        run = tmp_path / f"{number}_{kind}"
        shutil.copytree(finished, run)
        middle = len(content) // 2
        flipped = bytearray(content)
        flipped[middle] ^= 4
        (run / name).write_bytes(flipped if kind == "flipped" else content[:middle])
        repair_run(run, [each for each in check_run(run) if each.repair])
        left += [f"{name} {kind}: {each}" for each in check_run(run) if each.repair]
        shutil.rmtree(run)
    assert left == []


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.csv"])
def test_rows_of_predictions_that_are_torn_are_named(run, name):
    file = run / name
    file.write_bytes(file.read_bytes()[:-3])
    assert named(run, file)


def test_a_page_of_parquet_that_changed_is_named(run):
    pytest.importorskip("pyarrow")
    import numpy as np

    from specflow.output import writing_rows

    file = run / "rows.parquet"
    with writing_rows(str(file), "parquet") as write:
        write({"x": np.arange(1000, dtype=np.float32)})
    assert not named(run, file)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert named(run, file)
