"""Plots metrics over steps, from the rows of `metrics.jsonl`."""

import contextlib
import logging
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from specflow.output.files import replacing
from specflow.output.report.evaluation_rows import ROW_PLACE
from specflow.runtime.filesystem import expanded
from specflow.runtime.malloc_trim import give_back

__all__ = ["draw_curves", "without_warnings"]

_COLOURS = {"train": "#4c78a8", "eval": "#e45756"}
_Series = dict[str, list[tuple[int, float]]]


def draw_curves(rows: Iterable[Mapping[str, Any]], path: str | Path) -> None:
    """Draws a panel for each metric over the steps, training and evaluation together.

    Arrays and non-finite numbers are left out; without a number to plot, no file is
    written.

    Args:
        rows: `{"step": ..., "split": ..., "<metric>": ...}`, as in `metrics.jsonl`.
        path: the PNG file, written atomically.

    Raises:
        OutputError: the file cannot be written.
    """
    panels = _panels(rows)
    if not panels:
        return
    give_back()  # Memory that training freed, for Matplotlib.
    # The object interface and Agg: pyplot keeps figures alive and may want a display.
    with without_warnings():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

    columns = min(3, len(panels))
    lines = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(4.2 * columns, 3.0 * lines), layout="constrained")
    FigureCanvasAgg(figure)
    axes = list(figure.subplots(lines, columns, squeeze=False).flat)
    last = max(step for series in panels.values() for step in _steps(series))
    for axis, (metric, series) in zip(axes, panels.items(), strict=False):
        _draw_panel(axis, metric, series)
        axis.set_xlim(0, 1.03 * max(last, 1))  # One time line for all panels.
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    with replacing(expanded(path)) as temporary:
        figure.savefig(temporary, format="png", dpi=130)


def _panels(rows: Iterable[Mapping[str, Any]]) -> dict[str, _Series]:
    """Metric -> split -> points: loss first, metrics of training alone last."""
    panels: dict[str, _Series] = {}
    for row in rows:
        for name, value in row.items():
            if name in ROW_PLACE or not _is_finite(value):
                continue
            points = panels.setdefault(name, {}).setdefault(str(row.get("split")), [])
            points.append((row["step"], float(value)))
    is_evaluated = any("eval" in series for series in panels.values())

    def order(item: tuple[str, _Series]) -> tuple[bool, bool]:
        name, series = item
        return name != "loss", is_evaluated and "eval" not in series

    return dict(sorted(panels.items(), key=order))


def _steps(series: _Series) -> list[int]:
    return [step for points in series.values() for step, _ in points]


def _is_finite(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value)


def _draw_panel(axis: Any, metric: str, series: _Series) -> None:
    from matplotlib.ticker import MaxNLocator

    for split, points in series.items():
        steps, values = zip(*sorted(points), strict=True)
        few = len(points) <= 30
        axis.plot(
            steps,
            values,
            label=split,
            color=_COLOURS.get(split),
            linewidth=1.6,
            marker="o" if few else "",
            markersize=4,
        )
    values = [value for points in series.values() for _, value in points]
    low, high = _limits(values)
    if low is not None:
        axis.set_ylim(low, high)
    elif min(values) > 0 and max(values) / min(values) > 50:
        # A loss that falls by orders of magnitude is a flat line otherwise.
        axis.set_yscale("log")
    axis.set_title(metric.replace("_", " "), fontsize=11)
    axis.set_xlabel("step", fontsize=9)
    axis.tick_params(labelsize=8)
    axis.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axis.grid(alpha=0.25, linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)
    if len(series) > 1 or "eval" not in series:
        axis.legend(fontsize=8, frameon=False)


@contextlib.contextmanager
def without_warnings() -> Iterator[None]:
    """Silences Matplotlib, which warns if it has no home for its font cache."""
    log = logging.getLogger("matplotlib")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def _limits(values: list[float]) -> tuple[float | None, float | None]:
    """Axis limits of a metric in [0, 1] (accuracy, AUC, ...); None for others.

    An end of the interval is in view when values are near it.
    """
    low, high = min(values), max(values)
    if low < 0 or high > 1 or high < 0.5:
        return None, None
    margin = max(0.02, 0.08 * (high - low))
    return max(0.0, low - margin), min(1.0 + margin / 4, high + margin)
