"""Sweeps: Hydra's sweeper and launcher run the jobs, each composed as a single one."""

import dataclasses
import math
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from specflow.compose.check.hydra_guard import check_hydra
from specflow.compose.overrides import Composed, compose
from specflow.compose.read.config_folders import folders
from specflow.compose.read.defaults_list import ROOT, composition_diagnostic
from specflow.compose.read.hydra_search_path import hydra
from specflow.compose.read.override_grammar import Request, read, spell
from specflow.diagnostics import user_code
from specflow.diagnostics.errors import ConfigError, Diagnostic, SpecflowError
from specflow.runtime.filesystem import expanded
from specflow.runtime.formatting import column_names, columns
from specflow.sweep.sweep_folders import check_directory, new_directories, unwritable
from specflow.sweep.trials import Params, is_grid, params_of, trials

__all__ = ["Outcome", "ranked", "records", "sweep", "table"]

Task = Callable[[Composed], Mapping[str, Any]]
"""What a job does with its experiment; it returns its result."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How one job of a sweep ended."""

    overrides: tuple[str, ...]
    """The lines that the sweeper gave this job."""
    directory: str
    """Its run directory, unless the overrides name another."""
    result: Mapping[str, Any] | None
    """What the task returned; none of a failed job."""
    error: str = ""
    """Why it failed."""
    metric: str = "loss"
    """Evaluation metric by which jobs are ranked: that of `output.checkpoint.best`."""
    order: str = "lowest"
    """Whether the lowest or the highest value of it is best."""

    def __float__(self) -> float:
        """The evaluation's loss: what optimizing sweepers ask a job for."""
        return float((self.result or {}).get("eval", {}).get("loss", "nan"))


@dataclasses.dataclass
class _Job:
    """What Hydra's launcher calls; a launcher may send it to another process."""

    task: Task
    config_dirs: tuple[str, ...]
    fixed: tuple[str, ...]
    started_in: str
    """From where relative paths count, in whichever folder the job runs."""
    outcomes: list[Outcome] = dataclasses.field(default_factory=list)

    def compose(self, lines: Iterable[str], directory: str = "") -> Composed:
        own = [f"output.dir={spell(directory)}"] if directory else []
        # Force-added for Hydra's sake; a fault shows the line as it was typed.
        typed = [line.removeprefix("++") for line in lines]
        return compose(
            [*self.fixed, *own, *typed],
            config_dirs=self.config_dirs,
            started_in=self.started_in,
        )

    def __call__(self, _: Any) -> Outcome:
        node = HydraConfig.get()
        lines, directory = tuple(node.overrides.task), node.runtime.output_dir
        try:
            # In the job's own folder, that of the sweep has no short name.
            own = directory if node.job.chdir else os.path.relpath(directory)
            composed = self.compose(lines, own)
            best = composed.config.output.checkpoint.best
            outcome = Outcome(lines, directory, self.task(composed))
            if best is not None:
                judged = {"metric": best.metric, "order": best.order}
                outcome = dataclasses.replace(outcome, **judged)
        except SpecflowError as error:
            print(user_code.traceback_of(error), end="", file=sys.stderr)
            outcome = Outcome(lines, directory, None, str(error))
        except Exception as error:
            if getattr(error, "exit_code", 0) > 128:
                # The person stopped this job; the launcher would go on to the next.
                raise KeyboardInterrupt from error
            # One job's crash must not lose the others' results.
            own = user_code.traceback_of(error)
            print(own or traceback.format_exc(), end="", file=sys.stderr)
            outcome = Outcome(
                lines, directory, None, f"{type(error).__name__}: {error}"
            )
        if outcome.error:
            print(f"error: job {node.job.num}: {outcome.error}", file=sys.stderr)
        self.outcomes.append(outcome)
        return outcome


