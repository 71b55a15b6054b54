"""Charts of runs: curves, confusion matrices, shares of the time."""

from collections.abc import Mapping, Sequence
from typing import Any

from specflow.reports.run_contents import RunContents
from specflow.runtime.html.axes import Axis, axis_of, number_label
from specflow.runtime.html.drawing import Chart, figure, framed, path, svg
from specflow.runtime.html.html_text import Html, element

__all__ = ["confusion_matrices", "curves", "goodput_bars", "line_chart", "tone"]

_TONES = 8
_MOST_POINTS = 400
_MOST_CLASSES = 40
_CHARACTER = 6.5
"""Width of a character of a tick, in pixels."""
_MOST_CELL_TEXTS = 16
_ACTIVITIES = (
    "step", "compile", "input wait", "eval", "checkpoint", "export", "idle",
)  # fmt: skip
Line = tuple[int, str, Sequence[tuple[float, float]]]
"""Index of the run or class, name of the line, and its points."""


def tone(index: int) -> dict[str, Any]:
    """Returns the attributes of what shows a run: its colour, and its number."""
    return {"style": f"--tone:var(--series-{index % _TONES})", "data-trial": index}


def curves(
    runs: Sequence[RunContents],
    metric: str,
    lines: Mapping[tuple[int, str], Sequence[tuple[int, float]]],
) -> Html:
    """Returns a metric over the steps: a line for each run and split.

    Args:
        runs: the runs.
        metric: its name.
        lines: (index of the run, split) -> points.
    """
    drawn: list[Line] = [
        (index, f"{runs[index].label}, {split}", _thinned(sorted(points)))
        for (index, split), points in lines.items()
    ]
    splits = {split for _, split in lines}
    note = "Dashed lines are of training." if len(splits) > 1 else ""
    dashed = {
        f"{runs[index].label}, {split}"
        for index, split in lines
        if split == "train" and len(splits) > 1
    }
    about = f"{metric} of {len(runs)} runs over the training steps."
    return line_chart(metric, about, drawn, "training step", dashed=dashed, note=note)


def line_chart(
    title: str,
    about: str,
    lines: Sequence[Line],
    x_label: str,
    y_label: str = "",
    *,
    dashed: set[str] | None = None,
    note: str = "",
    unit: bool = False,
    diagonal: bool = False,
    of_runs: bool = True,
) -> Html:
    """Returns a chart of lines.

    Args:
        title: caption.
        about: description for screen readers.
        lines: at least one, each with a point or more.
        x_label: name of the horizontal axis.
        y_label: name of the vertical axis; empty if the caption names it.
        dashed: names of lines that are dashed.
        note: text below.
        unit: both axes are from 0 to 1.
        diagonal: draws the line from (0, 0) to (1, 1).
        of_runs: pointing at a line points at its run in the whole page.
    """
    chart = Chart()
    xs = [x for _, _, points in lines for x, _ in points]
    ys = [y for _, _, points in lines for _, y in points]
    if unit:
        x, y = Axis(0, 1, *chart.x), Axis(0, 1, *chart.y)
    else:
        x = axis_of([0.0, *xs], *chart.x, pad=0, may_be_log=False)
        y = axis_of(ys, *chart.y)
    parts: list[Html] = []
    if diagonal:
        corner = path([(x.at(0), y.at(0)), (x.at(1), y.at(1))])
        parts.append(element("path", {"d": corner, "class": "curve reference"}))
    for index, name, points in lines:
        about_it = tone(index)
        if not of_runs:
            del about_it["data-trial"]
        places = [(x.at(at), y.at(value)) for at, value in points]
        last = f"{name}: {number_label(points[-1][1])} at {number_label(points[-1][0])}"
        title_of_it = element("title", None, last)
        kind = "curve dashed" if name in (dashed or ()) else "curve"
        if len(places) == 1:
            dot = {"cx": places[0][0], "cy": places[0][1], "r": 4, "class": "mark"}
            parts.append(element("circle", {**dot, **about_it}, title_of_it))
        else:
            line = {"d": path(places), "class": kind, **about_it}
            parts.append(element("path", line, title_of_it))
    frame = framed(chart, x, y, x_label, y_label)
    return figure(title, svg(chart, title, about, frame, *parts), note)


def confusion_matrices(runs: Sequence[RunContents]) -> list[Html]:
    """Returns a picture of each square array of the last evaluations."""
    pictures = []
    for run in runs:
        for name, rows in run.arrays.items():
            if _is_matrix(rows):
                of = f" of {run.label}" if len(runs) > 1 else ""
                names = run.run.class_names(len(rows))
                pictures.append(_confusion(f"{name}{of}", rows, names))
    return pictures


