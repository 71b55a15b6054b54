"""Paths of written files: as for `cp`, `sort -o` and pandas' `to_csv`."""

import os
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from specflow.diagnostics.errors import OutputError
from specflow.output import replacing, write_text, writing_rows
from specflow.output.files import remove_tree

FORMATS = ("csv", "jsonl", "parquet")


def written(path, format="csv"):
    with writing_rows(str(path), format) as write:
        write({"x": np.array([1, 2])})


def as_cp_leaves(tmp_path, target):
    """Result of `cp` for the same names: the reference implementation."""
    source = tmp_path / "source.csv"
    source.write_text("x\n1\n2\n")
    subprocess.run(["cp", str(source), str(target)], check=True)


def form(path):
    """Kind and mode of a path, without following links."""
    return oct(path.lstat().st_mode)


def test_a_link_is_kept_and_its_target_is_replaced(tmp_path):
    found = []
    for name, write in ("a", as_cp_leaves), ("b", lambda _, path: written(path)):
        folder = tmp_path / name
        (folder / "there").mkdir(parents=True)
        (folder / "there" / "real.csv").write_text("old\n")
        (folder / "near.csv").symlink_to("there/real.csv")
        (folder / "far.csv").symlink_to(folder / "near.csv")
        write(tmp_path, folder / "far.csv")
        real = folder / "there" / "real.csv"
        found.append((form(folder / "far.csv"), form(folder / "near.csv"), form(real)))
        assert real.read_text() == "x\n1\n2\n"
        assert sorted(os.listdir(folder / "there")) == ["real.csv"]
    assert found[0] == found[1]


def test_a_dangling_link_creates_its_target(tmp_path):
    (tmp_path / "link.csv").symlink_to("real.csv")
    written(tmp_path / "link.csv")
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real.csv").read_text() == "x\n1\n2\n"


def test_a_link_to_itself_is_reported(tmp_path):
    (tmp_path / "link.csv").symlink_to("link.csv")
    with pytest.raises(OutputError, match="Too many levels of symbolic links"):
        written(tmp_path / "link.csv")


@pytest.mark.parametrize("mode", [0o600, 0o664, 0o755])
def test_the_mode_of_an_earlier_file_is_kept(tmp_path, mode):
    reference, own = tmp_path / "reference.csv", tmp_path / "own.csv"
    for path in (reference, own):
        path.write_text("old\n")
        path.chmod(mode)
    as_cp_leaves(tmp_path, reference)
    written(own)
    assert form(own) == form(reference)
    assert own.read_text() == "x\n1\n2\n"


def test_a_new_file_has_the_mode_that_the_umask_gives(tmp_path):
    former = os.umask(0o027)
    try:
        as_cp_leaves(tmp_path, tmp_path / "reference.csv")
        written(tmp_path / "own.csv")
    finally:
        os.umask(former)
    assert form(tmp_path / "own.csv") == oct(stat.S_IFREG | 0o640)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_owner_and_group_of_an_earlier_file_are_kept(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("old\n")
    os.chown(path, 12345, 23456)
    written(path)
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 23456)


def test_an_earlier_file_is_overwritten_if_it_cannot_be_replaced(tmp_path, monkeypatch):
    """As where a single file is mounted, or the folder belongs to another user."""
    path, inode = tmp_path / "own.csv", 0
    path.write_text("a longer old content\n" * 9)
    path.chmod(0o640)
    inode = path.stat().st_ino

    def busy(self, target):
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr("pathlib.Path.replace", busy)
    written(path)
    assert path.read_text() == "x\n1\n2\n"
    assert (path.stat().st_ino, form(path)) == (inode, oct(stat.S_IFREG | 0o640))
    assert os.listdir(tmp_path) == ["own.csv"]


def test_another_hard_link_keeps_the_earlier_content(tmp_path):
    (tmp_path / "own.csv").write_text("old\n")
    os.link(tmp_path / "own.csv", tmp_path / "other.csv")
    written(tmp_path / "own.csv")
    assert (tmp_path / "own.csv").read_text() == "x\n1\n2\n"
    assert (tmp_path / "other.csv").read_text() == "old\n"


