"""`TrainSpec` and `EvalSpec`: inputs and intervals of `train_and_evaluate`."""

import dataclasses
import math
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

from specflow.config.epochs import Epochs
from specflow.diagnostics.errors import Diagnostic, SpecError, spec_error
from specflow.estimator.estimator_arguments import checked_hooks, checked_listeners
from specflow.estimator.input_functions import InputFn
from specflow.lifecycle import Exporter, StoppingRule
from specflow.runtime.typing import describe

__all__ = ["EvalSpec", "TrainSpec", "check_specs"]


class _NoNumberError(ValueError, TypeError):
    """A value is not a number: TensorFlow failed to compare it."""


_CHECKS = ((checked_hooks, "hooks"), (checked_listeners, "saving_listeners"))


@dataclasses.dataclass(frozen=True)
class TrainSpec:
    """Training input of `Estimator.train_and_evaluate`, and the end of training.

    Args:
        input_fn: returns the training input.
        max_steps: step at which training ends; None: `max_epochs`, or at the end of the
            data.
        hooks: objects with any of begin, before_step, after_step, end.
        saving_listeners: objects with any of begin, before_save, after_save, end.
        max_epochs: passes over the rows after which training ends, in place of
            `max_steps`: the first step that completes them; fractions are allowed. The
            input has to have a length: arrays, a source, or an iterable of batches with
            a `len()`, which is repeated.

    Raises:
        SpecError: (also a TypeError or ValueError) A field has a wrong type or value.

    Examples:
        >>> import numpy as np
        >>> data = {"x": np.zeros([64, 3], np.float32)}, np.zeros(64, np.float32)
        >>> TrainSpec(lambda: data, max_steps=1000).max_steps
        1000

    Source: tf.estimator.TrainSpec.
    """

    input_fn: InputFn
    max_steps: int | None = None
    hooks: Sequence[Any] | None = ()
    saving_listeners: Sequence[Any] | None = ()
    max_epochs: float | None = None

    def __post_init__(self) -> None:
        diagnostics = [
            *_callable_diagnostics(self),
            *_positive_diagnostics(self, "max_steps"),
            *_positive_diagnostics(self, "max_epochs"),
            *_hook_diagnostics(self),
        ]
        if None not in (self.max_steps, self.max_epochs):
            diagnostics.append(
                _diagnostic("max_epochs", self.max_epochs, "no max_steps too")
            )
        _refuse(diagnostics)


@dataclasses.dataclass(frozen=True)
class EvalSpec:
    """Evaluation input of `Estimator.train_and_evaluate`, and its intervals.

    Args:
        input_fn: returns the evaluation input.
        steps: batches of an evaluation; None: to the end of the data.
        name: name of the evaluation; its history is in `<model_dir>/eval_<name>`.
        hooks: objects with any of begin, before_step, after_step, end.
        exporters: run after each evaluation.
        start_delay_secs: ignored, for ported code: evaluation runs in the process of
            training.
        throttle_secs: minimum seconds between two evaluations at checkpoints; the last
            checkpoint is always evaluated.
        every_steps: training steps between evaluations, or epochs such as `"1 epoch"`,
            independent of checkpoints; 0: only at the end; None: at every checkpoint
            except the first of a call.
        every_secs: seconds between evaluations, independent of checkpoints.
        early_stopping: rule that decides after each evaluation whether training ends,
            such as `specflow.early_stopping.Stalled("loss", 500, "lower")`. A call that
            it ended trains nothing when it is repeated.
        sets: further evaluation inputs by name, evaluated after `input_fn` with its
            `steps` and hooks. Their metrics are reported apart, as `eval_<name>`, with
            their history in `<model_dir>/eval_<name>`; among the metrics of the state,
            which rules, exporters and the best checkpoint read, they are
            `<name>/<metric>`.
        at_start: whether the initial state is evaluated too, before the first step.
        parts: names of sets whose rows, one set after another, are those of `input_fn`:
            each row is evaluated once, and the results are merged. With `steps` or
            hooks all inputs are evaluated as they are.

    Raises:
        SpecError: (also a TypeError or ValueError) A field has a wrong type or value.

    Examples:
        Evaluates every 500 steps, exports the best state, and stops when the loss has
        not fallen for 2,000 steps:

        >>> import numpy as np
        >>> import specflow as sf
        >>> data = {"x": np.zeros([64, 3], np.float32)}, np.zeros(64, np.float32)
        >>> spec = EvalSpec(
        ...     lambda: data,
        ...     steps=None,
        ...     every_steps=500,
        ...     exporters=[sf.BestExporter("best", input_fn=lambda: data)],
        ...     early_stopping=sf.early_stopping.Stalled("loss", 2000, "lower"),
        ... )
        >>> [exporter.name for exporter in spec.all_exporters()]
        ['best']

    Source: tf.estimator.EvalSpec.
    """

    input_fn: InputFn
    steps: int | None = 100
    name: str | None = None
    hooks: Sequence[Any] | None = ()
    exporters: Exporter | Sequence[Exporter] = ()
    start_delay_secs: float = 120
    throttle_secs: float = 600
    every_steps: int | str | None = None
    every_secs: float | None = None
    early_stopping: StoppingRule | None = None
    sets: Mapping[str, InputFn] = dataclasses.field(default_factory=dict)
    at_start: bool = False
    parts: Sequence[str] = ()

    def __post_init__(self) -> None:
        diagnostics = [
            *_callable_diagnostics(self),
            *_positive_diagnostics(self, "steps"),
            *_hook_diagnostics(self),
            *_set_diagnostics(self),
        ]
        if self.name is not None and not isinstance(self.name, str):
            diagnostics.append(_diagnostic("name", self.name, "a text", TypeError))
        for field in ("start_delay_secs", "throttle_secs"):
            value = getattr(self, field)
            if not _is_number(value) or value < 0:
                diagnostics.append(_diagnostic(field, value, "0 or more"))
        diagnostics += _positive_diagnostics(self, "every_secs")
        if isinstance(self.every_steps, str) and Epochs.read(self.every_steps) is None:
            expected = "steps, or epochs such as '1 epoch'"
            diagnostics.append(_diagnostic("every_steps", self.every_steps, expected))
        if None not in (self.every_secs, self.every_steps):
            diagnostics.append(
                _diagnostic("every_secs", self.every_secs, "no every_steps too")
            )
        rule = self.early_stopping
        if rule is not None and not callable(getattr(rule, "reason", None)):
            diagnostics.append(_diagnostic("early_stopping", rule, "a rule", TypeError))
        exporters = self.all_exporters()
        diagnostics.extend(
            _diagnostic("exporters", exporter, "exporters", TypeError)
            for exporter in exporters
            if not isinstance(exporter, Exporter)
        )
        named = [exporter for exporter in exporters if isinstance(exporter, Exporter)]
        names = [getattr(exporter, "name", None) for exporter in named]
        diagnostics.extend(
            _diagnostic("exporters", name, "a text that is not empty as its name")
            for name in names
            if not isinstance(name, str) or not name
        )
        diagnostics.extend(
            _diagnostic("exporters", name, "a name of its own for each exporter")
            for name in sorted({str(name) for name in names if names.count(name) > 1})
        )
        _refuse(diagnostics)

    @property
    def evaluates_at_checkpoints(self) -> bool:
        """True if every checkpoint except the first of a call is evaluated."""
        return self.every_steps is None and self.every_secs is None

    def all_exporters(self) -> list[Any]:
        """Returns the exporters as a list."""
        given = self.exporters
        return [given] if isinstance(given, Exporter) else list(given or ())


