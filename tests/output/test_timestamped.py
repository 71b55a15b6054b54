"""Export directories `dir/<seconds since 1970>`: atomic, with ten tries."""

import errno
import fcntl
import signal
import subprocess
import sys

import pytest

from specflow.diagnostics.errors import OutputError
from specflow.output.run.timestamped import timestamped


class Clock:
    """A clock that advances only by sleeping."""

    def __init__(self, seconds):
        self.seconds = seconds

    def now(self):
        return self.seconds + 0.5

    def sleep(self, seconds):
        self.seconds += seconds


def make(base, clock):
    with timestamped(base, now=clock.now, sleep=clock.sleep) as (temporary, final):
        assert temporary.name == f"temp-{final.name}"
        assert not final.exists()
        (temporary / "file").write_text("content")
    return final


def test_the_directory_has_ten_digits_and_no_temporary_one_remains(tmp_path):
    final = make(tmp_path / "deep" / "down", Clock(123_456_789))
    assert final.name == "0123456789"
    assert (final / "file").read_text() == "content"
    assert list(final.parent.iterdir()) == [final]


def test_a_taken_second_is_waited_for(tmp_path):
    clock = Clock(1_000_000_000)
    names = []
    for _ in range(3):
        clock.seconds = 1_000_000_000
        names.append(make(tmp_path, clock).name)
    assert names == ["1000000000", "1000000001", "1000000002"]


def test_a_second_in_which_another_export_is_written_is_taken(tmp_path):
    clock = Clock(1_000_000_000)
    with timestamped(tmp_path, now=clock.now, sleep=clock.sleep) as (temporary, final):
        (temporary / "file").write_text("content")
        assert make(tmp_path, Clock(1_000_000_000)).name == "1000000001"
        assert (temporary / "file").exists()
    assert (final / "file").exists()


def test_what_a_killed_process_has_written_is_removed_by_the_next_export(tmp_path):
    program = (
        "import os, pathlib, signal, sys\n"
        "from specflow.output.run.timestamped import timestamped\n"
        "with timestamped(pathlib.Path(sys.argv[1])) as (temporary, _):\n"
        "    (temporary / 'file').write_text('content')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, tmp_path], check=False)
    assert killed.returncode == -signal.SIGKILL
    (abandoned,) = tmp_path.iterdir()
    assert abandoned.name.startswith("temp-")
    for other in ("temp-1", "temp-mine", "temp-10000000000"):
        (tmp_path / other).mkdir()
    final = make(tmp_path, Clock(1_000_000_000))
    assert {path.name for path in tmp_path.iterdir()} == {
        final.name,
        "temp-1",
        "temp-mine",
        "temp-10000000000",
    }


def test_without_locks_no_temporary_directory_is_removed(tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    (tmp_path / "temp-1000000000").mkdir()
    assert make(tmp_path, Clock(1_000_000_000)).name == "1000000001"
    assert (tmp_path / "temp-1000000000").exists()


def test_a_directory_that_is_removed_before_its_lock_is_made_anew(
    tmp_path, monkeypatch
):
    flock = fcntl.flock

    def remove_once(descriptor, how):
        monkeypatch.setattr(fcntl, "flock", flock)
        (tmp_path / "temp-1000000000").rmdir()
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", remove_once)
    assert make(tmp_path, Clock(1_000_000_000)).name == "1000000001"


def test_after_ten_taken_seconds_an_error_is_raised(tmp_path):
    for second in range(10):
        (tmp_path / str(1_000_000_000 + second)).mkdir()
    clock = Clock(1_000_000_000)
    with pytest.raises(OutputError) as error:
        make(tmp_path, clock)
    assert clock.seconds == 1_000_000_009
    assert str(error.value) == (
        f"{tmp_path}: 10 seconds in a row are taken, the last by 1000000009. Export to "
        "another directory, or one export at a time."
    )
    assert len(list(tmp_path.iterdir())) == 10


def test_a_failure_leaves_no_directory(tmp_path):
    with (
        pytest.raises(ZeroDivisionError),
        timestamped(tmp_path) as (temporary, _),
    ):
        (temporary / "file").write_text(str(1 / 0))
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_directory_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"file.*cannot be written"):
        make(tmp_path / "file" / "below", Clock(1_000_000_000))
