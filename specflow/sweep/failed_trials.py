"""Report of the trials of a sweep that have failed, and the exit status."""

from collections.abc import Sequence
from pathlib import Path

from specflow.diagnostics.errors import MACHINE, MISTAKE, Diagnostic
from specflow.sweep.outcomes import Outcome
from specflow.sweep.pool.trial_failures import Failure

__all__ = ["failed_trials"]

_OF_MACHINE = (
    Failure.MACHINE,
    Failure.DIED,
    Failure.PREEMPTED,
    Failure.OUT_OF_MEMORY,
)
_OF_USER = (Failure.CONFIG, Failure.NAN)
_MOST = 8
"""Jobs that are named."""


def failed_trials(
    outcomes: Sequence[Outcome], folder: Path | None
) -> tuple[int, Diagnostic | None]:
    """Returns the exit status of a sweep, and what to report of its failed trials.

    The status says whether to start the command again: it is that of a failure of the
    machine if one of them is, and that of a mistake if all of them are.

    Args:
        outcomes: of all trials.
        folder: of the sweep; None: unknown.

    >>> done, nan = Outcome((), "", {}), Outcome((), "", None, failure="nan")
    >>> status, diagnostic = failed_trials([done, nan], Path("runs/grid"))
    >>> print(status, diagnostic)
    2 sweep: 1 of 2 trials failed: trial 1 (nan). specflow sweep show runs/grid lists
    the reasons; the same command with output.dir=runs/grid starts failed trials again.
    >>> failed_trials([done], None)
    (0, None)
    """
    failed = {
        number: one.failure for number, one in enumerate(outcomes) if one.result is None
    }
    if not failed:
        return 0, None
    kinds = [*failed.values()]
    status = MACHINE if any(kind in _OF_MACHINE for kind in kinds) else 1
    status = MISTAKE if all(kind in _OF_USER for kind in kinds) else status
    names = [
        f"trial {number} ({kind})" if kind else f"trial {number}"
        for number, kind in failed.items()
    ]
    more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
    problem = f"{len(failed)} of {len(outcomes)} trials failed: "
    problem += ", ".join(names[:_MOST]) + more
    hint = f"specflow sweep show {folder} lists the reasons; " if folder else ""
    if folder and (folder / "sweep.json").exists():
        hint += "those of a search do not start again: raise sweep.trials for others."
    elif folder:
        hint += f"the same command with output.dir={folder} starts failed trials again."
    return status, Diagnostic("sweep", problem, hint=hint, code="sweep-failed")
