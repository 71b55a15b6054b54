"""Charts of a sweep: best so far, learning curves, parameters, seeds, Pareto fronts."""

import math
from collections.abc import Sequence

from specflow.config.sections.sweep import ObjectiveConfig
from specflow.runtime.formatting import shortened
from specflow.runtime.html.axes import Axis, axis_of, choice_axis, number_label
from specflow.runtime.html.drawing import Chart, figure, framed, path, svg
from specflow.runtime.html.html_text import Html, element
from specflow.sweep.report.importance import Importance, numbers_of
from specflow.sweep.report.learning_curves import Curve, SeedGroup
from specflow.sweep.report.trial_marks import Tones, mark
from specflow.sweep.results.best_trial import pareto_front
from specflow.sweep.results.sweep_results import SweepResults
from specflow.sweep.results.trial_result import TrialResult

__all__ = [
    "best_so_far",
    "importance_bars",
    "learning_curves",
    "pareto_plot",
    "seed_ranges",
    "slice_plot",
]

_MOST_CURVES = 100
_MOST_GROUPS = 24
_MOST_CHOICES = 8


def best_so_far(
    trials: Sequence[TrialResult], objective: ObjectiveConfig, tones: Tones
) -> Html:
    """Returns the objective of each trial, and the best one up to it."""
    chart, metric = Chart(), objective.metric
    shown = [(trial, trial.value(metric)) for trial in trials]
    values = [value for trial, value in shown if value is not None]
    numbers = [float(trial.number) for trial in trials]
    x = axis_of(numbers, *chart.x, pad=0.03, may_be_log=False)
    bottom, top = chart.y
    y = axis_of(values, bottom - 14, top)
    marks: list[Html] = []
    line: list[tuple[float, float]] = []
    best: float | None = None
    sign = -1 if objective.direction == "maximize" else 1
    for trial, value in shown:
        place = x.at(trial.number)
        if trial.status == "failed" or value is None:
            if trial.status == "failed":
                marks.append(mark(trial, tones, place, bottom - 6))
            continue
        marks.append(mark(trial, tones, place, y.at(value)))
        if trial.status == "complete" and (best is None or sign * value < sign * best):
            if best is not None:
                line.append((place, y.at(best)))
            best = value
            line.append((place, y.at(value)))
    if line:
        line.append((x.at(max(numbers)), line[-1][1]))
    drawn = element("path", {"d": path(line), "class": "best-line"}) if line else ""
    about = "No trial is complete."
    if best is not None:
        about = f"The best {metric} of {len(trials)} trials is {number_label(best)}."
    whole = framed(chart, x, y, "trial", metric)
    drawing = svg(chart, f"{metric}: best so far", about, whole, drawn, *marks)
    return figure("Best so far", drawing)


def learning_curves(
    curves: Sequence[Curve], metric: str, tones: Tones, *, about: str = ""
) -> Html | None:
    """Returns a line for each trial; a band from the least to the greatest seed."""
    usable = [curve for curve in curves if len(curve.mean) > 1]
    if not usable:
        return None
    kept = sorted(usable, key=lambda curve: _rank(curve.group, tones))[:_MOST_CURVES]
    chart = Chart()
    x = axis_of(
        [float(step) for curve in kept for step, _ in curve.mean],
        *chart.x,
        pad=0,
        may_be_log=False,
    )
    values = [value for curve in kept for _, value in curve.mean]
    values += [end for curve in kept for _, *ends in curve.band for end in ends]
    y = axis_of(values, *chart.y)
    parts: list[Html] = []
    # The best one is drawn last, on top of the others.
    for curve in reversed(kept):
        group, trial = curve.group, curve.group.first
        attributes = tones.of_trial(_best_of(group, tones))
        attributes["data-trial"] = " ".join(str(one.number) for one in group.trials)
        points = [(x.at(step), y.at(value)) for step, value in curve.mean]
        title = element("title", None, tones.label(trial))
        if curve.band:
            upper = [(x.at(step), y.at(high)) for step, _, high in curve.band]
            lower = [(x.at(step), y.at(low)) for step, low, _ in curve.band]
            whole = f"{path([*upper, *reversed(lower)])}Z"
            kind = f"band {attributes['class']}"
            parts.append(element("path", {**attributes, "d": whole, "class": kind}))
        kind = f"curve {attributes['class']}"
        line = {**attributes, "d": path(points), "class": kind}
        parts.append(element("path", line, title))
    has_bands = any(curve.band for curve in kept)
    notes = ["Lines are means over seeds, bands the least and the greatest one."]
    notes = [*(notes if has_bands else []), about]
    if len(kept) < len(usable):
        notes.append(f"The best {len(kept)} of {len(usable)} are drawn.")
    text = f"{metric} of {len(kept)} trials over the training steps."
    frame = framed(chart, x, y, "training step", metric)
    drawing = svg(chart, f"{metric}: learning curves", text, frame, *parts)
    return figure("Learning curves", drawing, " ".join(filter(None, notes)))


