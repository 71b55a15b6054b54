"""The Optuna study of a search, in its storage."""

import contextlib
import datetime
import json
import sqlite3
import time
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import optuna
from filelock import FileLock, Timeout
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.storages import (
    BaseStorage,
    JournalStorage,
    RDBStorage,
    RetryHeartbeatStaleTrialCallback,
)
from optuna.storages._rdb.models import TrialHeartbeatModel
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

from specflow.diagnostics.errors import ConfigError, Diagnostic, MachineError

__all__ = [
    "HEARTBEAT_S",
    "SUPERVISOR",
    "Supervisors",
    "close_study",
    "connected",
    "copy_lost_trials",
    "is_url",
    "open_study",
]

HEARTBEAT_S = 30
"""Seconds between two signs of life of a trial in a database."""
_GRACE_S = 4 * HEARTBEAT_S
SUPERVISOR = "supervisor"
"""User attribute of a trial: the process that runs it."""
_DEFINITION = "specflow"
_ATTEMPTS = 5


def is_url(storage: str) -> bool:
    """Returns whether a storage is a database that other machines reach."""
    return "://" in storage


def open_study(
    storage: str,
    directory: Path,
    name: str,
    directions: list[Literal["minimize", "maximize"]],
    definition: dict[str, Any],
    **options: Any,
) -> optuna.Study:
    """Creates a study, or opens that of an earlier call.

    Args:
        storage: `sweep.storage`.
        directory: of the sweep.
        name: of the study.
        directions: of its objectives.
        definition: what must be the same in each call.
        **options: sampler and pruner.

    Raises:
        ConfigError: the study is that of another search.
        MachineError: the database does not answer.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    directory.mkdir(parents=True, exist_ok=True)
    try:
        # One process at a time creates tables.
        with FileLock(directory / "search.lock"):
            storage_used = connected(storage, directory)
            if not is_url(storage):
                _check_name(storage_used, name, directory)
            study = optuna.create_study(
                storage=storage_used,
                study_name=name,
                directions=directions,
                load_if_exists=True,
                **options,
            )
            _check_definition(study, definition, directory)
    except SQLAlchemyError as error:
        raise unreachable(storage, error) from None
    return study


def close_study(study: optuna.Study) -> None:
    """Closes the connections of a study's storage; it connects anew if it is used."""
    storage: Any = study._storage
    # Reads of a database are cached by another storage.
    storage = getattr(storage, "_backend", storage)
    if isinstance(storage, RDBStorage):
        storage.remove_session()
        storage.engine.dispose()


def unreachable(storage: str, error: BaseException) -> MachineError:
    """Returns the error of a database that does not answer."""
    reason = str(getattr(error, "orig", None) or error)
    first = (reason.splitlines() or [""])[0]
    hint = "Once it answers, the same command resumes."
    where, problem = "sweep.storage", f"{storage} failed: {first}"
    return MachineError(Diagnostic(where, problem, hint=hint, code="sweep-storage"))


def connected(storage: str, directory: Path) -> BaseStorage:
    """Returns Optuna's storage, which creates what is missing.

    Args:
        storage: `sweep.storage`.
        directory: of the sweep.
    """
    if storage == "journal":
        return JournalStorage(JournalFileBackend(str(directory / "search.log")))
    if not is_url(storage):
        url = f"sqlite:///{(directory / 'search.db').absolute()}"
        arguments = {"timeout": 300, "factory": _SqliteConnection}
        return RDBStorage(url, engine_kwargs={"connect_args": arguments})
    for attempt in range(_ATTEMPTS):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                return RDBStorage(
                    storage,
                    engine_kwargs={"pool_pre_ping": True},
                    heartbeat_interval=HEARTBEAT_S,
                    grace_period=_GRACE_S,
                    heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(),
                )
        except SQLAlchemyError:
            # Two machines create its tables at once: only one of them can.
            if attempt == _ATTEMPTS - 1:
                raise
            time.sleep(0.2 * 2**attempt)
    raise AssertionError