def check_specs(train_spec: Any, eval_spec: Any) -> None:
    """Checks the types of the specs of `train_and_evaluate`.

    Raises:
        SpecError: (also a TypeError) One has another type.
    """
    pairs = (("train_spec", train_spec, TrainSpec), ("eval_spec", eval_spec, EvalSpec))
    _refuse(
        [
            _kind_diagnostic(name, given, f"a specflow.{kind.__name__}")
            for name, given, kind in pairs
            if not isinstance(given, kind)
        ]
    )


def _diagnostic(
    field: str, value: Any, expected: str, kind: type[Exception] = ValueError
) -> Diagnostic:
    return Diagnostic(
        field, f"got {value!r:.60}", expected=expected, kind=kind, code="spec"
    )


def _kind_diagnostic(field: str, value: Any, expected: str) -> Diagnostic:
    problem = f"got {describe(value)}"
    return Diagnostic(field, problem, expected=expected, kind=TypeError, code="spec")


def _callable_diagnostics(spec: TrainSpec | EvalSpec) -> list[Diagnostic]:
    if callable(spec.input_fn):
        return []
    return [
        _kind_diagnostic("input_fn", spec.input_fn, "a function that gives the input")
    ]


def _set_diagnostics(spec: EvalSpec) -> list[Diagnostic]:
    if not isinstance(spec.sets, Mapping):
        expected = "input functions by name"
        return [_diagnostic("sets", spec.sets, expected, TypeError)]
    diagnostics = []
    for name, input_fn in spec.sets.items():
        if not isinstance(name, str) or not name or "/" in name or name == spec.name:
            expected = "a name of its own for each set, without a slash"
            diagnostics.append(_diagnostic("sets", name, expected))
        if not callable(input_fn):
            expected = "a function that gives the input"
            diagnostics.append(_kind_diagnostic(f"sets[{name!r}]", input_fn, expected))
    diagnostics += [
        _diagnostic("parts", name, f"names of sets: {', '.join(spec.sets) or 'none'}")
        for name in spec.parts
        if name not in spec.sets
    ]
    return diagnostics


def _positive_diagnostics(spec: TrainSpec | EvalSpec, field: str) -> list[Diagnostic]:
    value = getattr(spec, field)
    if value is None or (_is_number(value) and 0 < value < math.inf):
        return []
    kind = ValueError if _is_number(value) else _NoNumberError
    return [_diagnostic(field, value, "a positive number, or None", kind)]


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _hook_diagnostics(spec: TrainSpec | EvalSpec) -> list[Diagnostic]:
    diagnostics = []
    for check, field in _CHECKS:
        try:
            check(getattr(spec, field, ()))
        except SpecError as error:
            diagnostics.extend(error.diagnostics)
    return diagnostics


def _refuse(diagnostics: list[Diagnostic]) -> None:
    if diagnostics:
        raise spec_error(*diagnostics)
