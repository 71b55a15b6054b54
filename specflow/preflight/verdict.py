"""Diagnostics of experiments that do not fit."""

from collections.abc import Mapping
from typing import Any

from specflow.diagnostics.errors import Diagnostic
from specflow.preflight.child_process import Question, ask
from specflow.runtime.formatting import human

__all__ = ["in_words", "misfits", "shortfall"]


def shortfall(
    report: Mapping[str, Any], *, where: str = "--topology"
) -> list[Diagnostic]:
    """Returns the diagnostic of an experiment that does not fit; empty if it fits.

    Args:
        report: the child's report of one job.
        where: option or job to name in the message.
    """
    if report["fits"]:
        return []
    short = [
        program
        for program in report.get("programs", {}).values()
        if not program["fits"]
    ]
    needs = max((program["needs"] or 0 for program in short), default=report["needs"])
    changes = report.get("changes", {})
    tried = [in_words(change) for change in changes.get("fitting", [])]
    tries = [*filter(None, [changes.get("share")]), *tried[:1]]
    return [
        Diagnostic(
            where,
            f"{report['name']} "
            + (f"needs {human(needs)}" if needs else "needs more than there is")
            + f" on each {report.get('unit', 'chip')} of {report['topology']}",
            expected=f"at most {human(report['available'])}",
            hint=f"Try {', or '.join(tries)}." if tries else "",
            origin="command line",
            code="exceeds",
        )
    ]


def in_words(change: Mapping[str, Any]) -> str:
    """Returns a change as it is typed, with a setting of the environment in front.

    >>> in_words({"overrides": ["mesh=fsdp"], "share": "SHARE=0.9"})
    'SHARE=0.9 mesh=fsdp'
    """
    return " ".join(filter(None, [change.get("share"), *change["overrides"]]))


def misfits(question: Question, *, numbered: bool) -> list[Diagnostic]:
    """Returns the diagnostics of the jobs that do not fit.

    Args:
        question: the jobs, and the topology.
        numbered: name trials by their numbers.
    """
    reports = ask(question)
    return [
        diagnostic
        for number, report in enumerate(reports)
        for diagnostic in shortfall(
            report,
            where=f"trial {number} ({' '.join(question.jobs[number])})"
            if numbered
            else "--topology",
        )
    ]
