"""Full disks, limits of files, and directories that are read-only or removed."""

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import warnings

import pytest

from specflow.estimator import Estimator
from specflow.estimator.train_actions import TrainActions
from specflow.lifecycle import History
from specflow.output import JsonLines, RunDirectory, TensorBoard
from specflow.output.checkpoint.archive import Archive
from specflow.output.checkpoint.checkpoint_directory import CheckpointDirectory
from tests import preloaded
from tests.compose.conftest import golden
from tests.end_to_end.conftest import ROOT, Done

__all__ = ["golden"]

ARGUMENTS = (
    "model.hidden=[128]",
    "loop.train_steps=12",
    "loop.eval_every=4",
    "output.checkpoint.every=4",
    "output.checkpoint.keep=1",
)
"""Twelve steps with three checkpoints of 113 kB."""


@pytest.fixture(scope="session")
def disk(tmp_path_factory):
    """A file system of its own, which only root can mount: (folder, set its size)."""
    folder = tmp_path_factory.mktemp("disk")
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def empty_disk(disk):
    """The same, empty and writable."""
    subprocess.run(["mount", "-o", "remount,rw,size=4m", str(disk)], check=True)
    for path in disk.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return disk


@pytest.fixture
def train(here, quick):
    """Trains into a directory, within this process."""

    def run(directory, *arguments):
        return here("train", *quick, *ARGUMENTS, f"output.dir={directory}", *arguments)

    return run


@pytest.fixture(scope="session")
def _undisturbed():
    return {}


@pytest.fixture
def undisturbed(_undisturbed, train, tmp_path_factory, digests_of):
    """Arrays, and place in the data, of a run to which nothing happens."""
    if not _undisturbed:
        run = tmp_path_factory.mktemp("undisturbed") / "run"
        done = train(run)
        assert done.status == 0, done.err
        _undisturbed.update(digests_of(run, 12))
    return _undisturbed


def fill(disk):
    """Fills a disk to the last byte."""
    with (
        (disk / "filler").open("ab", buffering=0) as file,
        contextlib.suppress(OSError),
    ):
        while True:
            file.write(bytes(4096))


def steps_of(run):
    return CheckpointDirectory(run / "checkpoints").steps()


def error_of(done, folder):
    """The one error of a command, without its folder."""
    assert "Traceback" not in done.err
    assert done.status == 75, done.err
    (line,) = [line for line in done.err.splitlines() if line.startswith("error")]
    return line.replace(str(folder), "disk") + "\n"


@pytest.fixture
def writers():
    """Returns the threads of specflow that the test started, by name."""
    before = set(threading.enumerate())

    def running():
        names = (thread.name for thread in set(threading.enumerate()) - before)
        return [name for name in names if name.startswith("specflow-")]

    return running


class Before:
    """A method before whose n-th call something is done; no frame of its own stays."""

    def __init__(self, owner, method, number, action):
        self.original, self.left, self.action = getattr(owner, method), number, action

    def __get__(self, instance, owner):
        self.left -= 1
        if self.left == 0:
            self.action(instance)
        return self.original.__get__(instance, owner)


FULL = {
    "metrics": (JsonLines, "write", 2),
    "tensorboard": (TensorBoard, "write", 2),
    "evaluation": (History, "add", 2),
    "save": (TrainActions, "save", 2),
    "checkpoint": (Archive, "write_share", 2),
    "export": (Estimator, "export", 2),
    "last_save": (Archive, "write_share", 3),
    "manifest": (RunDirectory, "add_to_manifest", 1),
    "curves": (RunDirectory, "curves", 1),
    "result": (RunDirectory, "write_result", 1),
}
"""Writer -> method, and number of the call before which the disk becomes full."""
NAMED = ("checkpoint", "last_save", "manifest", "curves", "result")
"""Those that are the first to meet the full disk; others write beside each other."""


@pytest.mark.parametrize("name", FULL)
def test_a_disk_that_is_full_at_any_write_ends_in_one_message_and_the_run_resumes(
    name, train, empty_disk, undisturbed, digests_of, golden, monkeypatch, writers
):
    run, before = empty_disk / "run", []

    def fill_disk(writer):
        fill(empty_disk)
        before.extend(steps_of(run))

    owner, method, number = FULL[name]
    more = ["output.exporters={latest:{name:latest}}"] if name == "export" else []
    more += ["output.reporters=[tensorboard,plots]"] if name == "curves" else []
    with monkeypatch.context() as patched:
        patched.setattr(owner, method, Before(owner, method, number, fill_disk))
        done = train(run, *more)
    error = error_of(done, empty_disk)
    if name in NAMED:
        golden(f"storage/full_at_{name}.txt", error)
    assert re.match(r"error\[(disk-full|(checkpoint|output)-unwritable)\] disk", error)
    assert writers() == []
    # Of what was complete, a newer one may have replaced the older.
    assert max(steps_of(run), default=0) >= max(before, default=0)
    assert len(steps_of(run)) >= len(before)
    assert (run / "config.yaml").exists()

    (empty_disk / "filler").unlink()
    done = train(run, *more)
    assert done.status == 0, done.err
    assert digests_of(run, 12) == undisturbed


