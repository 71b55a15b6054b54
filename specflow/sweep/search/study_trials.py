"""The trials of a study: asked, adopted from processes that died, told."""

import contextlib
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from optuna.exceptions import StorageInternalError
from optuna.storages import fail_stale_trials
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial
from sqlalchemy.exc import SQLAlchemyError

from specflow.sweep.search.samplers import (
    pruner_of,
    sampler_of,
    suggested,
)
from specflow.sweep.search.search_plan import SearchPlan
from specflow.sweep.search.study_storage import (
    HEARTBEAT_S,
    SUPERVISOR,
    Supervisors,
    close_study,
    copy_lost_trials,
    is_url,
    open_study,
    unreachable,
)
from specflow.sweep.search.trial_results import Evaluated

__all__ = ["DIRECTORY", "StudyTrials"]

DIRECTORY = "directory"
"""User attribute of a trial in a database: its run directory."""
_PRUNED = "pruned"
"""User attribute of a trial that was told to end."""
_RETRIED = "failed_trial"
"""System attribute of a copy of a trial whose machine was lost."""
_PATIENCE_S = 120.0
T = TypeVar("T")


class StudyTrials:
    """The study of a search, as the process that runs its trials uses it.

    Args:
        plan: of the search.
        directory: of the sweep.
        supervisors: the processes of the search.
    """

    def __init__(self, plan: SearchPlan, directory: Path, supervisors: Supervisors):
        self._plan, self._supervisors = plan, supervisors
        self._directory = directory
        self._storage = plan.sweep.storage
        self._study = open_study(
            plan.sweep.storage,
            directory,
            plan.study_name(directory),
            [one.direction for one in plan.objectives],
            plan.definition(),
            sampler=sampler_of(plan.sweep, plan.dimensions),
            pruner=pruner_of(plan.sweep, plan.train_steps, plan.every),
        )
        self._running: dict[int, Trial] = {}
        self._asked: int | None = None
        """Number of trials, if this process alone asks."""

    def all(self) -> list[FrozenTrial]:
        """Returns all trials, those of other processes included."""
        return self._patiently(lambda: self._study.get_trials(deepcopy=False))

    def next(self) -> tuple[Trial, dict[str, Any]] | None:
        """Returns a trial to run and its values; None if the others run the rest.

        It is new, or one that a process of this directory left when it died: with the
        same number, so that its run directory resumes.
        """

        def found() -> Trial | None:
            is_full = self._is_full()
            # A trial that a lost connection hid from this process comes first.
            left = self._abandoned() if is_full or is_url(self._storage) else None
            return left if left is not None or is_full else self._ask()

        return self._begin(found)

    def adopt(self) -> tuple[Trial, dict[str, Any]] | None:
        """Returns a trial that a process left when it died, and its values, or None."""
        return self._begin(self._abandoned)

    def _begin(
        self, find: Callable[[], Trial | None]
    ) -> tuple[Trial, dict[str, Any]] | None:
        with self._supervisors.turn():
            # Before: the trials of one that ends meanwhile are found the next time.
            dead = self._supervisors.dead()
            trial = self._patiently(find)
            if trial is None:
                self._supervisors.forget(dead)
                return None
            values = self._patiently(lambda: suggested(trial, self._plan.dimensions))
            own = self._supervisors.own
            if trial.user_attrs.get(SUPERVISOR) != own:  # Of one that has ended.
                self._patiently(lambda: trial.set_user_attr(SUPERVISOR, own))
            if is_url(self._storage):  # Other machines have other directories.
                place = str((self._directory / str(trial.number)).absolute())
                self._patiently(lambda: trial.set_user_attr(DIRECTORY, place))
        self._running[trial.number] = trial
        return trial, values

    def report(self, number: int, step: int, value: float) -> None:
        """Reports an evaluation; the first of a step counts."""
        trial = self._running[number]
        with warnings.catch_warnings():
            # A resumed trial evaluates a step again.
            warnings.filterwarnings("ignore", message=".*already reported")
            self._patiently(lambda: trial.report(value, step))

    def is_pruned(self, number: int) -> bool:
        """Returns whether a trial promises too little, by what it has reported."""
        trial = self._running[number]
        is_pruned = self._patiently(trial.should_prune)
        if is_pruned:  # Killed before its end is stored, it ends where it resumes.
            self._patiently(lambda: trial.set_user_attr(_PRUNED, True))
        return is_pruned

    def was_pruned(self, number: int) -> bool:
        """Returns whether a process that was killed since told a trial to end."""
        return _PRUNED in self._running[number].user_attrs

    def complete(self, number: int, result: Evaluated) -> None:
        """Stores the values of a trial."""
        trial = self._running[number]
        bounds = zip(self._plan.sweep.constraints, result.exceeded, strict=True)
        for place, (bound, amount) in enumerate(bounds):
            self._constrain(trial, f"{place}.{bound.metric}", amount)
        self._tell(number, values=list(result.values))

    def prune(self, number: int) -> None:
        """Stores that a trial was pruned."""
        self._tell(number, state=TrialState.PRUNED)

    def fail(self, number: int, failure: str) -> None:
        """Stores that a trial failed, and the kind of its failure."""
        trial = self._running[number]
        self._patiently(lambda: trial.set_user_attr("failure", failure))
        self._tell(number, state=TrialState.FAIL)

    @contextlib.contextmanager
    def connected(self) -> Iterator[None]:
        """Shows other machines, inside the block, that the running trials are alive.

        The connections are closed at its end.
        """
        try:
            if is_url(self._storage):
                with self._heartbeats():
                    yield
            else:
                yield
        finally:
            close_study(self._study)

    @contextlib.contextmanager
    def _heartbeats(self) -> Iterator[None]:
        ended = threading.Event()
        storage: Any = self._study._storage

        def beat() -> None:
            while not ended.wait(HEARTBEAT_S):
                # The next beat comes; only a long silence counts.
                with contextlib.suppress(SQLAlchemyError, StorageInternalError):
                    for trial in list(self._running.values()):
                        storage.record_heartbeat(trial._trial_id)
                    fail_stale_trials(self._study)
                    copy_lost_trials(self._study, self._supervisors.is_known)

        self._patiently(
            lambda: copy_lost_trials(self._study, self._supervisors.is_known)
        )
        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _ask(self) -> Trial:
        storage: Any = self._study._storage
        if is_url(self._storage) and self._has_waiting():
            with warnings.catch_warnings():
                # `heartbeats` sends what Optuna's own loop would.
                warnings.filterwarnings("ignore", message="Heartbeat of storage")
                trial = self._study.ask()
        else:
            # Optuna's `ask`, with the process from the beginning: if a connection is
            # lost before the answer, `_abandoned` finds the trial.
            own = {SUPERVISOR: self._supervisors.own}
            new = create_trial(state=TrialState.RUNNING, user_attrs=own)
            trial_id = storage.create_new_trial(self._study._study_id, new)
            self._study._thread_local.cached_all_trials = None
            trial = Trial(self._study, trial_id)
        if is_url(self._storage):
            storage.record_heartbeat(trial._trial_id)
        if self._asked is not None:
            self._asked += 1
        return trial

    def _is_full(self) -> bool:
        """Returns whether no further trial is to be asked for."""
        is_alone = not is_url(self._storage) and not self._supervisors.are_several
        if is_alone and self._asked is not None:
            return self._asked >= self._plan.trials
        if self._has_waiting():
            return False
        trials = self.all()
        copies = sum(_RETRIED in one.system_attrs for one in trials)
        self._asked = len(trials) if is_alone else None
        return len(trials) - copies >= self._plan.trials

    def _has_waiting(self) -> bool:
        """Returns whether the trial of a machine that was lost is to run again."""
        return any(one.state is TrialState.WAITING for one in self.all())

    def _abandoned(self) -> Trial | None:
        """Returns a running trial that no process runs.

        Its process of this directory has ended, or is this one and never got the answer
        to its question.
        """
        for frozen in self._study.get_trials(
            deepcopy=False, states=(TrialState.RUNNING,)
        ):
            if frozen.number in self._running:
                continue
            name = frozen.user_attrs.get(SUPERVISOR)
            if is_url(self._storage):
                # Another machine's, unless its lock is here; see `heartbeats`.
                if name is None or not self._supervisors.is_known(name):
                    continue
            is_own = name in (None, self._supervisors.own)
            if is_own or self._supervisors.is_dead(str(name)):
                return Trial(self._study, frozen._trial_id)
        return None

    def _constrain(self, trial: Trial, name: str, amount: float) -> None:
        with warnings.catch_warnings():
            # A process that died may have stored it before.
            warnings.simplefilter("ignore")
            self._patiently(lambda: trial.set_constraint(name, amount))

    def _tell(self, number: int, **told: Any) -> None:
        trial = self._running[number]
        self._patiently(lambda: self._study.tell(trial, skip_if_finished=True, **told))
        del self._running[number]

    def _patiently(self, use: Callable[[], T]) -> T:
        """Uses the storage, again if a database is away for a while.

        Raises:
            MachineError: it does not come back.
        """
        ends, pause_s = time.monotonic() + _PATIENCE_S, 0.1
        while True:
            try:
                return use()
            except (SQLAlchemyError, StorageInternalError) as error:
                if not is_url(self._storage) or time.monotonic() > ends:
                    cause = error.__cause__ or error
                    raise unreachable(self._storage, cause) from None
                time.sleep(pause_s)
                pause_s = min(2 * pause_s, 5.0)
