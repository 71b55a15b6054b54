"""Sweeps by Hydra's sweeper and launcher; every job is composed as a single run."""

import contextlib
import dataclasses
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from specflow.compose.check.locate import placing_errors
from specflow.compose.merged_files import kept_files
from specflow.compose.overrides import Composed, compose
from specflow.compose.read.config_folders import folders
from specflow.compose.read.defaults_list import ROOT, composition_diagnostic
from specflow.compose.read.hydra_errors import HYDRA_ERRORS
from specflow.compose.read.hydra_launcher import default_launcher
from specflow.compose.read.hydra_search_path import hydra
from specflow.compose.read.hydra_sweeper import default_sweeper
from specflow.compose.read.override_grammar import Request, format_value, read
from specflow.diagnostics import user_code
from specflow.diagnostics.errors import ConfigError, Diagnostic, SpecflowError
from specflow.runtime.filesystem import expanded
from specflow.sweep.engines import Workplace
from specflow.sweep.file_trust import check_jobs, check_params
from specflow.sweep.outcomes import Outcome, settings_of
from specflow.sweep.pool.trial_failures import failure_of
from specflow.sweep.pool.worker_process import WorkerProcess
from specflow.sweep.search.search_plan import SearchPlan, plan_search
from specflow.sweep.several_processes import is_one_of_several
from specflow.sweep.sweep_folders import check_directory, new_directories, unwritable
from specflow.sweep.trials import (
    CHECKED_GRID,
    Params,
    is_grid,
    is_search,
    params_of,
    trials,
)

__all__ = ["SweepJob", "sweep"]

Task = Callable[[Composed], Mapping[str, Any]]
"""Function that runs a job's experiment and returns its result."""


@dataclasses.dataclass
class SweepJob:
    """Callable for Hydra's launcher, which may send it to another process."""

    task: Task
    config_dirs: tuple[str, ...]
    fixed: tuple[str, ...]
    started_in: str
    """Folder from which relative paths are resolved, wherever the job runs."""
    worker_command: tuple[str, ...] | None = None
    """Starts a worker that runs trials; None: they run in this process."""
    outcomes: list[Outcome] = dataclasses.field(default_factory=list)
    plan: SearchPlan | None = None
    """Search that the sweeper of specflow runs."""

    def __post_init__(self) -> None:
        self._worker: WorkerProcess | None = None

    def __getstate__(self) -> dict[str, Any]:
        # Another process has no use for them.
        return {**self.__dict__, "_worker": None, "plan": None}

    @contextlib.contextmanager
    def worker_ahead(self) -> Iterator[None]:
        """Starts a worker, which imports JAX while the jobs are composed and checked.

        It ends with the block, unless `take_worker` has taken it.
        """
        if self.worker_command is not None and not is_one_of_several():
            self._worker = WorkerProcess(self.worker_command, {})
        try:
            yield
        finally:
            if (worker := self.take_worker()) is not None:
                worker.close(kill=True)

    def take_worker(self) -> WorkerProcess | None:
        """Returns the worker that was started ahead, once."""
        worker, self._worker = self._worker, None
        return worker

    def workplace(self, folder: Path) -> Workplace:
        """Returns what an engine needs to run the jobs in a folder."""
        return Workplace(
            command=self.worker_command or (),
            config_dirs=self.config_dirs,
            started_in=self.started_in,
            folder=folder,
            first_worker=self.take_worker(),
        )

    def complete(self, lines: Iterable[str], directory: str = "") -> list[str]:
        """Returns all overrides that compose a job, as typed."""
        own = [f"output.dir={format_value(directory)}"] if directory else []
        # Hydra needs `++`; messages show the override as typed.
        typed = [line.removeprefix("++") for line in lines]
        return [*self.fixed, *own, *typed]

    def compose(self, lines: Iterable[str], directory: str = "") -> Composed:
        """Composes the experiment of a job."""
        return compose(
            self.complete(lines, directory),
            config_dirs=self.config_dirs,
            started_in=self.started_in,
        )

    def __call__(self, _: Any) -> Outcome:
        node = HydraConfig.get()
        lines, directory = tuple(node.overrides.task), node.runtime.output_dir
        try:
            # A job that changes its folder needs the absolute path.
            own = directory if node.job.chdir else os.path.relpath(directory)
            composed = self.compose(lines, own)
            best = composed.config.output.checkpoint.best
            with placing_errors(composed):
                outcome = Outcome(lines, directory, self.task(composed))
            if best is not None:
                judged = {"metric": best.metric, "order": best.order}
                outcome = dataclasses.replace(outcome, **judged)
        except SpecflowError as error:
            print(user_code.traceback_of(error), end="", file=sys.stderr)
            outcome = Outcome(
                lines, directory, None, str(error), failure=failure_of(error)
            )
        except Exception as error:
            if getattr(error, "exit_code", 0) > 128:
                # The user stopped this job; the launcher would start the next one.
                raise KeyboardInterrupt from error
            # One job's crash must not lose the others' results.
            own = user_code.traceback_of(error)
            print(own or traceback.format_exc(), end="", file=sys.stderr)
            text = f"{type(error).__name__}: {error}"
            outcome = Outcome(lines, directory, None, text, failure=failure_of(error))
        if outcome.error:
            print(f"error: trial {node.job.num}: {outcome.error}", file=sys.stderr)
        self.outcomes.append(outcome)
        return outcome


