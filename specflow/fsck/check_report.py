"""Report of a verification: a line for each object, or plain values for tools."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from specflow.fsck.repairs import action_text
from specflow.fsck.verdicts import Finding, Verdict
from specflow.output.json_values import JsonObject
from specflow.runtime.formatting import columns

__all__ = ["as_plain", "as_text", "counts", "is_damaged", "summary"]


def as_text(folder: Path, findings: Sequence[Finding]) -> str:
    """Formats a line for each object: path, verdict and reason.

    >>> print(as_text(Path("run"), [Finding(Path("run/config.yaml")),
    ...     Finding(Path("run/checkpoints/20"), Verdict.DAMAGED, "b changed")]))
    config.yaml     ok
    checkpoints/20  damaged  b changed
    """
    return columns(
        (str(each.path.relative_to(folder)), each.verdict.value, each.reason)
        if each.reason
        else (str(each.path.relative_to(folder)), each.verdict.value)
        for each in findings
    )


def counts(findings: Sequence[Finding]) -> dict[str, int]:
    """Counts the objects of each verdict."""
    counted = Counter(each.verdict for each in findings)
    return {verdict.value: counted[verdict] for verdict in Verdict}


def summary(findings: Sequence[Finding]) -> str:
    """Counts the objects by verdict.

    >>> summary([Finding(Path("a")), Finding(Path("b"), Verdict.DAMAGED)])
    '2 objects: 1 ok, 1 damaged'
    """
    parts = ", ".join(
        f"{count} {verdict}" for verdict, count in counts(findings).items() if count
    )
    objects = "object" if len(findings) == 1 else "objects"
    return f"{len(findings)} {objects}: {parts}"


def as_plain(folder: Path, run: Path, findings: Sequence[Finding]) -> list[JsonObject]:
    """Returns findings as plain JSON values; call it before a repair.

    Args:
        folder: that paths are relative to.
        run: the run directory.
        findings: of the run.
    """
    return [
        {
            "path": each.path.relative_to(folder).as_posix(),
            "verdict": each.verdict.value,
            "reason": each.reason,
            "repair": None if each.repair is None else action_text(run, each),
        }
        for each in findings
    ]


def is_damaged(findings: Sequence[Finding], *, repaired: bool = False) -> bool:
    """Returns whether anything is damaged.

    Args:
        findings: of all runs.
        repaired: whether the repairs of the findings were made.
    """
    return any(
        each.verdict is Verdict.DAMAGED and not (repaired and each.repair is not None)
        for each in findings
    )