def slice_plot(
    results: SweepResults, key: str, objective: ObjectiveConfig, tones: Tones
) -> Html | None:
    """Returns the objective against one parameter; None if that has too many names."""
    metric = objective.metric
    shown = [
        (trial, trial.overrides[key], value)
        for trial in results.trials
        if key in trial.overrides
        and trial.status in ("complete", "infeasible", "pruned")
        and (value := trial.value(metric)) is not None
    ]
    texts = list(dict.fromkeys(text for _, text, _ in shown))
    if len(texts) < 2:
        return None
    chart = Chart(width=360, height=240)
    numbers = numbers_of(texts)
    if numbers is None and len(texts) > _MOST_CHOICES:
        return None
    places = dict(zip(texts, numbers or map(float, range(len(texts))), strict=True))
    x = (
        choice_axis(texts, *chart.x)
        if numbers is None
        else axis_of(numbers, *chart.x, may_be_log=results.may_be_log(key))
    )
    y = axis_of([value for _, _, value in shown], *chart.y)
    marks = [
        mark(
            trial,
            tones,
            x.at(places[text]),
            y.at(value),
            f"trial {trial.number}: {metric} {number_label(value)}",
        )
        for trial, text, value in sorted(
            shown, key=lambda one: -tones.ranks.get(one[0].number, math.inf)
        )
    ]
    about = f"{metric} of {len(shown)} trials against {key}."
    frame = framed(chart, x, y, key, metric, most=4)
    return svg(chart, f"{metric} against {key}", about, frame, *marks)


def importance_bars(found: Importance, metric: str) -> Html:
    """Returns a bar for each parameter."""
    shares = list(found.shares.items())[:12]
    chart = Chart(height=26 + 30 * len(shares), left=8, right=56, top=8, bottom=8)
    scale = Axis(0, max(1e-9, *(share for _, share in shares)), *chart.x)
    parts: list[Html] = []
    for place, (key, share) in enumerate(shares):
        y = 30.0 * place + 26
        width = max(1.0, scale.at(share) - chart.left)
        name = {"x": chart.left, "y": y - 6, "class": "label"}
        parts.append(element("text", name, key))
        bar = {"x": chart.left, "y": y, "width": width, "height": 9, "rx": 2}
        parts.append(element("rect", {**bar, "class": "bar"}))
        value = {"x": chart.left + width + 8, "y": y + 9, "class": "tick"}
        parts.append(element("text", value, f"{share:.0%}"))
    about = ", ".join(f"{key} {share:.0%}" for key, share in shares)
    drawing = svg(chart, f"Importance for {metric}", about, *parts)
    return figure("Parameter importance", drawing, found.method)