def test_a_disk_without_room_is_reported_before_the_first_step(
    train, empty_disk, golden
):
    subprocess.run(["mount", "-o", "remount,size=100k", str(empty_disk)], check=True)
    done = train(empty_disk / "run")
    assert "step 4/12" not in done.err
    golden("storage/no_room.txt", error_of(done, empty_disk))
    assert list(empty_disk.iterdir()) == []  # Nothing has begun.
    subprocess.run(["mount", "-o", "remount,size=300k", str(empty_disk)], check=True)
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # Tests raise them.
        done = train(empty_disk / "run", "output.reporters=[]")
    assert [line for line in done.err.splitlines() if "disk-space" in line] == [
        f"warning[disk-space] {empty_disk}/run/checkpoints: 300.0 KiB are free, room "
        "for 2 more checkpoints of 112.6 KiB. Free disk space. Kept are the newest 1 "
        "(output.checkpoint.keep, in Python RunConfig.keep_checkpoint_max): fewer need "
        "less."
    ]


def test_check_warns_of_a_disk_without_room(here, quick, empty_disk):
    subprocess.run(["mount", "-o", "remount,size=100k", str(empty_disk)], check=True)
    done = here("check", *quick, *ARGUMENTS, f"output.dir={empty_disk}/run")
    assert done.status == 0
    (line,) = [line for line in done.err.splitlines() if "disk" in line]
    assert line.startswith(
        f"warning[disk-full] {empty_disk}/run/checkpoints: 100.0 KiB"
    )
    assert list(empty_disk.iterdir()) == []


def test_a_directory_that_is_removed_while_training_is_not_made_again(
    train, specflow, golden, monkeypatch, writers
):
    run = specflow.cwd / "run"

    def remove(actions):
        actions.checkpoints.wait()
        shutil.rmtree(run)

    with monkeypatch.context() as patched:
        patched.setattr(TrainActions, "save", Before(TrainActions, "save", 2, remove))
        # An evaluation is due at each save, and writes first.
        done = train(run)
    golden("storage/removed.txt", error_of(done, specflow.cwd))
    assert not run.exists()
    assert writers() == []
    assert train(run).status == 0


@pytest.mark.parametrize("moment", ["before the first save", "before the first row"])
def test_a_directory_that_is_removed_early_is_not_made_again(
    train, specflow, monkeypatch, moment
):
    run, log = specflow.cwd / "run", TrainActions.log_mask

    def remove(self, steps):
        if run.exists():
            shutil.rmtree(run)
        return log(self, steps)

    monkeypatch.setattr(TrainActions, "log_mask", remove)
    every = (
        "loop.log_every=100"
        if moment == "before the first save"
        else "loop.log_every=1"
    )
    done = train(run, every)
    assert done.status == 75, done.err
    assert not run.exists()


LOST = """
import subprocess, sys
from specflow.cli.main import main
from specflow.estimator.train_actions import TrainActions
from tests.end_to_end.test_storage import Before


def lose(actions):
    actions.checkpoints.wait()
    subprocess.run(sys.argv[1], shell=True, check=True)


TrainActions.save = Before(TrainActions, "save", 2, lose)
sys.exit(main(sys.argv[2:]))
"""
"""Training in a process of its own, which loses its directory at the second save."""


@pytest.mark.parametrize("loss", ["read-only", "vanished"])
def test_a_run_whose_directory_comes_back_resumes_by_the_same_command(
    train, empty_disk, undisturbed, digests_of, golden, quick, loss
):
    run, away = empty_disk / "run", empty_disk / "away"
    here, there = shlex.quote(str(run)), shlex.quote(str(away))
    lose, bring_back = {
        # A disk with open files cannot be made read-only, a second mount of it can.
        "read-only": (
            f"mount --bind {here} {here} && mount -o remount,bind,ro {here}",
            f"umount {here}",
        ),
        "vanished": (f"mv {here} {there}", f"mv {there} {here}"),
    }[loss]
    arguments = ["train", *quick, *ARGUMENTS, f"output.dir={run}"]
    done = preloaded.run(
        [sys.executable, "-c", LOST, lose, *arguments],
        cwd=ROOT,
        env={
            **os.environ,
            "JAX_PLATFORMS": "cpu",
            "JAX_NUM_CPU_DEVICES": "8",
        },
    )
    error = error_of(Done(done.returncode, done.stdout, done.stderr), empty_disk)
    golden(f"storage/{loss}.txt", error)
    if loss == "vanished":
        assert not run.exists()
    subprocess.run(bring_back, shell=True, check=True)
    assert steps_of(run) == [4]
    again = train(run)
    assert again.status == 0, again.err
    assert digests_of(run, 12) == undisturbed
