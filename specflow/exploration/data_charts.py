"""Charts of data: distributions of columns by split, and pictures of rows."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from specflow.exploration.column_statistics import ColumnStatistics
from specflow.runtime.html.axes import Axis, axis_of, number_label
from specflow.runtime.html.drawing import Chart, figure, framed, path, svg
from specflow.runtime.html.html_text import Html, element
from specflow.runtime.html.png import png_address

__all__ = ["distribution", "picture", "split_key"]

_MOST_BARS = 10
_CHART = Chart(width=480, height=210, top=24)


def split_key(splits: Mapping[str, int]) -> Html:
    """Returns the colours of the splits."""
    entries = [
        element(
            "li",
            None,
            element("span", {"class": "swatch", **_tone(place)}),
            f"{split}: {rows:,} rows",
        )
        for place, (split, rows) in enumerate(splits.items())
    ]
    return element("ul", {"class": "key"}, *entries)


def distribution(column: ColumnStatistics) -> Html | None:
    """Returns the distribution of a column, as fractions of each split.

    Numbers are a histogram, texts bars of the most frequent ones; None if there is
    nothing to draw, as for ids.
    """
    name = column.name if column.role == "feature" else f"{column.name} ({column.role})"
    if column.role == "id":
        return None
    return _histogram(name, column) if column.edges else _bars(name, column)


def picture(name: str, pixels: npt.NDArray[np.float64]) -> Html:
    """Returns a picture of an array, float64 "h w c" in [0, 1]."""
    height, width, channels = pixels.shape
    colors = np.broadcast_to(pixels, (height, width, max(3, channels)))[..., :3]
    about = {
        "src": png_address((colors * 255).round().astype(np.uint8).tobytes(), width),
        "alt": f"{name}, {height} by {width} pixels",
    }
    return figure(name, element("img", about), kind="thumbnail")


def _histogram(name: str, column: ColumnStatistics) -> Html | None:
    shares = {
        split: [count / found.count for count in found.histogram]
        for split, found in column.by_split.items()
        if found.count
    }
    if not shares:
        return None
    edges = column.edges
    x = Axis(edges[0], edges[-1], *_CHART.x)
    y = axis_of(
        [0.0, *(v for each in shares.values() for v in each)],
        *_CHART.y,
        pad=0,
        may_be_log=False,
    )
    parts = [framed(_CHART, x, y, "", "fraction of the rows")]
    bottom = _CHART.y[0]
    for place, (split, values) in enumerate(shares.items()):
        if place == 0:
            parts += [
                _bar(
                    x.at(low),
                    x.at(high),
                    y.at(value),
                    bottom,
                    f"{split}: {value:.1%} in {number_label(low)} to "
                    f"{number_label(high)}",
                )
                for low, high, value in zip(edges, edges[1:], values, strict=False)
            ]
            continue
        points = [(x.at(edges[0]), bottom)]
        for low, high, value in zip(edges, edges[1:], values, strict=False):
            points += [(x.at(low), y.at(value)), (x.at(high), y.at(value))]
        points.append((x.at(edges[-1]), bottom))
        line = {"d": path(points), "class": "curve", **_tone(place)}
        parts.append(element("path", line, element("title", None, split)))
    note = _note(column)
    return figure(name, svg(_CHART, f"column {name}", note, *parts), note)


def _bars(name: str, column: ColumnStatistics) -> Html | None:
    first = next(iter(column.by_split.values()))
    shown = [text for text, _ in first.top[:_MOST_BARS]]
    if not shown:
        return None
    splits = {split: f for split, f in column.by_split.items() if f.count}
    chart = Chart(
        width=480, height=10 + 24 * len(shown), left=130, right=50, top=4, bottom=4
    )
    values = {
        split: [dict(found.top).get(text, 0) / found.count for text in shown]
        for split, found in splits.items()
    }
    x = axis_of(
        [0.0, *(v for each in values.values() for v in each)],
        *chart.x,
        pad=0,
        may_be_log=False,
    )
    parts: list[Html] = []
    for row, text in enumerate(shown):
        top = chart.top + 24 * row
        label = {"x": chart.left - 8, "y": top + 15, "class": "tick end"}
        short = text if len(text) <= 14 else f"{text[:13]}…"
        parts.append(element("text", label, short, element("title", None, text)))
        height = 18 / len(splits)
        for place, split in enumerate(splits):
            value = values[split][row]
            y = top + 2 + place * height
            box = {
                "x": x.at(0),
                "y": y,
                "width": x.at(value) - x.at(0),
                "height": height,
                "class": "share",
                **_tone(place),
            }
            about = f"{split}: {value:.1%} {text}"
            parts.append(element("rect", box, element("title", None, about)))
        value = values[next(iter(splits))][row]
        most = max(each[row] for each in values.values())
        percent = {"x": x.at(most) + 5, "y": top + 15, "class": "tick"}
        parts.append(element("text", percent, f"{value:.0%}"))
    note = _note(column)
    return figure(name, svg(chart, f"column {name}", note, *parts), note)


def _note(column: ColumnStatistics) -> str:
    first = next(iter(column.by_split.values()))
    distinct = f"{first.distinct:,} different values"
    missing = f", {first.missing:,} missing" if first.missing else ""
    if first.mean is None or first.std is None:
        return f"{column.kind}: {distinct}{missing}."
    mean, std = number_label(first.mean), number_label(first.std)
    return f"{column.kind}: mean {mean}, standard deviation {std}, {distinct}{missing}."


def _bar(left: float, right: float, top: float, bottom: float, about: str) -> Html:
    box = {
        "x": left,
        "y": top,
        "width": max(0.5, right - left),
        "height": bottom - top,
        "class": "share",
        **_tone(0),
    }
    return element("rect", box, element("title", None, about))


def _tone(place: int) -> dict[str, str]:
    return {"style": f"--tone:var(--series-{place})"}
