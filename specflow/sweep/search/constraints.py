"""Constraints of a search: which of them the metrics of a trial exceed."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from specflow.config.sections.sweep import ConstraintConfig

__all__ = ["excess", "finite", "violations"]


def finite(value: Any) -> float | None:
    """Returns a metric as a finite number, or None.

    >>> finite("0.5"), finite(float("nan")), finite([1])
    (0.5, None, None)
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def excess(bound: ConstraintConfig, metrics: Mapping[str, Any]) -> float:
    """Returns how far a bound is exceeded: at most 0 if it is met.

    Args:
        bound: of a metric; one that is missing or not finite exceeds it infinitely.
        metrics: name -> value, of the last evaluation.

    >>> excess(ConstraintConfig(metric="loss", at_most=0.5), {"loss": 0.75})
    0.25
    """
    value = finite(metrics.get(bound.metric))
    if value is None:
        return math.inf
    amounts = []
    if bound.at_most is not None:
        amounts.append(value - bound.at_most)
    if bound.at_least is not None:
        amounts.append(bound.at_least - value)
    return max(amounts)


def violations(
    constraints: Iterable[ConstraintConfig], metrics: Mapping[str, Any]
) -> list[str]:
    """Returns a text for each bound that a trial exceeds; empty if it is feasible.

    >>> bounds = [ConstraintConfig(metric="accuracy", at_least=0.9)]
    >>> violations(bounds, {"accuracy": 0.8125})
    ['accuracy 0.8125 < 0.9']
    >>> violations(bounds, {"accuracy": 0.9})
    []
    """
    return [_text(one, metrics) for one in constraints if excess(one, metrics) > 0]


def _text(bound: ConstraintConfig, metrics: Mapping[str, Any]) -> str:
    value = finite(metrics.get(bound.metric))
    if value is None:
        written = metrics.get(bound.metric, "missing")
        return f"{bound.metric} is {'missing' if written is None else written}"
    if bound.at_most is not None and value > bound.at_most:
        return f"{bound.metric} {value:.4g} > {bound.at_most:g}"
    return f"{bound.metric} {value:.4g} < {bound.at_least:g}"