def pareto_plot(
    trials: Sequence[TrialResult],
    pair: tuple[ObjectiveConfig, ObjectiveConfig],
    front: set[int],
    tones: Tones,
) -> Html:
    """Returns two objectives against each other, with the front of the two."""
    first, second = pair
    chart = Chart()
    points = [
        (trial, a, b)
        for trial in trials
        if trial.status in ("complete", "infeasible")
        and (a := trial.value(first.metric)) is not None
        and (b := trial.value(second.metric)) is not None
    ]
    x = axis_of([a for _, a, _ in points], *chart.x)
    y = axis_of([b for _, _, b in points], *chart.y)
    of_two = pareto_front(trials, pair)
    line = sorted(
        (x.at(a), y.at(b)) for trial, a, b in points if trial.number in of_two
    )
    marks = []
    for trial, a, b in points:
        about = tones.of_trial(trial)
        is_front = trial.number in front
        about |= {"style": None, "class": f"mark {trial.status}"}
        about["class"] += " front" if is_front else ""
        place = {"cx": x.at(a), "cy": y.at(b), "r": 6.0 if is_front else 4.5}
        title = element("title", None, tones.label(trial))
        marks.append(element("circle", {**place, **about}, title))
    drawn = element("path", {"d": path(line), "class": "best-line"}) if line else ""
    names = [f"{one.metric} ({one.direction})" for one in pair]
    about = f"{len(front)} of {len(points)} trials are on the Pareto front."
    frame = framed(chart, x, y, *names)
    drawing = svg(chart, " against ".join(names), about, frame, drawn, *marks)
    return figure("Pareto front", drawing, about)


def seed_ranges(
    groups: Sequence[SeedGroup],
    objective: ObjectiveConfig,
    keys: Sequence[str],
    tones: Tones,
) -> Html | None:
    """Returns the values of all seeds of each setting, with mean and range."""
    several = [group for group in groups if len(group.values) > 1]
    if not several:
        return None
    sign = -1 if objective.direction == "maximize" else 1
    shown = sorted(several, key=lambda group: sign * group.mean)[:_MOST_GROUPS]
    height = 58 + 40 * len(shown)
    chart = Chart(1000, height, left=16, right=16, top=8, bottom=40)
    x = axis_of([value for group in shown for value in group.values], *chart.x)
    parts: list[Html] = []
    for row, group in enumerate(shown):
        y = 40.0 * row + 36
        values = sorted(group.values)
        about = tones.of_trial(_best_of(group, tones))
        about["data-trial"] = " ".join(str(one.number) for one in group.trials)
        settings = group.first.overrides
        text = ", ".join(
            f"{_leaf(k)} {shortened(settings[k])}" for k in keys if k in settings
        )
        label = text if len(text) <= 100 else f"{text[:99]}…"
        title = element("title", None, text)
        parts.append(
            element(
                "text", {"x": chart.left, "y": y - 13, "class": "label"}, label, title
            )
        )
        ends = {"x1": x.at(values[0]), "x2": x.at(values[-1]), "y1": y, "y2": y}
        kind = f"range {about['class']}"
        parts.append(element("line", {**about, **ends, "class": kind}))
        for value in values:
            dot = {"cx": x.at(value), "cy": y, "r": 3.5}
            kind = f"mark {about['class']}"
            title = element("title", None, f"{objective.metric} {number_label(value)}")
            parts.append(element("circle", {**about, **dot, "class": kind}, title))
        place = x.at(group.mean)
        tick = {"x1": place, "x2": place, "y1": y - 7, "y2": y + 7}
        parts.append(element("line", {**tick, "class": "mean"}))
    bottom = chart.height - chart.bottom
    base = {"x1": chart.left, "x2": chart.width - chart.right}
    parts.append(element("line", {**base, "y1": bottom, "y2": bottom, "class": "axis"}))
    for place, text in x.ticks():
        at = {"x": place, "y": bottom + 16, "class": "tick middle"}
        parts.append(element("text", at, text))
    scale = " (log scale)" if x.is_log else ""
    at = {"x": chart.width / 2, "y": chart.height - 4, "class": "name middle"}
    parts.append(element("text", at, f"{objective.metric}{scale}"))
    about = f"{objective.metric} over seeds, of {len(shown)} settings, best mean first."
    drawing = svg(chart, f"{objective.metric} over seeds", about, *parts)
    some = len(shown) < len(several)
    count = f"The best {len(shown)} of {len(several)}. " if some else ""
    note = f"{count}A dot is a run; the line is the mean."
    return figure("Seeds", drawing, note, kind="wide")


def _best_of(group: SeedGroup, tones: Tones) -> TrialResult:
    return min(group.trials, key=lambda one: tones.ranks.get(one.number, math.inf))


def _rank(group: SeedGroup, tones: Tones) -> float:
    return min(tones.ranks.get(one.number, math.inf) for one in group.trials)


def _leaf(key: str) -> str:
    return key.rpartition(".")[2]
