"""Metrics of one evaluation: states by name, merged per batch, computed once."""

from collections.abc import Callable, Mapping
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from specflow.config.common.metric_fields import RESERVED
from specflow.diagnostics.errors import Diagnostic, spec_error
from specflow.metrics.metric import State
from specflow.runtime.typing import describe

__all__ = ["MetricTable"]


class _NoMetricError(TypeError, AttributeError):
    """Value that is not a metric; TensorFlow raised either of these types."""


class MetricTable:
    """Merges the results of a metric_fn over batches, and computes them at the end.

    Args:
        earlier: takes the states of the first batch, and returns those of the batches
            before it, of the same classes. If None, there are none.

    >>> from specflow.metrics import Accuracy
    >>> table = MetricTable()
    >>> for labels in (np.array([0, 1]), np.array([1])):
    ...     accuracy = Accuracy.from_batch(labels, np.ones_like(labels))
    ...     table.update({"accuracy": accuracy})
    >>> table.compute()
    {'accuracy': 0.6666666666666666}
    """

    def __init__(
        self,
        earlier: Callable[[Mapping[str, State]], dict[str, State]] | None = None,
    ) -> None:
        self._states: dict[str, State] | None = None
        self._earlier = earlier

    @property
    def states(self) -> dict[str, State]:
        """The merged states by name; empty before the first batch."""
        return self._states or {}

    def update(self, result: Mapping[str, Any] | None) -> None:
        """Merges the result of one batch.

        Args:
            result: result of metric_fn: name -> state, or name -> (value, state), of
                which the value is not used. None and {}: no metrics.

        Raises:
            SpecError: the result has another type (also a TypeError), a name is
                reserved, or names or types of states differ from earlier batches (also
                a ValueError). The table is then unchanged.
        """
        states = _states(result)
        if self._states is None and self._earlier is not None:
            self._states = self._earlier(states)
        if self._states is None:
            self._states = states
            return
        merged = self._states
        _check_same(merged, states)
        self._states = {name: merged[name].merge(states[name]) for name in merged}

    def compute(self) -> dict[str, float | int | NDArray]:
        """Computes the metrics of all rows so far: Python numbers, and NumPy arrays.

        Raises:
            SpecError: a state computes a value of another type (also a TypeError).
        """
        states = self._states or {}
        return {name: _plain(name, state.compute()) for name, state in states.items()}


def _states(result: Mapping[str, Any] | None) -> dict[str, State]:
    if result is None:
        return {}
    if not isinstance(result, Mapping):
        raise spec_error(
            Diagnostic(
                "eval_metrics",
                f"metric_fn returned {_shown(result)}",
                expected="a dict of name -> metric state",
                kind=TypeError,
                code="metric-result",
            )
        )
    diagnostics = [
        diagnostic
        for name, value in result.items()
        if (diagnostic := _name_diagnostic(name) or _value_diagnostic(name, value))
    ]
    if diagnostics:
        raise spec_error(*diagnostics)
    return {
        name: value[1] if isinstance(value, tuple) else value
        for name, value in result.items()
    }


def _name_diagnostic(name: object) -> Diagnostic | None:
    if not isinstance(name, str):
        return Diagnostic(
            "eval_metrics",
            f"the name {name!r} is of type {_shown(name)}",
            expected="a str",
            kind=TypeError,
            code="metric-result",
        )
    if name in RESERVED:
        return Diagnostic(
            f"eval_metrics[{name!r}]",
            "the name is reserved: evaluation reports its own",
            hint="Give the metric another name.",
            code="metric-reserved",
        )
    return None


def _value_diagnostic(name: str, value: object) -> Diagnostic | None:
    where, shown = f"eval_metrics[{name!r}]", _shown(value)
    if isinstance(value, tuple):
        if len(value) == 2 and _is_state(value[1]):
            return None
        shown = f"({', '.join(map(_shown, value))})"
    elif _is_state(value):
        return None
    return Diagnostic(
        where,
        f"is {shown}",
        expected="a metric state, or a (value, state) pair",
        hint="A state has merge and compute, such as Mean.from_batch(values).",
        kind=_NoMetricError,
        code="metric-result",
    )


def _is_state(value: object) -> TypeGuard[State]:
    # Equivalent to isinstance(value, State), which is slow; this runs for every batch.
    methods = (getattr(value, name, None) for name in ("merge", "compute"))
    return all(map(callable, methods)) and not isinstance(value, type)


def _check_same(merged: Mapping[str, State], states: Mapping[str, State]) -> None:
    if merged.keys() != states.keys():
        raise spec_error(
            Diagnostic(
                "eval_metrics",
                f"metric_fn returned {_listed(states)} for this batch",
                expected=f"{_listed(merged)}, as for earlier batches",
                code="metric-names",
            )
        )
    diagnostics = [
        Diagnostic(
            f"eval_metrics[{name!r}]",
            f"is {_shown(states[name])} for this batch",
            expected=f"{_shown(merged[name])}, as for earlier batches",
            code="metric-names",
        )
        for name in merged
        if type(merged[name]) is not type(states[name])
    ]
    if diagnostics:
        raise spec_error(*diagnostics)


def _plain(name: str, value: object) -> float | int | NDArray:
    array = np.asarray(value)
    if array.dtype.kind in "OUSMmc":
        raise spec_error(
            Diagnostic(
                f"eval_metrics[{name!r}]",
                f"compute() returned {_shown(value)}",
                expected="a real number or an array of them",
                kind=TypeError,
                code="metric-result",
            )
        )
    return array if array.ndim else array.item()


def _listed(names: Mapping[str, Any]) -> str:
    return ", ".join(map(repr, names)) or "no metrics"


def _shown(value: object) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else describe(value)
