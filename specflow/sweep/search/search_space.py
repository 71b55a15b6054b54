"""The space of a search, in Hydra's grammar: parsed and checked, without Optuna."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import (
    ChoiceSweep,
    Glob,
    IntervalSweep,
    Override,
    QuotedString,
    RangeSweep,
)
from hydra.errors import HydraException

from specflow.compose.read.override_grammar import Request, format_value
from specflow.diagnostics.errors import ConfigError, Diagnostic, did_you_mean

__all__ = ["Dimension", "check_corners", "grid_size", "refuse_choices", "search_space"]

Plain = str | int | float | bool

_EXPECTED = (
    "interval(1e-5,1e-1), tag(log,interval(1e-5,1e-1)), int(interval(1,8)), "
    "choice(a,b), range(1,9), or a list of choices"
)


_OF_RANGES = frozenset(
    {"min", "max", "low", "high", "log", "type", "distribution", "values", "choices"}
    | {"step", "q"}
)
"""Keys of a range in Optuna, Ray Tune and Weights & Biases."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dimension:
    """One hyperparameter of a search.

    Args:
        key: of the config, or a config group.
        kind: `choice`, or the type of the numbers.
        text: as it was written.
        origin: place in a file, or the override.
        low: least number.
        high: greatest number, inclusive.
        step: between two numbers; None: any.
        is_log: the logarithms are uniform.
        choices: plain values; a list or mapping is its text.
        texts: each choice, as in an override.
    """

    key: str
    kind: Literal["choice", "int", "float"]
    text: str
    origin: str = ""
    low: float = 0
    high: float = 0
    step: float | None = None
    is_log: bool = False
    choices: tuple[Plain, ...] = ()
    texts: tuple[str, ...] = ()

    def override(self, value: Any) -> str:
        """Returns the override that sets a value.

        >>> lr = Dimension(key="optimizer.lr", kind="float", text="", low=0, high=1)
        >>> lr.override(0.5)
        'optimizer.lr=0.5'
        """
        if self.kind != "choice":
            return f"{self.key}={value!r}"
        same = (type(one) is type(value) and one == value for one in self.choices)
        return f"{self.key}={self.texts[list(same).index(True)]}"

    def corners(self) -> list[Plain]:
        """Returns the values that are checked: the ends, or every choice."""
        return list(self.choices) or [self.low, self.high]

    def points(self) -> list[Plain] | None:
        """Returns all values, in order; None if there are too many to count."""
        if self.kind == "choice":
            return list(self.choices)
        if self.step is None:
            return None
        count = math.floor((self.high - self.low) / self.step + 1e-9) + 1
        return [self.low + place * self.step for place in range(count)]


def search_space(
    space: Mapping[str, Any],
    request: Request,
    place_of: Callable[[str], str] = lambda key: "",
) -> tuple[Dimension, ...]:
    """Returns the dimensions of a search.

    Args:
        space: `sweep.space`.
        request: overrides of the command line, which replace those of the space.
        place_of: returns the origin of a key of the space.

    Raises:
        ConfigError: values that are no search, each reported once.

    >>> from specflow.compose.read.config_folders import folders
    >>> from specflow.compose.read.override_grammar import read
    >>> request, _ = read(["loop.batch_size=32,64"], folders())
    >>> space = {"optimizer.lr": "tag(log,interval(1e-5,1e-1))"}
    >>> for one in search_space(space, request):
    ...     print(one.key, one.kind, one.low, one.high, one.is_log, one.choices)
    optimizer.lr float 1e-05 0.1 True ()
    loop.batch_size choice 0 0 False (32, 64)
    """
    typed = {one.key_or_group: one for one in (*request.choices, *request.values)}
    dimensions: list[Dimension] = []
    diagnostics: list[Diagnostic] = []
    written = [
        (key, value, place_of(key))
        for key, value in _flat(space).items()
        if key not in typed
    ]
    swept = [
        (key, override, f"override {override.input_line}")
        for key, override in typed.items()
        if override.is_sweep_override() or isinstance(override.value(), Glob)
    ]
    for key, value, origin in [*written, *swept]:
        try:
            dimensions.append(_dimension(key, value, origin))
        except _NoSearch as error:
            where = key if isinstance(value, Override) else f"sweep.space.{key}"
            expected = error.expected or _EXPECTED
            diagnostics.append(
                Diagnostic(where, error.problem, expected, error.hint, origin, "sweep")
            )
    if not dimensions and not diagnostics:
        hint = (
            "Set sweep.space, or type values: 'optimizer.lr=tag(log,interval("
            "1e-4,1e-1))'."
        )
        diagnostics.append(
            Diagnostic(
                "sweep.space", "has nothing to search", _EXPECTED, hint, code="sweep"
            )
        )
    if diagnostics:
        raise ConfigError(*diagnostics)
    return tuple(dimensions)


