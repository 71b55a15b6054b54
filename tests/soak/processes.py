"""Processes under test: started, killed, waited for, and never left behind."""

import contextlib
import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.soak.experiments import PROJECT

__all__ = ["TIMEOUT_S", "Ended", "Workplace", "descendants", "has_ended"]

TIMEOUT_S = 120.0
"""Time after which a process, or what it started, counts as hung."""
_POLL_S = 0.02
ROOT = Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True)
class Ended:
    """A process that has ended."""

    status: int
    """Exit status; negative: the number of the signal that ended it."""
    out: str
    err: str
    seconds: float
    """Time from the start to the end."""
    exit_s: float | None = None
    """Time from the signal to the end of all processes. None: there was no signal."""
    hung: bool = False


@dataclasses.dataclass(frozen=True)
class Workplace:
    """Folders of a soak: its runs, and the caches that all of its processes share."""

    folder: Path
    caches: Path | None = None
    """Folder of the caches; None: `folder`."""

    def part(self, name: str) -> "Workplace":
        """An empty folder of this one, with the same caches."""
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return Workplace(folder, self.caches or self.folder)

    def environment(self, hooks: dict[str, str]) -> dict[str, str]:
        paths = [Path(__file__).parent / "hooks", PROJECT, ROOT]
        caches = self.caches or self.folder
        return {
            **os.environ,
            "XDG_CACHE_HOME": str(caches / "cache"),
            "XDG_STATE_HOME": str(caches / "state"),
            "JAX_PLATFORMS": "cpu",
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
            "JAX_COMPILATION_CACHE_DIR": os.environ.get(
                "JAX_COMPILATION_CACHE_DIR", str(caches / "cache" / "xla")
            ),
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            **hooks,
        }

    def start(self, program: Sequence[str], **hooks: str) -> "Started":
        """Starts a Python program in the user's project."""
        with _default_signals():
            process = subprocess.Popen(
                [sys.executable, *program],
                stdin=subprocess.DEVNULL,
                # Pipes have no size that `SOAK_LARGEST_FILE` could limit.
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=PROJECT,
                env=self.environment(hooks),
                # A signal to this program is not one to those under test.
                start_new_session=True,
            )
        return Started(process)

    def run(self, program: Sequence[str], **hooks: str) -> Ended:
        """Runs a program to its end; `hooks` are those of `hooks/sitecustomize.py`."""
        mark = self.folder / "mark"
        mark.unlink(missing_ok=True)
        if "SOAK_SIGNALS" in hooks:
            hooks["SOAK_MARK"] = str(mark)
        ended = self.start(program, **hooks).wait()
        with contextlib.suppress(FileNotFoundError, ValueError):
            since = time.monotonic() - float(mark.read_text())
            return dataclasses.replace(ended, exit_s=since)
        return ended


class Started:
    """A running process."""

    def __init__(self, process: subprocess.Popen[bytes]):
        assert process.stdout is not None
        assert process.stderr is not None
        self.process = process
        self._threads = ThreadPoolExecutor(2)
        self._pipes = (process.stdout, process.stderr)
        self._logs = [self._threads.submit(pipe.read) for pipe in self._pipes]
        self._began = time.monotonic()

    def wait(self) -> Ended:
        """Waits for the process and all that it started."""
        family: set[int] = set()
        until = self._began + TIMEOUT_S
        while self.process.poll() is None and time.monotonic() < until:
            family |= descendants(self.process.pid)
            time.sleep(_POLL_S)
        return self._ended(family, until)

    def kill_after(self, seconds: float, victim: int) -> Ended:
        """Kills a process of the family (modulo its size) after a time.

        Returns:
            The end; without `exit_s` if the process ended by itself before that.
        """
        until = self._began + seconds
        while time.monotonic() < until:
            if self.process.poll() is not None:
                return self.wait()
            time.sleep(min(0.005, max(0.0, until - time.monotonic())))
        family = descendants(self.process.pid)
        if self.process.poll() is not None:
            return self.wait()
        members = [self.process.pid, *sorted(family)]
        with contextlib.suppress(ProcessLookupError):
            os.kill(members[victim % len(members)], signal.SIGKILL)
        killed = time.monotonic()
        ended = self._ended(family, killed + TIMEOUT_S)
        return dataclasses.replace(ended, exit_s=time.monotonic() - killed)

    def _ended(self, family: set[int], until: float) -> Ended:
        hung = False
        while True:
            self.process.poll()
            left = [pid for pid in family if not has_ended(pid)]
            if self.process.returncode is not None and not left:
                break
            if time.monotonic() > until:
                hung = True
                for pid in left:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                self.process.kill()
                self.process.wait()
                break
            family |= descendants(self.process.pid)
            time.sleep(_POLL_S)
        seconds = time.monotonic() - self._began
        out, err = (log.result().decode(errors="replace") for log in self._logs)
        self._threads.shutdown()
        for pipe in self._pipes:
            pipe.close()
        return Ended(self.process.wait(), out, err, seconds, hung=hung)


@contextlib.contextmanager
def _default_signals() -> Iterator[None]:
    """Processes inherit ignored signals: of `nohup`, of the background of a shell."""
    numbers = (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
    before = {number: signal.signal(number, signal.SIG_DFL) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def descendants(pid: int) -> set[int]:
    """Processes that a process has started, and those that they have."""
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, task.read_text().split()):
                found |= {child} | descendants(child)
    return found


def has_ended(pid: int) -> bool:
    """Returns whether a process is gone, or is a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"
