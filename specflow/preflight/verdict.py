"""What does not fit, as faults."""

from collections.abc import Mapping
from typing import Any

from specflow.diagnostics.errors import Diagnostic
from specflow.preflight.child_process import Question, ask
from specflow.runtime.formatting import human

__all__ = ["misfits", "shortfall"]


def shortfall(
    report: Mapping[str, Any], *, where: str = "--topology"
) -> list[Diagnostic]:
    """The fault of an experiment that does not fit; none if it does.

    Args:
        report: of one job, as the child gives it.
        where: what to name.
    """
    if report["fits"]:
        return []
    short = [one for one in report.get("programs", {}).values() if not one["fits"]]
    needs = max((one["needs"] or 0 for one in short), default=report["needs"])
    fitting = report.get("changes", {}).get("fitting", [])
    return [
        Diagnostic(
            where,
            f"{report['name']} "
            + (f"needs {human(needs)}" if needs else "needs more than there is")
            + f" on each chip of {report['topology']}",
            expected=f"at most {human(report['available'])}",
            hint=f"Try {' '.join(fitting[0]['overrides'])}." if fitting else "",
            origin="command line",
            code="exceeds",
        )
    ]


def misfits(question: Question, *, numbered: bool) -> list[Diagnostic]:
    """The faults of the jobs that do not fit.

    Args:
        question: which jobs, and which slice.
        numbered: whether to name the jobs by their numbers.
    """
    reports = ask(question)
    return [
        diagnostic
        for number, report in enumerate(reports)
        for diagnostic in shortfall(
            report,
            where=f"job {number} ({' '.join(question.jobs[number])})"
            if numbered
            else "--topology",
        )
    ]
