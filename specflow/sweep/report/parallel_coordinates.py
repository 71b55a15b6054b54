"""Parallel coordinates: a line for each trial through its parameters and objective."""

from collections.abc import Sequence

from specflow.runtime.html.axes import Axis, axis_of, choice_axis
from specflow.runtime.html.drawing import Chart, figure, path, svg
from specflow.runtime.html.html_text import Html, element, joined_html
from specflow.sweep.report.importance import numbers_of
from specflow.sweep.report.trial_marks import Tones
from specflow.sweep.results.sweep_results import SweepResults
from specflow.sweep.results.trial_result import TrialResult

__all__ = ["parallel_coordinates"]

_MOST_AXES = 10
_MOST_CHOICES = 12
_MOST_LINES = 300


def parallel_coordinates(
    results: SweepResults, keys: Sequence[str], tones: Tones
) -> Html | None:
    """Returns the lines of the trials that are complete; None of fewer than two
    parameters or trials.

    Args:
        results: of the sweep; its objectives are the last axes.
        keys: parameters, the most important first.
        tones: of the trials.
    """
    objectives = results.objectives
    ranked = [trial for trial in results.trials if trial.number in tones.ranks]
    ranked.sort(key=lambda trial: tones.ranks[trial.number])
    shown = ranked[:_MOST_LINES]
    columns = {key: [one.overrides.get(key) for one in shown] for key in keys}
    columns = {
        key: column
        for key, column in columns.items()
        if None not in column and len(set(column)) > 1 and _fits(column)
    }
    chosen = [*columns][:_MOST_AXES]
    if len(shown) < 2 or len(chosen) < 2:
        return None
    count = len(chosen) + len(objectives)
    chart = Chart(width=1000, height=360, left=70, right=80, top=64, bottom=26)
    (left, right), ends = chart.x, chart.y
    places = [left + (right - left) * n / (count - 1) for n in range(count)]
    axes: list[tuple[str, Axis, list[float]]] = []
    for key in chosen:
        texts = [str(text) for text in columns[key]]
        axes.append((key, *_axis(texts, ends, results.may_be_log(key))))
    for objective in objectives:
        values = [one.value(objective.metric) or 0.0 for one in shown]
        # The best value is at the top.
        low, high = ends if objective.direction == "maximize" else ends[::-1]
        axes.append((objective.metric, axis_of(values, low, high), values))
    lines = [
        _line(trial, places, [axis.at(values[row]) for _, axis, values in axes], tones)
        for row, trial in reversed([*enumerate(shown)])
    ]
    drawn = [
        _drawn(name, axis, place, ends)
        for (name, axis, _), place in zip(axes, places, strict=True)
    ]
    metrics = ", ".join(one.metric for one in objectives)
    about = f"{len(shown)} trials over {', '.join(chosen)}; the last axis is {metrics}."
    drawing = svg(chart, "Parallel coordinates", about, *lines, *drawn)
    note = "A line is a complete trial, the bluest the best; good values are on top."
    if len(chosen) < len(columns):
        note += f" {len(chosen)} of {len(columns)} parameters are drawn."
    return figure("Parallel coordinates", drawing, note, kind="wide")


def _fits(column: Sequence[str | None]) -> bool:
    texts = [text for text in column if text is not None]
    return numbers_of(texts) is not None or len(set(texts)) <= _MOST_CHOICES


def _axis(
    texts: list[str], ends: tuple[float, float], may_be_log: bool
) -> tuple[Axis, list[float]]:
    numbers = numbers_of(texts)
    if numbers is not None:
        return axis_of(numbers, *ends, may_be_log=may_be_log), numbers
    names = sorted(set(texts))
    return choice_axis(names, *ends), [float(names.index(text)) for text in texts]


def _line(
    trial: TrialResult, places: Sequence[float], heights: Sequence[float], tones: Tones
) -> Html:
    about = tones.of_trial(trial)
    about["class"] = f"curve {about['class']}"
    points = path([*zip(places, heights, strict=True)])
    title = element("title", None, tones.label(trial))
    return element("path", {"d": points, **about}, title)


def _drawn(name: str, axis: Axis, place: float, ends: tuple[float, float]) -> Html:
    section, _, leaf = name.rpartition(".")
    bottom, top = ends
    about = {"x": place, "y": top - 18, "class": "name middle strong"}
    shown = leaf if len(leaf) <= 16 else f"{leaf[:15]}…"
    parts = [
        element(
            "line", {"x1": place, "x2": place, "y1": bottom, "y2": top, "class": "axis"}
        ),
        element("text", about, shown, element("title", None, name)),
    ]
    if section:
        above = {"x": place, "y": top - 34, "class": "tick middle"}
        whole = section if len(section) <= 18 else f"…{section[-17:]}"
        parts.append(element("text", above, whole))
    for height, text in axis.ticks(5):
        short = text if len(text) <= 12 else f"{text[:11]}…"
        at = {"x": place + 6, "y": height + 4, "class": "tick halo"}
        parts.append(element("text", at, short, element("title", None, text)))
    if axis.is_log:
        at = {"x": place, "y": bottom + 18, "class": "tick middle"}
        parts.append(element("text", at, "log"))
    return joined_html(*parts)
