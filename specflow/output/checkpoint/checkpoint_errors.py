"""Diagnostics of checkpoints that are missing, damaged, unwritable or do not match."""

from collections.abc import Sequence
from pathlib import Path

from specflow.diagnostics.errors import Diagnostic
from specflow.distributed import collectives
from specflow.output.checkpoint.saved_arrays import reason

__all__ = ["damaged", "mismatched", "missing", "no_best", "unwritable"]

_MAX_SHOWN = 10


def missing(directory: Path, step: int | None, steps: Sequence[int]) -> Diagnostic:
    """Reports that a directory has no checkpoint of a step.

    Args:
        directory: the checkpoints of a run.
        step: the requested one. If None, any step.
        steps: those that exist.
    """
    problem = "no checkpoint"
    if step is not None:
        exist = f"there are {', '.join(map(str, steps))}" if steps else "there is none"
        problem = f"no checkpoint of step {step}; {exist}"
    return Diagnostic(
        str(directory),
        problem,
        hint="" if steps else "Train first, or name another run.",
        code="checkpoint-missing",
    )


def no_best(directory: Path, metric: str | None, steps: Sequence[int]) -> Diagnostic:
    """Reports that no checkpoint is the best one.

    Args:
        directory: the checkpoints of a run.
        metric: the one that ranks them. If None, no metric is configured.
        steps: those that exist.
    """
    if not steps:
        return missing(directory, None, steps)
    hint = f"Steps: {', '.join(map(str, steps))}."
    if metric is None:
        problem = "no best checkpoint: no metric ranks them"
        hint = (
            "Set output.checkpoint.best={metric:loss}, in Python "
            f"RunConfig(keep_best=...), or choose a step. {hint}"
        )
    else:
        problem = f"no best checkpoint: none has the evaluation metric '{metric}'"
    return Diagnostic(str(directory), problem, hint=hint, code="checkpoint-missing")


def damaged(path: Path, why: str, *, others: Sequence[int] = ()) -> Diagnostic:
    """Reports a checkpoint that does not hold what was written.

    Args:
        path: of the checkpoint, named by its step.
        why: reason, in one line.
        others: steps to offer in its place.
    """
    return Diagnostic(
        str(path),
        f"the checkpoint of step {path.name} is damaged: {why}",
        hint=f"Other steps: {', '.join(map(str, others))}." if others else "",
        code="checkpoint-damaged",
    )


def unwritable(path: Path, error: Exception, *, newest: int | None) -> Diagnostic:
    """Reports a checkpoint that could not be written.

    Args:
        path: of the checkpoint, named by its step.
        error: raised by the write.
        newest: step of the newest complete checkpoint. None if there is none.
    """
    process = (
        ""
        if collectives.process_count() == 1
        else f"process {collectives.process_index()}: "
    )
    outcome = (
        "starts from the beginning" if newest is None else f"resumes from step {newest}"
    )
    return Diagnostic(
        str(path),
        f"the checkpoint of step {path.name} was not written: {process}{reason(error)}",
        hint="Free disk space or fix the permissions and run the same command again; "
        f"it {outcome}.",
        code="checkpoint-unwritable",
    )


def mismatched(
    path: Path, differences: Sequence[tuple[str, str]], total: int
) -> list[Diagnostic]:
    """Reports a checkpoint of another model: one headline, then its arrays.

    Args:
        path: of the checkpoint.
        differences: (array path, difference) of each array.
        total: number of arrays in the checkpoint.
    """
    diagnostics = [
        Diagnostic(
            str(path),
            f"checkpoint of another model: {len(differences)} arrays differ ({total} "
            "saved)",
            hint="Restore it with the config of its own run, or choose another "
            "output.dir.",
            code="checkpoint-of-another-model",
        )
    ]
    shown = list(differences[:_MAX_SHOWN])
    if len(differences) > _MAX_SHOWN:
        shown.append(("", f"... and {len(differences) - _MAX_SHOWN} more"))
    diagnostics += [
        Diagnostic(name, difference, code="checkpoint-of-another-model")
        for name, difference in shown
    ]
    return diagnostics