def goodput_bars(runs: Sequence[RunContents]) -> Html | None:
    """Returns the shares of each run's time as bars; None before one is complete."""
    shown = [run for run in runs if run.efficiency.get("shares")]
    if not shown:
        return None
    height = 34 * len(shown) + 20
    chart = Chart(width=960, height=height)
    left, right = 170.0, 940.0
    parts: list[Html] = []
    for row, run in enumerate(shown):
        y, at = 10 + 34 * row, left
        shares = run.efficiency["shares"]
        label = {"x": left - 10, "y": y + 17, "class": "end"}
        name = run.label if len(run.label) < 24 else f"…{run.label[-22:]}"
        parts.append(element("text", label, name, element("title", None, run.label)))
        for place, activity in enumerate(_ACTIVITIES):
            share = float(shares.get(activity) or 0.0)
            width = share * (right - left)
            about = f"{run.label}: {activity} {share:.1%}"
            box = {"x": at, "y": y, "width": max(width, 0.0), "height": 24}
            box |= {"class": "share", "style": f"--tone:var(--series-{place})"}
            parts.append(element("rect", box, element("title", None, about)))
            if width > 64:
                inside = {"x": at + width / 2, "y": y + 16, "class": "middle inside"}
                parts.append(element("text", inside, f"{activity} {share:.0%}"))
            at += width
    about = "Shares of the time of each run: " + ", ".join(_ACTIVITIES)
    drawing = svg(chart, "goodput", about, *parts)
    note = "Goodput is the share of step. Point at a bar for its activity and share."
    return figure("Time of the runs", drawing, note, kind="wide")


def _confusion(
    title: str, rows: Sequence[Sequence[float]], names: Sequence[str]
) -> Html:
    count = len(rows)
    size = 360.0 / count
    chart = Chart(width=430, height=430)
    total = sum(map(sum, rows)) or 1.0
    parts: list[Html] = []
    for true, row in enumerate(rows):
        of_class = sum(row) or 1.0
        for predicted, value in enumerate(row):
            share = value / of_class
            x, y = 50 + predicted * size, 20 + true * size
            about = (
                f"class {names[true]} predicted as {names[predicted]}: "
                f"{number_label(value)}, "
                f"{share:.1%} of the class"
            )
            box = {"x": x, "y": y, "width": size, "height": size, "class": "cell"}
            box["style"] = f"--share:{share:.3f}"
            parts.append(element("rect", box, element("title", None, about)))
            if count <= _MOST_CELL_TEXTS and value:
                where = {"x": x + size / 2, "y": y + size / 2 + 4}
                kind = "middle cell-text" + (" strong-cell" if share > 0.5 else "")
                text = number_label(value)
                parts.append(element("text", {**where, "class": kind}, text))
        every = max(1, count // 10)
        if true % every == 0:
            side = {"x": 44, "y": 24 + (true + 0.5) * size, "class": "tick end"}
            below = {"x": 50 + (true + 0.5) * size, "y": 396, "class": "tick middle"}
            whole = element("title", None, names[true])
            parts.append(element("text", side, _shortened(names[true], 44), whole))
            short = _shortened(names[true], size * every)
            parts.append(element("text", below, short, whole))
    parts.append(element("text", {"x": 4, "y": 12, "class": "name"}, "true class"))
    end = {"x": 230, "y": 420, "class": "name middle"}
    parts.append(element("text", end, "predicted class"))
    right = sum(rows[index][index] for index in range(count)) / total
    about = f"Confusion matrix of {count} classes; {right:.1%} are on the diagonal."
    note = f"{right:.1%} of {number_label(total)} are on the diagonal."
    drawing = svg(chart, title, about, *parts)
    return figure(title, drawing, note, kind="square")


def _shortened(name: str, width: float) -> str:
    """As much of a name as fits into a number of pixels."""
    most = max(2, int(width / _CHARACTER))
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _is_matrix(rows: Any) -> bool:
    return (
        isinstance(rows, list)
        and 2 <= len(rows) <= _MOST_CLASSES
        and all(isinstance(row, list) and len(row) == len(rows) for row in rows)
        and all(isinstance(v, int | float) and v >= 0 for row in rows for v in row)
    )


def _thinned(points: Sequence[tuple[int, float]]) -> list[tuple[float, float]]:
    """At most `_MOST_POINTS` points: of each part, its least and its greatest."""
    if len(points) <= _MOST_POINTS:
        return [(float(step), value) for step, value in points]
    size = -(-2 * len(points) // _MOST_POINTS)
    kept: list[tuple[float, float]] = []
    for start in range(0, len(points), size):
        part = points[start : start + size]
        ends = {min(part, key=lambda one: one[1]), max(part, key=lambda one: one[1])}
        kept += [(float(step), value) for step, value in sorted(ends)]
    return kept
