"""Checks of checkpoints: their metadata, and every array against its digest."""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from specflow.diagnostics.errors import CheckpointError
from specflow.fsck.verdicts import Finding, Remove, SetAside, Verdict
from specflow.output.checkpoint.archive import Archive

__all__ = ["Verifier", "check_checkpoints", "good_steps"]

_PARTIAL = re.compile(r".+\.partial|.*\.orbax-checkpoint-tmp.*")
_SUPERSEDED = re.compile(r"\d+-\d+")


class Verifier(Protocol):
    """Reads checkpoints; `Archive` is one."""

    def verify(self, path: Path) -> list[str]:
        """Returns a reason for each damaged array, or one for all of them.

        Raises:
            CheckpointError: the checkpoint has another format.
        """
        ...


def check_checkpoints(
    folder: Path, verifier: Verifier | None = None
) -> Iterator[Finding]:
    """Checks every checkpoint below a folder, also superseded ones.

    A damaged checkpoint can be set aside if an intact one remains.

    Args:
        folder: `checkpoints` or `params` of a run; it need not exist.
        verifier: reads them; an `Archive` if None.
    """
    if not folder.is_dir():
        return
    archive = Archive() if verifier is None else verifier
    paths = sorted(folder.iterdir(), key=_order)
    steps = [
        _check(path, archive) for path in paths if path.name.isdigit() and path.is_dir()
    ]
    has_intact = any(step.verdict is Verdict.OK for step in steps)
    note = "" if has_intact else "; no intact checkpoint remains"
    for step in steps:
        if step.verdict is not Verdict.DAMAGED:
            yield step
        else:
            repair = SetAside() if has_intact else None
            yield dataclasses.replace(step, reason=step.reason + note, repair=repair)
    for path in paths:
        if _PARTIAL.fullmatch(path.name):
            reason = "is not complete; only complete checkpoints have a step as name"
            yield Finding(path, Verdict.INCOMPLETE, reason, Remove())
        elif path.name.startswith("deleting-"):
            # Perhaps it is complete, and the last one.
            repair = Remove() if has_intact else None
            reason = f"its removal was interrupted{note}"
            yield Finding(path, Verdict.LEFTOVER, reason, repair)
        elif path.name == "superseded":
            for each in sorted(path.iterdir()):
                if _SUPERSEDED.fullmatch(each.name):
                    finding = _check(each, archive)
                    damaged = finding.verdict is Verdict.DAMAGED
                    repair = SetAside() if damaged else None
                    yield dataclasses.replace(finding, repair=repair)


def good_steps(findings: list[Finding], folder: Path) -> list[int]:
    """Returns the steps of intact checkpoints in a folder, ascending."""
    return sorted(
        int(finding.path.name)
        for finding in findings
        if finding.path.parent == folder
        and finding.path.name.isdigit()
        and finding.verdict is Verdict.OK
    )


def _check(path: Path, archive: Verifier) -> Finding:
    try:
        reasons = archive.verify(path.absolute())
    except CheckpointError as error:
        return Finding(path, Verdict.OTHER_FORMAT, error.diagnostics[0].problem)
    if not reasons:
        return Finding(path)
    if not path.exists():
        return Finding(path, reason="was removed meanwhile")
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    return Finding(path, Verdict.DAMAGED, f"{reasons[0]}{more}")


def _order(path: Path) -> tuple[bool, int, str]:
    is_step = path.name.isdigit()
    return not is_step, int(path.name) if is_step else 0, path.name