def copy_lost_trials(study: optuna.Study, is_known: Callable[[str], bool]) -> None:
    """Makes copies that wait of the trials whose machines were lost; these fail.

    As Optuna's `fail_stale_trials`; also those whose process ended before the first
    sign of life, and none of this directory, where they resume.

    Args:
        study: in a database.
        is_known: whether a supervisor is of this directory.
    """
    storage: Any = study._storage
    copy = storage.get_heartbeat_stale_trial_callback()
    stale = set(storage._get_stale_trial_ids(study._study_id))
    latest = datetime.datetime.now() - datetime.timedelta(seconds=_GRACE_S)
    for trial in study.get_trials(deepcopy=True, states=(TrialState.RUNNING,)):
        if is_known(str(trial.user_attrs.get(SUPERVISOR))):
            continue
        started, number = trial.datetime_start, trial._trial_id
        is_silent = started is not None and started < latest
        if number in stale or (is_silent and not _has_heartbeat(storage, number)):
            with contextlib.suppress(UpdateFinishedTrialError):  # Another was faster.
                if storage.set_trial_state_values(number, state=TrialState.FAIL):
                    copy(study, trial)


def _has_heartbeat(storage: Any, trial_id: int) -> bool:
    backend = getattr(storage, "_backend", storage)
    with backend.scoped_session() as session:
        return TrialHeartbeatModel.where_trial_id(trial_id, session) is not None


class _SqliteConnection(sqlite3.Connection):
    """Writes ahead: a commit waits for no disk, and a killed process loses none."""

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        self.execute("PRAGMA journal_mode=WAL").close()
        self.execute("PRAGMA synchronous=NORMAL").close()


def _check_definition(
    study: optuna.Study, definition: dict[str, Any], directory: Path
) -> None:
    own = json.loads(json.dumps(definition))
    known = study.user_attrs.get(_DEFINITION)
    if known is None:
        study.set_user_attr(_DEFINITION, own)
        return
    changed = [
        (f"sweep.{key}", json.dumps(known.get(key)), json.dumps(own[key]))
        for key in own
        if own[key] != known.get(key) and key != "fixed"
    ]
    there, here = known.get("fixed", {}), own.get("fixed", {})
    changed += [
        (key, there.get(key, "absent"), here.get(key, "absent"))
        for key in there | here
        if there.get(key) != here.get(key)
    ]
    if changed:
        raise ConfigError(*(_differs(*one, directory) for one in changed))


def _check_name(storage: BaseStorage, name: str, directory: Path) -> None:
    """Refuses the directory of a search with another name: it would run there too."""
    names = optuna.get_all_study_names(storage)
    if names and name not in names:
        raise ConfigError(_differs("sweep.study", names[0], name, directory))


def _differs(where: str, there: str, here: str, directory: Path) -> Diagnostic:
    return Diagnostic(
        where,
        f"differs from that of the search in {directory}: {there} there, {here} here",
        hint="Type the same as there to resume, or choose another output.dir.",
        code="sweep",
    )


class Supervisors:
    """Processes that run trials of one search, in one directory.

    Each holds a lock on a file of its own; the lock of a process that was killed is
    free.

    Args:
        directory: of the sweep.
    """

    def __init__(self, directory: Path):
        self._folder = directory / "supervisors"
        self._folder.mkdir(parents=True, exist_ok=True)
        self.own = uuid.uuid4().hex
        self._lock = FileLock(self._folder / f"{self.own}.lock")
        self._turn = FileLock(directory / "search.lock")

    def __enter__(self) -> "Supervisors":
        with self._turn:
            self._lock.acquire()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._turn:
            self._lock.release()
            # Its file stays for the others to see: its running trials are for another
            # one, or those that run are to know that they were not alone.
            others = {file.stem for file in self._folder.iterdir()} - {self.own}
            if kind is None and all(map(self.is_dead, others)):
                (self._folder / f"{self.own}.lock").unlink(missing_ok=True)

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Holds off the others inside the block."""
        with self._turn:
            yield

    @property
    def are_several(self) -> bool:
        """True if there is, or was since this one's start, another one."""
        return len(list(self._folder.iterdir())) > 1

    def dead(self) -> list[str]:
        """Returns those that have ended; to be called in a turn."""
        names = [file.stem for file in self._folder.iterdir()]
        return [name for name in names if self.is_dead(name)]

    def forget(self, names: Iterable[str]) -> None:
        """Removes the files of some that have ended, whose trials others have."""
        for name in names:
            (self._folder / f"{name}.lock").unlink(missing_ok=True)

    def is_known(self, name: str) -> bool:
        """Returns whether one runs, or was killed, in this directory."""
        return (self._folder / f"{name}.lock").exists()

    def is_dead(self, name: str) -> bool:
        """Returns whether one has ended; to be called in a turn."""
        file = self._folder / f"{name}.lock"
        if name == self.own:
            return False
        if not file.exists():
            return True
        lock = FileLock(file)
        try:
            with lock.acquire(timeout=0):
                return True
        except Timeout:
            return False
