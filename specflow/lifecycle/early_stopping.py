"""Hooks that end training early, by the evaluations so far.

In `train_and_evaluate`, rules such as `Stalled` need no hook: see
`EvalSpec.early_stopping`.
"""

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
    """Hook that ends training when a function returns true, with a checkpoint.

    Args:
        should_stop: called between device loops; true ends training.
        run_every_secs: seconds between two calls; None: `run_every_steps` applies.
        run_every_steps: steps between two calls.

    Raises:
        ConfigError: both intervals are given, or neither; or (also a TypeError)
            `should_stop` is not a function.

    Examples:
        >>> hook = EarlyStopping(lambda: True, run_every_secs=None, run_every_steps=10)
        >>> hook.after_step(10)
        Traceback (most recent call last):
            ...
        specflow.loop.hooks.StopTraining
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
        """Calls `should_stop` if it is due, first after the first device loop."""
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
    """Returns a hook that ends training when a function returns true.

    Args:
        should_stop: called between device loops.
        **trigger: `run_every_secs` (60) or `run_every_steps`.

    Examples:
        >>> import time
        >>> deadline_s = time.monotonic() + 3600
        >>> hook = stop_if(lambda: time.monotonic() > deadline_s, run_every_secs=10)
    """
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
    """Returns a hook that ends training once a metric has exceeded a threshold.

    Args:
        estimator: the estimator whose evaluations count.
        metric: name of the metric, as evaluate reports it.
        threshold: training ends strictly above it.
        name: name of the evaluations, if they have one.
        min_steps: evaluations before this step do not count.
        **trigger: `run_every_secs` (60) or `run_every_steps`.

    Examples:
        >>> import tempfile
        >>> from types import SimpleNamespace
        >>> estimator = SimpleNamespace(model_dir=tempfile.mkdtemp())
        >>> hook = stop_if_higher(estimator, "accuracy", 0.95, run_every_secs=30)
        >>> hook.after_step(100)  # No evaluation yet.
        >>> History(estimator.model_dir).add(200, {"accuracy": 0.97})
        >>> stop_if_higher(estimator, "accuracy", 0.95).after_step(200)
        Traceback (most recent call last):
            ...
        specflow.loop.hooks.StopTraining
    """
    rule = Crossed(metric, threshold, "higher", min_steps)
    return _rule_hook(rule, estimator, name, **trigger)


def stop_if_lower(
    estimator: Any,
    metric: str,
    threshold: float,
    *,
    name: str | None = None,
    min_steps: int = 0,
    **trigger: Any,
) -> EarlyStopping:
    """Returns a hook that ends training once a metric has fallen below a threshold.

    The arguments are those of `stop_if_higher`; training ends strictly below
    `threshold`.
    """
    rule = Crossed(metric, threshold, "lower", min_steps)
    return _rule_hook(rule, estimator, name, **trigger)


def stop_if_no_increase(
    estimator: Any,
    metric: str,
    max_steps_without_increase: int,
    *,
    name: str | None = None,
    min_steps: int = 0,
    **trigger: Any,
) -> EarlyStopping:
    """Returns a hook that ends training when a metric has stopped rising.

    The arguments are those of `stop_if_higher`; `max_steps_without_increase` is the
    number of steps from the best evaluation to the newest one at which training ends.
    """
    rule = Stalled(metric, max_steps_without_increase, "higher", min_steps)
    return _rule_hook(rule, estimator, name, **trigger)


def stop_if_no_decrease(
    estimator: Any,
    metric: str,
    max_steps_without_decrease: int,
    *,
    name: str | None = None,
    min_steps: int = 0,
    **trigger: Any,
) -> EarlyStopping:
    """Returns a hook that ends training when a metric has stopped falling.

    The arguments are those of `stop_if_higher`; `max_steps_without_decrease` is the
    number of steps from the best evaluation to the newest one at which training ends.
    """
    rule = Stalled(metric, max_steps_without_decrease, "lower", min_steps)
    return _rule_hook(rule, estimator, name, **trigger)


def _rule_hook(
    rule: StoppingRule, estimator: Any, name: str | None, **trigger: Any
) -> EarlyStopping:
    """Returns a hook that applies a rule to the evaluations of an estimator."""
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
