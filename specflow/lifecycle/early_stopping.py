"""Hooks that end training, by what evaluations have found so far."""

import math
import time
from collections.abc import Callable
from typing import Any

from specflow.diagnostics.errors import ConfigError, Diagnostic, config_error
from specflow.lifecycle.evaluation_history import History
from specflow.lifecycle.stopping_rules import Crossed, Stalled, StoppingRule
from specflow.loop import StopTraining
from specflow.runtime.callables import check_callables
from specflow.runtime.typing import describe

__all__ = [
    "Crossed",
    "EarlyStopping",
    "Stalled",
    "stop_if",
    "stop_if_higher",
    "stop_if_lower",
    "stop_if_no_decrease",
    "stop_if_no_increase",
]


class EarlyStopping:
    """A hook that ends training when a rule says so; the state is saved as at any end.

    Args:
        should_stop: asked between device loops; true ends training.
        run_every_secs: seconds between two questions; None: steps tell.
        run_every_steps: steps between two questions.

    Raises:
        ConfigError: both rhythms are given, or neither; or (also a TypeError)
            `should_stop` is no function.
    """

    def __init__(
        self,
        should_stop: Callable[[], bool],
        *,
        run_every_secs: float | None = 60,
        run_every_steps: int | None = None,
    ):
        if (run_every_secs is None) == (run_every_steps is None):
            raise ConfigError(
                Diagnostic(
                    "run_every_secs, run_every_steps",
                    f"got {run_every_secs} and {run_every_steps}",
                    expected="one of them, and None for the other",
                    code="early-stopping",
                )
            )
        check_callables(
            {"should_stop": should_stop},
            expected="a function without arguments, which says whether to stop",
        )
        self._should_stop = should_stop
        self._every_s, self._every_steps = run_every_secs, run_every_steps
        self._last_s = -math.inf
        self._last_step: int | None = None

    def after_step(self, step: int, _: Any = None) -> None:
        """Asks, if it is time: the first time after the first loop."""
        if not self._is_due(step):
            return
        self._last_s, self._last_step = time.monotonic(), step
        if self._should_stop():
            raise StopTraining

    def _is_due(self, step: int) -> bool:
        if self._every_s is not None:
            return time.monotonic() - self._last_s >= self._every_s
        assert self._every_steps is not None
        return self._last_step is None or step - self._last_step >= self._every_steps


def stop_if(should_stop: Callable[[], bool], **trigger: Any) -> EarlyStopping:
    """A hook that ends training when a predicate is true."""
    return EarlyStopping(should_stop, **trigger)


def stop_if_higher(
    estimator: Any,
    metric: str,
    threshold: float,
    *,
    name: str | None = None,
    min_steps: int = 0,
    **trigger: Any,
) -> EarlyStopping:
    """Ends training once an evaluation's metric is above a threshold.

    Args:
        estimator: whose evaluations count.
        metric: its name, as evaluate reports it.
        threshold: strictly above it training ends.
        name: of the evaluations, if they have one.
        min_steps: evaluations before this step do not count.
        **trigger: `run_every_secs` (60) or `run_every_steps`.
    """
    rule = Crossed(metric, threshold, "higher", min_steps)
    return _judged(rule, estimator, name, **trigger)


def stop_if_lower(
    estimator: Any,
    metric: str,
    threshold: float,
    *,
    name: str | None = None,
    min_steps: int = 0,
    **trigger: Any,
) -> EarlyStopping:
    """Ends training once an evaluation's metric is below a threshold."""
    rule = Crossed(metric, threshold, "lower", min_steps)
    return _judged(rule, estimator, name, **trigger)


def stop_if_no_increase(
    estimator: Any,
    metric: str,
    max_steps_without_increase: int,
    *,
    name: str | None = None,
    min_steps: int = 0,
    **trigger: Any,
) -> EarlyStopping:
    """Ends training when a metric has not risen for so many steps."""
    rule = Stalled(metric, max_steps_without_increase, "higher", min_steps)
    return _judged(rule, estimator, name, **trigger)


def stop_if_no_decrease(
    estimator: Any,
    metric: str,
    max_steps_without_decrease: int,
    *,
    name: str | None = None,
    min_steps: int = 0,
    **trigger: Any,
) -> EarlyStopping:
    """Ends training when a metric has not fallen for so many steps."""
    rule = Stalled(metric, max_steps_without_decrease, "lower", min_steps)
    return _judged(rule, estimator, name, **trigger)


def _judged(
    rule: StoppingRule, estimator: Any, name: str | None, **trigger: Any
) -> EarlyStopping:
    """A hook that asks a rule about the evaluations there are."""
    if not hasattr(estimator, "model_dir"):
        raise config_error(
            Diagnostic(
                "estimator",
                f"got {describe(estimator)}",
                kind=TypeError,
                expected="the estimator whose evaluations count",
                code="early-stopping",
            )
        )
    history = History(estimator.model_dir, name)

    def should_stop() -> bool:
        return rule.reason(history.values(rule.metric)) is not None

    return EarlyStopping(should_stop, **trigger)
