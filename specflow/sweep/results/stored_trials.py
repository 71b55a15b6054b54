"""Trials of a search in its storage: those of other machines, too."""

import importlib.util
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from specflow.compose.read.override_grammar import format_value
from specflow.sweep.results.trial_result import TrialResult
from specflow.sweep.trial_records import TRIALS

__all__ = ["stored_trials"]


def stored_trials(
    folder: Path, search: Mapping[str, Any], note: Callable[[str], None]
) -> list[TrialResult]:
    """Returns the trials of a search in a database, or whose records are lost.

    Those of a file in the directory are in its records, too, and need no Optuna.

    Args:
        folder: of the sweep.
        search: its description, `sweep.json`.
        note: called with what could not be read.
    """
    storage, study = str(search.get("storage", "")), str(search.get("study", ""))
    if not study:
        return []
    if "://" not in storage:
        file = folder / ("search.log" if storage == "journal" else "search.db")
        # Optuna would create a storage that is missing.
        if (folder / TRIALS).exists() or not file.exists():
            return []
    if importlib.util.find_spec("optuna") is None:
        note(f"the trials in {storage} need Optuna: pip install 'specflow-jax[sweep]'")
        return []
    try:
        return _trials(folder, search, storage, study)
    except Exception as error:  # Of the database, its driver, or Optuna.
        first = (str(error).splitlines() or [type(error).__name__])[0]
        note(f"{storage} cannot be read: {first}")
        return []


def _trials(
    folder: Path, search: Mapping[str, Any], storage: str, study: str
) -> list[TrialResult]:
    import optuna

    from specflow.sweep.search.study_storage import close_study, connected

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    loaded = optuna.load_study(study_name=study, storage=connected(storage, folder))
    names = [one["metric"] for one in search.get("objectives", ())]
    try:
        return [
            _trial(folder, names, frozen)
            for frozen in loaded.get_trials(deepcopy=False)
        ]
    finally:
        close_study(loaded)


_STATUS = {
    "COMPLETE": "complete",
    "PRUNED": "pruned",
    "FAIL": "failed",
    "RUNNING": "running",
}


def _trial(folder: Path, names: list[str], frozen: Any) -> TrialResult:
    status = _STATUS.get(frozen.state.name, "running")
    exceeded = {
        name.partition(".")[2]: amount
        for name, amount in (frozen.constraints or {}).items()
        if amount > 0
    }
    reason = ", ".join(
        f"{name} exceeds its bound by {by:.4g}" for name, by in exceeded.items()
    )
    steps = frozen.intermediate_values
    failure = str(frozen.user_attrs.get("failure", ""))
    if status == "pruned":
        reason = f"at step {frozen.last_step}"
    elif status == "failed":
        reason = failure or "failed"
    elif status == "complete" and exceeded:
        status = "infeasible"
    values = frozen.values if status in ("complete", "infeasible") else None
    metrics = dict(zip(names, values or (), strict=False))
    if not metrics and steps and names:
        metrics = {names[0]: steps[frozen.last_step]}
    own = os.path.normpath(folder / str(frozen.number))
    duration = frozen.duration
    started = frozen.datetime_start
    return TrialResult(
        number=frozen.number,
        overrides={
            key: value if isinstance(value, str) else format_value(value)
            for key, value in frozen.params.items()
        },
        directory=Path(frozen.user_attrs.get("directory", own)),
        status=status,
        metrics=metrics,
        step=frozen.last_step,
        seconds=None if duration is None else round(duration.total_seconds(), 3),
        started=""
        if started is None
        else started.astimezone().isoformat("T", "seconds"),
        reason=reason,
        failure=failure,
    )
