"""Fixtures that run commands as a user does: real processes, real files."""

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from specflow.cli.main import main
from specflow.output.checkpoint.archive import Archive
from tests.preloaded import Preloaded

ROOT = Path(__file__).parents[2]

_LIMITED = """
import resource, runpy, sys
sys.dont_write_bytecode = True  # Python 3.11 keeps what is cut short.
size = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
runpy.run_module("specflow", run_name="__main__", alter_sys=True)
"""

QUICK = (
    "experiment=digits_mlp",
    "model.hidden=[16]",
    "optimizer.schedule.name=constant",
    "optimizer.schedule.warmup_steps=0",
    "loop.log_every=4",
    "mesh=single",
    "output.reporters=[tensorboard]",
)
"""Overrides for a run of seconds, most of which is the start of Python. Plots are left
out, since Matplotlib would take a third of it."""


@dataclasses.dataclass(frozen=True)
class Done:
    """Exit status and output of a command."""

    status: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        """Lines of standard error without progress."""
        progress = ("step ", "stopping: ")
        lines = self.err.splitlines()
        return [line for line in lines if not line.startswith(progress)]


@dataclasses.dataclass(frozen=True)
class Shell:
    """Runs `python -m specflow` in a directory."""

    cwd: Path
    cache: Path
    popen: type[subprocess.Popen[str]] = Preloaded

    def start(
        self, *arguments: str, largest_file: int | None = None, **options: Any
    ) -> subprocess.Popen[str]:
        """Starts a command; `largest_file` limits the files it writes, in bytes."""
        program = ["-m", "specflow"]
        if largest_file is not None:
            # In the process itself: a limit set between fork and exec would fork this
            # one, which has JAX's threads.
            program = ["-c", _LIMITED, str(largest_file)]
        env = dict(os.environ, JAX_PLATFORMS="cpu", XDG_CACHE_HOME=str(self.cache))
        env["PYTHONPATH"] = os.pathsep.join(
            filter(None, [str(ROOT), env.get("PYTHONPATH")])
        )
        env |= options.pop("env", {})
        return self.popen(
            [sys.executable, *program, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.cwd,
            env=env,
            **options,
        )

    def __call__(self, *arguments: str, **options: Any) -> Done:
        """Runs a command to its end."""
        process = self.start(*arguments, **options)
        out, err = process.communicate(timeout=120)
        assert "Traceback" not in err, err
        return Done(process.returncode, out, err)

    def all(self, *commands: Sequence[str]) -> list[Done]:
        """Runs several commands at the same time."""
        processes = [self.start(*arguments) for arguments in commands]
        return [
            Done(process.returncode, *texts)
            for process in processes
            if (texts := process.communicate(timeout=240))
        ]


@pytest.fixture(scope="session")
def _xla_cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def specflow(tmp_path, _xla_cache) -> Shell:
    """The command as a process in an empty directory."""
    return Shell(tmp_path, _xla_cache)


@pytest.fixture
def here(specflow, capfd, monkeypatch) -> Callable[..., Done]:
    """The command within this process.

    A separate process takes two seconds to start, more than most commands. This one has
    eight devices, of which `QUICK` uses one.
    """
    monkeypatch.chdir(specflow.cwd)

    def run(*arguments: str) -> Done:
        capfd.readouterr()
        status = main(list(arguments))
        return Done(status, *capfd.readouterr())

    return run


@pytest.fixture(scope="session")
def finished(tmp_path_factory, _xla_cache) -> tuple[Path, Done]:
    """A finished run of 12 steps, and the output of its command; read-only."""
    cwd = tmp_path_factory.mktemp("finished")
    # A real start: runs of other processes are compared with this one.
    done = Shell(cwd, _xla_cache, subprocess.Popen)(
        "train",
        *QUICK,
        "output.reporters=[tensorboard,plots]",
        "output.dir=run",
        "loop.train_steps=12",
        "loop.eval_every=6",
        "output.checkpoint.every=6",
    )
    assert done.status == 0, done.err
    return cwd / "run", done


@pytest.fixture
def quick() -> tuple[str, ...]:
    return QUICK


@pytest.fixture
def rows_of() -> Callable[[Path], list[dict[str, Any]]]:
    """The rows of a run's `metrics.jsonl`."""

    def read(run: Path) -> list[dict[str, Any]]:
        lines = (run / "metrics.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    return read


@pytest.fixture
def digests_of() -> Callable[[Path, int], dict[str, Any]]:
    """Form and 128-bit digest of each array of a checkpoint, and its position."""

    def read(run: Path, step: int) -> dict[str, Any]:
        about = Archive().metadata((run / "checkpoints" / str(step)).absolute())
        return {"arrays": about["arrays"], "data": about["data"]}

    return read


@pytest.fixture
def wait_for() -> Callable[..., None]:
    """Waits until a file exists, or the process that should write it has ended."""

    def wait(path: Path, process: subprocess.Popen[str]) -> None:
        until = time.monotonic() + 60
        while not path.exists():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until, f"{path} never came"
            time.sleep(0.002)

    return wait
