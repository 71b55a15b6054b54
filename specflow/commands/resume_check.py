"""`specflow resume-check`: does an experiment resume bit for bit, and if not, why?"""

import contextlib
import dataclasses
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from specflow.commands.run_probe import RunProbe
from specflow.config.common.triggers import seconds_of
from specflow.config.experiment import ExperimentConfig
from specflow.config.resume_plan import ResumePlan
from specflow.diagnostics.errors import (
    ConfigError,
    Diagnostic,
    MachineError,
    SpecflowError,
)
from specflow.lifecycle import ResumeComparison, RunTrace, compare_runs, last_start
from specflow.runtime.filesystem import check_output_folder, expanded
from specflow.runtime.formatting import columns

if TYPE_CHECKING:
    from specflow.compose import Composed

__all__ = ["resume_check"]

_STATUS_OF_SIGNAL = {"kill": (-9, 137), "term": (-15, 143)}
_WHOLE, _RESUMED = "uninterrupted", "resumed"


@dataclasses.dataclass(frozen=True, slots=True)
class _Runner:
    """Starts `specflow train` in child processes."""

    overrides: Sequence[str]
    """Of the experiment, and those of the plan."""
    config_dirs: Sequence[str]
    folder: Path
    """Parent of the two run directories."""
    steps: int
    processes: int

    def __call__(self, name: str, **probe: Any) -> int:
        """Trains a run to its end, or to its interruption.

        Args:
            name: of its directory.
            **probe: further settings of its `RunProbe`.

        Returns:
            The exit status.
        """
        recorded = str(self.records(name))
        settings = RunProbe(folder=recorded, steps=self.steps, **probe)
        command = [
            "train",
            *self.overrides,
            f"output.dir='{self.folder / name}'",
            *(f"--config-dir={folder}" for folder in self.config_dirs),
        ]
        if self.processes > 1:
            command = ["launch", f"--processes={self.processes}", "--", *command]
        with self.log(name).open("a") as output:
            return subprocess.run(
                [sys.executable, "-m", "specflow", *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=_environment(settings),
                check=False,
            ).returncode

    def records(self, name: str) -> Path:
        """Folder of the records of a run."""
        return self.folder / f"{name}-records"

    def log(self, name: str) -> Path:
        """File of the output of a run."""
        return self.folder / f"{name}.log"

    def trace(self, name: str) -> RunTrace:
        """Reads a finished run."""
        return RunTrace.read(self.folder / name, self.records(name))


def resume_check(
    composed: "Composed",
    *,
    plan: ResumePlan,
    signal: Literal["kill", "term"] = "kill",
    output: str | None = None,
    processes: int = 1,
    config_dirs: Sequence[str] = (),
) -> ResumeComparison:
    """Trains an experiment twice for a few steps, once interrupted, and compares.

    One run is uninterrupted. The other is interrupted after a checkpoint, and resumed
    by the same command. Both are child processes in a temporary folder; a run that the
    experiment is composed from is not changed.

    Args:
        composed: the experiment.
        plan: steps of both runs.
        signal: interruption: `kill` (SIGKILL) or `term` (SIGTERM, which saves).
        output: folder that keeps both runs; None: they are removed.
        processes: number of processes of each run.
        config_dirs: the user's own config folders.

    Returns:
        The comparison, also printed.

    Raises:
        MachineError: a run failed; its output is printed.
    """
    config = composed.config
    changes = plan.overrides(config)
    with _folder(output) as folder:
        run = _Runner(
            [*_kept(composed.overrides, changes), *_lines(changes, config)],
            config_dirs,
            folder,
            plan.steps,
            processes,
        )
        _report(
            f"{config.name}: {plan.steps} steps, with a checkpoint at step {plan.at} "
            f"and evaluations every {plan.eval_every or plan.steps} steps"
        )
        for note in _notes(config):
            _report(f"note: {note}")
        with _timed(f"uninterrupted run to step {plan.steps}"):
            _expect(run(_WHOLE), (0,), run, _WHOLE)
        name = f"SIG{signal.upper()}"
        with _timed(f"second run, interrupted by {name} after step {plan.at}"):
            status = run(_RESUMED, interrupt_after=plan.at, signal=name)
            _expect(status, _statuses(signal, processes), run, _RESUMED)
        with _timed("the same command, which resumes"):
            _expect(run(_RESUMED), (0,), run, _RESUMED)
        if not last_start(run.records(_RESUMED)):
            raise _not_resumed(run, plan)
        comparison = compare_runs(run.trace(_WHOLE), run.trace(_RESUMED))
    _print(comparison)
    if output is not None:
        print(f"\n{folder}")
    return comparison


def _kept(overrides: Sequence[str], changes: Mapping[str, str]) -> Iterator[str]:
    """Yields the user's overrides that the check does not replace."""
    replaced = (*changes, "output.dir", "output.exporters")
    for line in overrides:
        key = line.lstrip("+~").partition("=")[0]
        if not any(key == name or key.startswith(f"{name}.") for name in replaced):
            yield line


def _lines(changes: Mapping[str, str], config: ExperimentConfig) -> list[str]:
    lines = [f"{key}={value}" for key, value in changes.items()]
    return [*lines, *(f"~output.exporters.{name}" for name in config.output.exporters)]


def _notes(config: ExperimentConfig) -> Iterator[str]:
    """Yields what the check cannot see: triggers by time."""
    triggers = {
        "loop.eval_every": config.loop.eval_every,
        "loop.iterations_per_loop": config.loop.iterations_per_loop,
    }
    for key, every in triggers.items():
        if seconds_of(every) is None:
            continue
        yield (
            f"{key}={every} is a time, which the check replaces by steps. What depends "
            "on it (hooks, early stopping) happens at other steps after a real resume."
        )


@contextlib.contextmanager
def _folder(output: str | None) -> Iterator[Path]:
    if output is None:
        with tempfile.TemporaryDirectory(prefix="specflow-resume-") as folder:
            yield Path(folder)
        return
    check_output_folder(output, "--output", code="run-directory")
    folder = expanded(output, "--output").absolute()
    for name in (_WHOLE, _RESUMED):
        if (folder / name).exists():
            raise ConfigError(
                Diagnostic(
                    "--output",
                    f"{output} has the runs of an earlier check",
                    expected="a new or empty folder",
                    origin="command line",
                    code="run-directory",
                )
            )
    folder.mkdir(parents=True, exist_ok=True)
    yield folder


@contextlib.contextmanager
def _timed(what: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    _report(f"{what} ({time.monotonic() - started:.1f} s)")


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _environment(probe: RunProbe) -> dict[str, str]:
    home = str(Path(__file__).parents[2])
    paths = [home, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        **probe.to_environment(),
    }


def _statuses(signal: str, processes: int) -> tuple[int, ...]:
    # Of several processes the launcher may report the loss, as one of the machine.
    lost = (MachineError.exit_code,) if processes > 1 else ()
    return (*_STATUS_OF_SIGNAL[signal], *lost)


def _expect(status: int, expected: Sequence[int], run: _Runner, name: str) -> None:
    """Refuses a run that ended otherwise than planned.

    Raises:
        SpecflowError: it failed, with its status; its output is printed.
        ConfigError: it ended before it was interrupted.
    """
    if status in expected:
        return
    if status == 0:
        raise ConfigError(
            Diagnostic(
                "--at",
                "training ended before this checkpoint, or right after it",
                expected="a step well before the end",
                hint="An early stopping rule, a hook or the data ended it.",
                origin="command line",
                code="resume-check",
            )
        )
    output = run.log(name).read_text(errors="replace")
    print(output, end="", file=sys.stderr)
    error = SpecflowError(
        Diagnostic(
            f"the {name} run",
            f"ended with status {status}; its output is above",
            code="resume-check",
        )
    )
    error.exit_code = status if status > 0 else 128 - status
    raise error


def _not_resumed(run: _Runner, plan: ResumePlan) -> SpecflowError:
    print(run.log(_RESUMED).read_text(errors="replace"), end="", file=sys.stderr)
    return SpecflowError(
        Diagnostic(
            "the resumed run",
            f"started at step 0, although it has a checkpoint of step {plan.at}; its "
            "output is above",
            code="resume-check",
        )
    )


def _print(comparison: ResumeComparison) -> None:
    rows = [("part", "compared", "result")]
    for part in comparison.parts:
        result = f"differs from {part.differs.partition(':')[0]}"
        rows.append((part.name, part.count, result if part.differs else "equal"))
    print(columns(rows))
    if comparison.difference is None:
        print("\nthe resumed run equals the uninterrupted one, bit for bit")