@pytest.mark.parametrize("format", FORMATS)
def test_a_pipe_receives_the_content_of_a_file(tmp_path, format):
    pytest.importorskip("pyarrow")
    pipe, plain = tmp_path / f"pipe.{format}", tmp_path / f"plain.{format}"
    written(plain, format)
    os.mkfifo(pipe)
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    written(pipe, format)
    reader.join()
    assert read == [plain.read_bytes()]
    assert stat.S_ISFIFO(pipe.lstat().st_mode)


def test_a_device_stays_a_device():
    before = os.stat("/dev/null").st_rdev
    written("/dev/null")
    assert stat.S_ISCHR(os.lstat("/dev/null").st_mode)
    assert os.stat("/dev/null").st_rdev == before
    with pytest.raises(OutputError, match="/dev/full: cannot be written: No space"):
        written("/dev/full")


@pytest.mark.parametrize("name", ["/dev/fd/{}", "/proc/self/fd/{}", "link"])
def test_rows_are_appended_to_an_open_descriptor(tmp_path, name):
    """As in `--output /dev/fd/3 3>>log.csv`: the shell opened the file to append."""
    with (tmp_path / "log.csv").open("a") as log:
        print("before", file=log, flush=True)
        path = name.format(log.fileno())
        if name == "link":
            path = tmp_path / "link.csv"
            path.symlink_to(f"/dev/fd/{log.fileno()}")
        written(path)
    assert (tmp_path / "log.csv").read_text() == "before\nx\n1\n2\n"


def test_a_pipe_of_the_shell_is_written_into(tmp_path):
    """`--output >(gzip > rows.gz)` hands over `/dev/fd/63`, a pipe without a name."""
    read, write = os.pipe()
    written(f"/dev/fd/{write}")
    os.close(write)
    with os.fdopen(read) as content:
        assert content.read() == "x\n1\n2\n"


def test_a_failed_block_leaves_the_earlier_file_and_no_temporary_one(tmp_path):
    (tmp_path / "real.txt").write_text("old\n")
    (tmp_path / "link.txt").symlink_to("real.txt")

    def half():
        with replacing(tmp_path / "link.txt") as path:
            path.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    assert (tmp_path / "real.txt").read_text() == "old\n"
    assert sorted(os.listdir(tmp_path)) == ["link.txt", "real.txt"]


def test_a_temporary_file_of_a_killed_process_is_replaced(tmp_path):
    """In a container the process has the same number each time."""
    (tmp_path / f".a.txt.{os.getpid()}.tmp").write_text("half")
    write_text(tmp_path / "a.txt", "whole")
    assert (tmp_path / "a.txt").read_text() == "whole"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_read_only_file_is_not_replaced(tmp_path):
    """As another user than root, who may write everything; `cp` refuses it too."""
    path = tmp_path / "own.csv"
    path.write_text("old\n")
    path.chmod(0o444)
    tmp_path.chmod(0o777)
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from specflow.diagnostics.errors import OutputError\n"
        "from specflow.output import write_text\n"
        "if os.geteuid() == 0: os.setuid(65534)\n"
        "try: write_text(Path(sys.argv[1]), 'new')\n"
        "except OutputError as error: print(error)\n"
    )
    for folder in tmp_path.parents:
        if folder.stat().st_uid == os.geteuid() and not folder.stat().st_mode & 1:
            folder.chmod(folder.stat().st_mode | 0o011)
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True
    )
    assert "own.csv: cannot be written: Permission denied" in done.stdout, done.stderr
    assert path.read_text() == "old\n"


def test_several_may_remove_the_same_folder(tmp_path):
    """As a run that still ends, and the one that resumes it."""
    folder = tmp_path / "deleting-1"
    for number in range(300):
        (folder / str(number)).mkdir(parents=True)
    begin = threading.Barrier(3)

    def remove(_):
        begin.wait()
        remove_tree(folder)

    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(remove, range(3))) == [None] * 3
    assert not folder.exists()