def check_corners(
    dimensions: Sequence[Dimension], compose: Callable[[list[str]], Any]
) -> None:
    """Composes the ends of every range, and every choice, before the first trial.

    Args:
        dimensions: of the search.
        compose: composes an experiment with these overrides beside the fixed ones.

    Raises:
        ConfigError: the experiment has a problem, or a dimension has a value that its
            key does not take; each problem once, with its origin.
    """
    first = {one.key: one.override(one.corners()[0]) for one in dimensions}
    diagnostics: dict[tuple[str, str, str], Diagnostic] = {}
    for dimension in dimensions:
        for value in dimension.corners():
            line = dimension.override(value)
            try:
                compose([*(first | {dimension.key: line}).values()])
            except ConfigError as error:
                for found in error.diagnostics:
                    known = _located(found, dimensions)
                    where = found.where, found.code, known.origin
                    diagnostics.setdefault(where, known)
    if diagnostics:
        raise ConfigError(*diagnostics.values())


def _located(found: Diagnostic, dimensions: Sequence[Dimension]) -> Diagnostic:
    """Replaces the override of a trial by the place that its value comes from."""
    line = found.origin.removeprefix("override ").removeprefix("++")
    for one in dimensions:
        if not line.startswith(f"{one.key}="):
            continue
        located = dataclasses.replace(found, origin=one.origin)
        wants_whole = "whole number" in found.expected and one.kind == "float"
        if wants_whole and one.text.startswith(("interval", "tag")):
            hint = f"Write int(interval({one.low:g},{one.high:g}))."
            return dataclasses.replace(located, hint=hint)
        return located
    return found


class _NoSearch(Exception):
    def __init__(self, problem: str, expected: str = "", hint: str = ""):
        self.problem, self.expected, self.hint = problem, expected, hint
        super().__init__(problem)