def sweep(
    overrides: Iterable[str],
    task: Task,
    *,
    config_dirs: Sequence[str | Path] = (),
    vet: Callable[[list[list[str]]], None] | None = None,
    check: Callable[[Composed, str], None] | None = None,
    worker_command: Sequence[str] | None = None,
) -> list[Outcome]:
    """Runs a task for every combination of the overrides' values.

    Every combination is composed and validated before the first job starts; jobs that
    an optimizing sweeper proposes later, when they start. A failed job does not stop
    the others.

    Args:
        overrides: as on the command line; `key=a,b` names several values.
        task: runs each experiment.
        config_dirs: the user's own config folders.
        vet: called with the overrides of all jobs before the first one starts; may
            raise.
        check: called with each job's experiment and run directory before the first one
            starts, if the directory is known by then; may raise a `ConfigError`.
        worker_command: starts a worker process of the launcher of specflow, which then
            runs the experiments instead of `task`; None: that launcher calls `task`.

    Returns:
        The outcomes, in the order of the jobs.

    Raises:
        ConfigError: a job cannot be composed; the diagnostics of all jobs, each once.
    """
    overrides, search_folders = tuple(overrides), folders(config_dirs)
    request, diagnostics = read(overrides, search_folders)
    if diagnostics:
        raise ConfigError(*diagnostics)
    fixed = tuple(
        f"{key}={format_value(value)}" for key, value in _ours(request).items()
    )
    # A job may run in another folder.
    own = tuple(os.path.abspath(folder) for folder in config_dirs)
    command = None if worker_command is None else tuple(worker_command)
    job = SweepJob(task, own, fixed, os.getcwd(), command)
    launcher = default_launcher(request, search_folders)
    plugins = [*launcher, *default_sweeper(request, search_folders)]
    # Another launcher has no use for a worker.
    with (
        job.worker_ahead() if launcher else contextlib.nullcontext(),
        kept_files(),
        hydra(search_folders) as state,
    ):
        running: Any = state.hydra
        try:
            lines = [*plugins, *_numbered(request)]
            config = running.compose_config(ROOT, lines, RunMode.MULTIRUN, False)
        except (*HYDRA_ERRORS, RecursionError, yaml.YAMLError) as error:
            # Composing the jobs here gives better messages.
            shared = bool(_shared(request))
            jobs = trials(request, search_folders)
            _check(job, jobs, None, None, lambda it: it, is_shared=shared)
            raise ConfigError(
                composition_diagnostic(error, search_folders, request.all())
            ) from None
        given = params_of(config, request, search_folders)
        params, typed = given or Params(), request.hydra
        check_params(params, request, search_folders)
        if given is not None:
            request, diagnostics = read([*params.lines, *overrides], search_folders)
            if diagnostics:
                raise ConfigError(*map(params.placed, diagnostics))
            lines = [*plugins, *_numbered(request), "hydra.sweeper.params=null"]
        names: set[str] = set()
        jobs: list[list[str]] = []
        try:
            if is_grid(config):  # Other sweepers propose their own values.
                jobs = trials(request, search_folders)
                parent, shared = _parent(config), bool(_shared(request))
                names = _check(
                    job, jobs, parent, check, params.placed, is_shared=shared
                )
            elif is_search(config):
                job.plan = plan_search(request, job.compose)
                jobs, names = [list(job.plan.lines)], {job.plan.name}
        except ConfigError as error:
            # Diagnostics of several jobs may have the same place.
            placed = dict.fromkeys(map(params.placed, error.diagnostics))
            raise ConfigError(*placed) from None
        if vet is not None and jobs:
            vet([[*job.fixed, *words] for words in jobs])
        shared_lines = _numbered(dataclasses.replace(request, choices=()))
        check_jobs(
            config,
            request,
            search_folders,
            lambda words: running.compose_config(
                ROOT, [*words, *shared_lines], RunMode.MULTIRUN, False
            ),
            typed=typed,
        )
        check_directory(config, "output.dir" if _shared(request) else "hydra.sweep.dir")
        lines += new_directories(config, names)
        is_composed = not any(one.is_sweep_override() for one in typed)
        if launcher and is_grid(config) and is_composed:
            lines.append(f"hydra.sweeper._target_={CHECKED_GRID}")
        try:
            returned = running.multirun(ROOT, job, lines, with_log_configuration=False)
        except HYDRA_ERRORS as error:
            diagnostic = composition_diagnostic(error, search_folders, request.all())
            raise ConfigError(params.placed(diagnostic)) from None
        except OSError as error:
            # Hydra's own files; an error of a job is in its outcome.
            raise unwritable(Path(error.filename or "hydra"), error) from error
    if isinstance(returned, list):
        return [one.return_value for batch in returned for one in batch]
    return job.outcomes  # Optimizing sweepers return nothing.