def sweep(
    overrides: Iterable[str],
    task: Task,
    *,
    config_dirs: Sequence[str | Path] = (),
    vet: Callable[[list[list[str]]], None] | None = None,
    check: Callable[[Composed, str], None] | None = None,
) -> list[Outcome]:
    """Runs a task over every combination that the overrides ask for.

    Every combination is composed and validated before the first one starts; what an
    optimizing sweeper thinks of later, when it starts. A failed job does not stop the
    others.

    Args:
        overrides: lines as on the command line; `key=a,b` names several values.
        task: what to do with each experiment.
        config_dirs: the user's own folders of configs.
        vet: takes the overrides of each job before the first one starts, and may raise.
        check: takes each job's experiment and its run directory before the first one
            starts, where that is known by then, and may raise a `ConfigError`.

    Returns:
        The outcomes, in the order of the jobs.

    Raises:
        ConfigError: a job cannot be composed; the faults of all jobs, each once.
    """
    overrides, found = tuple(overrides), folders(config_dirs)
    request, diagnostics = read(overrides, found)
    if diagnostics:
        raise ConfigError(*diagnostics)
    fixed = tuple(f"{key}={spell(value)}" for key, value in _ours(request).items())
    # A job may run in another folder.
    own = tuple(os.path.abspath(folder) for folder in config_dirs)
    job = _Job(task, own, fixed, os.getcwd())
    with hydra(found) as state:
        running: Any = state.hydra
        try:
            lines = _numbered(request)
            whole = running.compose_config(ROOT, lines, RunMode.MULTIRUN, False)
        except (HydraException, OmegaConfBaseException, RecursionError) as error:
            # Who composes here tells more.
            _check(job, trials(request, found), None, None)
            raise ConfigError(
                composition_diagnostic(error, found, request.all())
            ) from None
        given = params_of(whole, request, found)
        params = given or Params()
        if given is not None:
            request, diagnostics = read([*params.lines, *overrides], found)
            if diagnostics:
                raise ConfigError(*map(params.placed, diagnostics))
            lines = [*_numbered(request), "hydra.sweeper.params=null"]
        names: set[str] = set()
        if is_grid(whole):  # Another sweeper has values of its own.
            jobs = trials(request, found)
            try:
                parent, shared = _parent(whole), bool(_shared(request))
                names = _check(job, jobs, parent, check, is_shared=shared)
            except ConfigError as error:
                # Faults of several jobs may have one place.
                placed = dict.fromkeys(map(params.placed, error.diagnostics))
                raise ConfigError(*placed) from None
            if vet is not None:
                vet([[*job.fixed, *words] for words in jobs])
        check_hydra(whole, found, request.hydra, trust=request.trust)
        check_directory(whole, "output.dir" if _shared(request) else "hydra.sweep.dir")
        lines += new_directories(whole, names)
        try:
            returned = running.multirun(ROOT, job, lines, with_log_configuration=False)
        except (HydraException, OmegaConfBaseException) as error:
            diagnostic = composition_diagnostic(error, found, request.all())
            raise ConfigError(params.placed(diagnostic)) from None
        except OSError as error:
            # Hydra's own folders and files; what a job raises is its outcome.
            raise unwritable(Path(error.filename or "hydra"), error) from error
    if isinstance(returned, list):
        return [one.return_value for batch in returned for one in batch]
    return job.outcomes  # Optimizing sweepers return nothing.


def ranked(outcomes: Sequence[Outcome]) -> list[int]:
    """Numbers of the jobs, the best first; those without a value follow, in order.

    >>> losses = [0.5, float("nan"), 0.25]
    >>> ranked([Outcome((), "", {"eval": {"loss": loss}}) for loss in losses])
    [2, 0, 1]
    """

    def key(number: int) -> tuple[bool, float]:
        one = outcomes[number]
        value = (one.result or {}).get("eval", {}).get(one.metric)
        if not isinstance(value, int | float) or math.isnan(value):
            return True, 0.0
        return False, -value if one.order == "highest" else value

    return sorted(range(len(outcomes)), key=key)


