"""Results of the checks of data: findings with severity, numbers and threshold."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, Self

from specflow.diagnostics.errors import Diagnostic
from specflow.diagnostics.rendering import to_plain

__all__ = ["CheckResult", "Finding", "Severity"]

Severity = Literal["error", "warning"]
_CODES = {
    "missing": "data-missing",
    "constant": "data-constant",
    "leakage": "data-leakage",
    "imbalance": "data-imbalance",
    "order": "data-order",
}
"""Check -> code of its findings."""


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One problem of the data."""

    severity: Severity
    """`error`: a result would mean nothing; `warning`: it may be worse than it
    could."""
    diagnostic: Diagnostic
    """Column, problem, threshold and what to do; its code names the check."""
    numbers: Mapping[str, float]
    """What was measured, by name."""

    @classmethod
    def of(
        cls,
        check: str,
        severity: Severity,
        column: str,
        problem: str,
        *,
        expected: str,
        hint: str,
        **numbers: float,
    ) -> Self:
        """A finding of a check, which decides its code."""
        code = _CODES[check]
        diagnostic = Diagnostic(column, problem, expected, hint, code=code)
        return cls(severity, diagnostic, numbers)


@dataclasses.dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check has found."""

    name: str
    measured: str
    """What the check measured, with the largest number that it met."""
    findings: tuple[Finding, ...]

    @property
    def severity(self) -> Severity | Literal["ok"]:
        """The worst severity of the findings."""
        severities = {finding.severity for finding in self.findings}
        return "error" if "error" in severities else "warning" if severities else "ok"

    def to_json(self) -> dict[str, Any]:
        """The result as plain values."""
        return {
            "check": self.name,
            "severity": self.severity,
            "measured": self.measured,
            "findings": [
                {
                    "severity": finding.severity,
                    **to_plain(finding.diagnostic),
                    "numbers": dict(finding.numbers),
                }
                for finding in self.findings
            ],
        }