def _flat(space: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns dotted key -> value; nested sections are keys too."""
    flat: dict[str, Any] = {}
    for key, value in space.items():
        if isinstance(value, Mapping) and not _is_range(value):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _is_range(value: Mapping[str, Any]) -> bool:
    """Returns whether a mapping has the words of other frameworks for a range."""
    return bool(value) and {*value} <= _OF_RANGES


def _as_text(written: Mapping[str, Any]) -> str:
    """Returns a range of other frameworks in Hydra's grammar; empty if unknown."""
    words = {str(value) for value in written.values()}
    choices = written.get("values", written.get("choices"))
    if isinstance(choices, list):
        return format_value(choices)
    low = written.get("min", written.get("low"))
    high = written.get("max", written.get("high"))
    if low is None or high is None:
        return ""
    is_log = written.get("log") is True or any("log" in word for word in words)
    text = f"interval({format_value(low)},{format_value(high)})"
    return f"tag(log,{text})" if is_log else text


def _dimension(key: str, written: Any, origin: str) -> Dimension:
    if key.partition(".")[0] in ("sweep", "hydra", "run", "trust"):
        raise _NoSearch("is no part of a trial", "a key of the experiment")
    if key == "output.dir":
        raise _NoSearch("is set by the sweep", "a key of the experiment")
    if isinstance(written, Override):
        value, text = written.value(), str(written.input_line).partition("=")[2]
    elif isinstance(written, list):
        value, text = ChoiceSweep(list=written), format_value(written)
    elif isinstance(written, str):
        value, text = _parsed(key, written), written
    elif isinstance(written, Mapping):
        hint = did_you_mean(_as_text(written))
        raise _NoSearch("is a mapping", hint=hint)
    else:
        raise _NoSearch(f"got {format_value(written)}")
    common: dict[str, Any] = {"key": key, "text": text, "origin": origin}
    if isinstance(value, IntervalSweep):
        return _interval(value, common)
    if isinstance(value, RangeSweep):
        return _range(value, common)
    if isinstance(value, ChoiceSweep):
        return _choices(value, common)
    raise _NoSearch(f"got {text}")


def _parsed(key: str, text: str) -> Any:
    try:
        return OverridesParser.create().parse_override(f"{key}={text}").value()
    except HydraException as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise _NoSearch(f"cannot be parsed: {reason}") from None


def _interval(interval: IntervalSweep, common: dict[str, Any]) -> Dimension:
    low, high = interval.start, interval.end
    text, tags = common["text"], interval.tags or set()
    if unknown := sorted(str(tag) for tag in tags if tag != "log"):
        raise _NoSearch(f"has the tag {unknown[0]}", "the tag log, or none")
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        raise _NoSearch(f"got {text}", "two finite numbers")
    if low >= high:
        raise _NoSearch(f"got {text}", f"the lower end first, below {low:g}")
    if "log" in tags and low <= 0:
        raise _NoSearch(f"got {text}", "a lower end > 0 on a logarithmic scale")
    whole = isinstance(low, int) and isinstance(high, int)
    return Dimension(
        **common,
        kind="int" if whole else "float",
        low=low,
        high=high,
        is_log="log" in tags,
        step=1 if whole else None,
    )


def _range(numbers: RangeSweep, common: dict[str, Any]) -> Dimension:
    start, stop, step = numbers.start, numbers.stop, numbers.step
    text = common["text"]
    if start is None or stop is None or not step:
        raise _NoSearch(f"got {text}", "a start, a stop and a step other than 0")
    count = math.ceil((stop - start) / step - 1e-9)
    if count < 1:
        raise _NoSearch(f"got {text}, which has no values", "start < stop")
    ends = sorted((start, start + (count - 1) * step))
    whole = all(isinstance(one, int) for one in (start, stop, step))
    kind = "int" if whole else "float"
    low, high = ends if whole else map(float, ends)
    step = abs(step) if whole else float(abs(step))
    return Dimension(**common, kind=kind, low=low, high=high, step=step)


def _choices(sweep: ChoiceSweep, common: dict[str, Any]) -> Dimension:
    values = [
        one.text if isinstance(one, QuotedString) else one for one in sweep.list or ()
    ]
    texts = [format_value(value) for value in values]
    if not values:
        raise _NoSearch("has no values", "one choice or more")
    if repeated := [text for place, text in enumerate(texts) if text in texts[:place]]:
        raise _NoSearch(f"has {repeated[0]} twice", "each choice once")
    plain = [
        value if isinstance(value, str | int | float | bool) else text
        for value, text in zip(values, texts, strict=True)
    ]
    infinite = (isinstance(one, float) and not math.isfinite(one) for one in plain)
    if any(infinite):
        raise _NoSearch(f"got {common['text']}", "finite numbers")
    return Dimension(**common, kind="choice", choices=tuple(plain), texts=tuple(texts))


def grid_size(dimensions: Iterable[Dimension]) -> int:
    """Returns the number of combinations.

    Raises:
        ConfigError: a dimension has any number between two ends.
    """
    size, diagnostics = 1, []
    for one in dimensions:
        points = one.points()
        if points is None:
            expected = "a choice, a range or int(interval(...)) for sweep.sampler=grid"
            problem = f"got {one.text}"
            diagnostics.append(
                Diagnostic(one.key, problem, expected, origin=one.origin, code="sweep")
            )
        else:
            size *= len(points)
    if diagnostics:
        raise ConfigError(*diagnostics)
    return size


def refuse_choices(dimensions: Iterable[Dimension]) -> None:
    """Refuses what CMA-ES cannot propose, and Optuna would draw at random.

    Raises:
        ConfigError: a dimension is a choice.
    """
    expected = "an interval or a range of numbers for sweep.sampler=cmaes"
    diagnostics = [
        Diagnostic(
            one.key, f"got {one.text}", expected, origin=one.origin, code="sweep"
        )
        for one in dimensions
        if one.kind == "choice"
    ]
    if diagnostics:
        raise ConfigError(*diagnostics)