def _check(
    job: SweepJob,
    jobs: Sequence[Sequence[str]],
    parent: str | None,
    check: Callable[[Composed, str], None] | None,
    placed: Callable[[Diagnostic], Diagnostic],
    *,
    is_shared: bool = False,
) -> set[str]:
    """Composes every job without running it; returns the names of the experiments.

    Args:
        job: composes them.
        jobs: overrides of each.
        parent: folder of their run directories, if known by now.
        check: called with each experiment and its run directory.
        placed: replaces the origin of a diagnostic by its place in a file.
        is_shared: True if an `output.dir` of the overrides is `parent`.
    """
    found: dict[Diagnostic, list[int]] = {}
    names, writers = set(), dict[str, int]()
    for number, lines in enumerate(jobs):
        try:
            composed = job.compose(lines)
            names.add(composed.config.name)
            directory = None if is_shared else composed.config.output.dir
            if directory is not None:
                _refuse_shared(composed, os.path.abspath(directory), number, writers)
            elif parent is not None:
                directory = os.path.join(parent, str(number))
            if directory is not None and check is not None:
                check(composed, directory)
        except ConfigError as error:
            for diagnostic in error.diagnostics:
                found.setdefault(placed(diagnostic), []).append(number)
    if found:
        settings = [settings_of(lines) for lines in jobs]
        raise ConfigError(
            *(_of_job(one, numbers, settings) for one, numbers in found.items())
        )
    return names


def _of_job(
    diagnostic: Diagnostic,
    numbers: Sequence[int],
    settings: Sequence[Mapping[str, str]],
) -> Diagnostic:
    """Adds the first job that has a diagnostic to it, unless all have it.

    Args:
        diagnostic: of some jobs.
        numbers: of these jobs.
        settings: key -> value as text of the overrides of every job.
    """
    is_named = diagnostic.where == "output.dir"  # It is of one job.
    if len(numbers) == len(settings) or is_named:
        return diagnostic
    first = settings[numbers[0]]
    varied = [
        f"{key}={value}"
        for key, value in first.items()
        if any(other.get(key) != value for other in settings)
    ]
    job = f"trial {numbers[0]} of {len(settings)}: {' '.join(varied)}"
    if others := len(numbers) - 1:
        job += f", and {others} more"
    problem = f"{diagnostic.problem.rstrip('.')} in {job}"
    return dataclasses.replace(diagnostic, problem=problem)


def _refuse_shared(
    composed: Composed, directory: str, number: int, writers: dict[str, int]
) -> None:
    """Refuses a run directory that another job of the sweep uses."""
    first = writers.setdefault(directory, number)
    if first != number:
        raise ConfigError(
            Diagnostic(
                "output.dir",
                f"'{composed.config.output.dir}' is the directory of trial {first} and "
                f"of trial {number}",
                expected="one directory per trial",
                hint="Put every swept key into it, or set output.dir=DIR for DIR/0, "
                "DIR/1 and so on.",
                origin=composed.places.get("output.dir", ""),
                code="sweep",
            )
        )


def _parent(config: DictConfig) -> str | None:
    """Returns the folder of the jobs' directories, or None if it is not fixed."""
    written: Any = OmegaConf.to_container(config.hydra.sweep, resolve=False)
    is_numbered = str(written["subdir"]) == "${hydra.job.num}"
    return str(written["dir"]) if is_numbered and "${" not in written["dir"] else None


def _ours(request: Request) -> dict[str, Any]:
    """Returns the overrides that Hydra does not know and every job needs."""
    own: dict[str, Any] = {}
    if request.run is not None:
        own["run"] = os.path.abspath(request.run)  # A job may run in another folder.
    if trusted := [*request.trust, *map(os.path.abspath, request.trusted_folders)]:
        own["trust"] = trusted
    return own


def _numbered(request: Request) -> list[str]:
    """Returns Hydra's overrides; a shared `output.dir` becomes `hydra.sweep.dir`."""
    shared = _shared(request)
    rest = tuple(value for value in request.values if value not in shared)
    lines = dataclasses.replace(request, values=rest).lines()
    named = [one for one in request.hydra if one.key_or_group == "hydra.sweep.dir"]
    places = [str(value.value()) for value in (*named, *shared)]
    return [
        *lines,
        *(
            f"hydra.sweep.dir={format_value(str(expanded(place, 'output.dir')))}"
            for place in places[-1:]
            if place.startswith("~") or shared
        ),
    ]


def _shared(request: Request) -> list[Override]:
    """Returns the overrides that set one `output.dir` for all jobs."""
    return [
        value
        for value in request.values
        if value.key_or_group == "output.dir"
        and not value.is_sweep_override()
        and "${" not in str(value.value())
    ]