def records(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """The outcomes as plain values, the best first; numbers are not rounded."""
    return [
        {
            "job": number,
            "overrides": _settings(outcomes[number].overrides),
            "step": (outcomes[number].result or {}).get("step"),
            "eval": dict((outcomes[number].result or {}).get("eval", {})),
            "directory": outcomes[number].directory,
            "error": outcomes[number].error,
        }
        for number in ranked(outcomes)
    ]


def table(outcomes: Sequence[Outcome]) -> str:
    """The outcomes beside what varied between them, the best first.

    >>> print(table([
    ...     Outcome(("seed=1", "a=x"), "runs/0", {"step": 9, "eval": {"loss": 0.5}}),
    ...     Outcome(("seed=2", "a=x"), "runs/1", None, "data: no rows."),
    ... ]))
    job  seed  step  loss
    0    1     9     0.5
    1    2     failed: data: no rows.
    """
    settings = [_settings(outcome.overrides) for outcome in outcomes]
    keys = list(dict.fromkeys(key for setting in settings for key in setting))
    varied = [key for key in keys if len({row.get(key) for row in settings}) > 1]
    results = [_figures(outcome.result or {}) for outcome in outcomes]
    figures = list(dict.fromkeys(name for result in results for name in result))
    names = column_names(figures, ("job", *varied))
    # A column even where every job failed: their errors must not widen the one before.
    rows = [["job", *varied, *(names.values() or ("",))]]
    for number in ranked(outcomes):
        outcome = outcomes[number]
        row = [str(number), *(settings[number].get(key, "") for key in varied)]
        if outcome.result is None:
            first = (outcome.error.splitlines() or ["no reason given"])[0]
            rows.append([*row, f"failed: {first}"])
        else:
            rows.append([*row, *(results[number].get(name, "") for name in figures)])
    return columns(rows)


def _check(
    job: _Job,
    jobs: Iterable[Sequence[str]],
    parent: str | None,
    check: Callable[[Composed, str], None] | None,
    *,
    is_shared: bool = False,
) -> set[str]:
    """Composes every job, and runs none; returns the names of their experiments.

    Args:
        job: what composes them.
        jobs: the overrides of each.
        parent: the folder of their run directories, if it is known by now.
        check: takes each experiment with its run directory.
        is_shared: whether an `output.dir` of the overrides is `parent`.
    """
    diagnostics: dict[Diagnostic, None] = {}
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
            diagnostics.update(dict.fromkeys(error.diagnostics))
    if diagnostics:
        raise ConfigError(*diagnostics)
    return names


def _refuse_shared(
    composed: Composed, directory: str, number: int, writers: dict[str, int]
) -> None:
    """Refuses a run directory that another job of the sweep writes."""
    first = writers.setdefault(directory, number)
    if first != number:
        raise ConfigError(
            Diagnostic(
                "output.dir",
                f"'{composed.config.output.dir}' is the directory of job {first} and "
                f"of job {number}",
                expected="one directory per job",
                hint="Put every swept key into it, or set output.dir=DIR for DIR/0, "
                "DIR/1 and so on.",
                origin=composed.places.get("output.dir", ""),
                code="sweep",
            )
        )


def _parent(whole: DictConfig) -> str | None:
    """The folder with a directory for each job, where its name is fixed."""
    written: Any = OmegaConf.to_container(whole.hydra.sweep, resolve=False)
    is_numbered = str(written["subdir"]) == "${hydra.job.num}"
    return str(written["dir"]) if is_numbered and "${" not in written["dir"] else None


def _ours(request: Request) -> dict[str, Any]:
    """What only specflow understands, and every job needs."""
    own: dict[str, Any] = {}
    if request.run is not None:
        own["run"] = os.path.abspath(request.run)  # A job may run in another folder.
    if request.trust:
        own["trust"] = list(request.trust)
    return own


def _numbered(request: Request) -> list[str]:
    """The lines for Hydra; an `output.dir` that all jobs share becomes the sweep's."""
    shared = _shared(request)
    rest = tuple(value for value in request.values if value not in shared)
    lines = dataclasses.replace(request, values=rest).lines()
    named = [one for one in request.hydra if one.key_or_group == "hydra.sweep.dir"]
    places = [str(value.value()) for value in (*named, *shared)]
    return [
        *lines,
        *(
            f"hydra.sweep.dir={spell(str(expanded(place, 'output.dir')))}"
            for place in places[-1:]
            if place.startswith("~") or shared
        ),
    ]


def _shared(request: Request) -> list[Override]:
    """The overrides that name one `output.dir` for all jobs."""
    return [
        value
        for value in request.values
        if value.key_or_group == "output.dir"
        and not value.is_sweep_override()
        and "${" not in str(value.value())
    ]


def _settings(lines: Iterable[str]) -> dict[str, str]:
    pairs = (line.lstrip("+").partition("=") for line in lines)
    return {key: value for key, _, value in pairs}


def _figures(result: Mapping[str, Any]) -> dict[str, str]:
    """Step and single numbers of a result, as text."""
    numbers = {"step": result.get("step"), **result.get("eval", {})}
    return {
        name: f"{value:.5g}" if isinstance(value, float) else str(value)
        for name, value in numbers.items()
        if isinstance(value, int | float)
    }
