"""The page of a sweep: everything in one file, which loads nothing."""

import datetime
import itertools
from collections.abc import Sequence
from typing import Any

from specflow.compose.read.override_grammar import quote_for_shell
from specflow.config.sections.sweep import ObjectiveConfig
from specflow.runtime.html.axes import number_label
from specflow.runtime.html.drawing import figure
from specflow.runtime.html.html_text import Html, element, joined_html
from specflow.runtime.html.page_document import page_document
from specflow.sweep.report.charts import (
    best_so_far,
    importance_bars,
    learning_curves,
    pareto_plot,
    seed_ranges,
    slice_plot,
)
from specflow.sweep.report.importance import Importance, importance
from specflow.sweep.report.learning_curves import curves_of, seed_groups
from specflow.sweep.report.parallel_coordinates import parallel_coordinates
from specflow.sweep.report.trial_marks import Tones
from specflow.sweep.report.trials_table_html import trials_table
from specflow.sweep.results.best_trial import best_run, pareto_front, ranked_trials
from specflow.sweep.results.sweep_results import SweepResults
from specflow.sweep.results.trial_result import TrialResult

__all__ = ["report_page"]

_MOST_SLICES = 6
_MOST_PAIRS = 3
_KEY = (
    ("complete", "complete: the bluer, the better"),
    ("pruned", "pruned, stopped or running"),
    ("infeasible", "exceeds a constraint"),
    ("failed", "failed"),
)


def report_page(results: SweepResults, *, now: datetime.datetime | None = None) -> str:
    """Returns the report of a sweep as HTML.

    Args:
        results: of the sweep.
        now: time at which its directory was read; the current one if None.
    """
    objective = results.objectives[0]
    complete = results.with_status("complete")
    ranked = [
        trial
        for trial in ranked_trials(complete, objective)
        if trial.value(objective.metric) is not None
    ]
    tones = Tones.of(results, ranked, [*dict.fromkeys(results.metrics)][:6])
    found = importance(results, objective)
    read_at = (now or datetime.datetime.now().astimezone()).strftime("%Y-%m-%d %H:%M")
    name = results.name or results.directory.resolve().name
    body = joined_html(
        element(
            "header",
            None,
            element("h1", None, f"Sweep of {name}"),
            element("p", None, _about(results)),
            element("p", None, f"{results.directory.resolve()}, read {read_at}"),
        ),
        _tiles(results, ranked, objective),
        _key(results),
        element(
            "div",
            {"class": "charts pairs"},
            _best(results, ranked, objective),
            *_charts(results, objective, tones, found),
        ),
        element("div", {"class": "charts"}, *_wide_charts(results, tones, found)),
        element("h2", None, "Trials"),
        trials_table(results, ranked_trials(results.trials, objective)),
        element(
            "footer",
            None,
            "Made by specflow sweep report. ",
            *(f"Not all could be read: {note}. " for note in results.notes),
        ),
    )
    return page_document(f"Sweep of {name}", body)


def _about(results: SweepResults) -> str:
    names = [f"{one.direction} {one.metric}" for one in results.objectives]
    text = " and ".join(names)
    parts = [text[:1].upper() + text[1:]]
    for key in ("sampler", "pruner"):
        section = results.search.get(key)
        if isinstance(section, dict) and section.get("name"):
            parts.append(f"{key} {section['name']}")
    repeats = results.search.get("repeats")
    if isinstance(repeats, int) and repeats > 1:
        parts.append(f"{repeats} seeds a trial")
    for one in results.constraints:
        bounds = (
            [f"{one.metric} ≥ {one.at_least:g}"] if one.at_least is not None else []
        )
        bounds += [f"{one.metric} ≤ {one.at_most:g}"] if one.at_most is not None else []
        parts += bounds
    return " · ".join(parts)


def _tiles(
    results: SweepResults, ranked: Sequence[TrialResult], objective: ObjectiveConfig
) -> Html:
    counts = dict.fromkeys(trial.status for trial in results.trials)
    shown = [f"{len(results.with_status(one))} {one}" for one in counts]
    planned = results.search.get("trials")
    total = len(results.trials)
    of = f" of {planned}" if isinstance(planned, int) and planned > total else ""
    tiles = [_tile("Trials", f"{total}{of}", ", ".join(shown))]
    if len(results.objectives) > 1:
        front = pareto_front(results.trials, results.objectives)
        tiles.append(
            _tile("Pareto front", str(len(front)), "trials no other one beats")
        )
    for one in results.objectives:
        best = ranked_trials(ranked, one)[:1]
        for trial in best:
            value = number_label(trial.value(one.metric) or 0.0)
            spread = trial.spread.get(one.metric)
            about = f"trial {trial.number}"
            about += (
                f", ± {number_label(spread)} over seeds" if spread is not None else ""
            )
            tiles.append(_tile(f"Best {one.metric}", value, about))
    seconds = [trial.seconds for trial in results.trials if trial.seconds is not None]
    if seconds:
        each = f"{_duration(sum(seconds) / len(seconds))} a trial"
        tiles.append(_tile("Time of all trials", _duration(sum(seconds)), each))
    return element("dl", {"class": "tiles"}, *tiles)


def _tile(name: str, value: str, about: str) -> Html:
    small = element("small", None, about)
    pair = element("dt", None, name), element("dd", None, value, small)
    return element("div", None, *pair)


def _best(
    results: SweepResults, ranked: Sequence[TrialResult], objective: ObjectiveConfig
) -> Html:
    if not ranked or len(results.objectives) > 1:
        return Html()
    trial = ranked[0]
    lines = [
        element("li", None, element("code", None, f"{key}={trial.overrides[key]}"))
        for key in results.keys
        if key in trial.overrides
    ]
    run = quote_for_shell(f"run={best_run(trial, objective)}")
    return element(
        "section",
        {"class": "card"},
        element("h2", None, f"Best trial: {trial.number}"),
        element("ul", None, *lines),
        element("pre", None, element("code", None, f"specflow evaluate {run}")),
    )


def _key(results: SweepResults) -> Html:
    """Returns what the marks mean, of those that occur."""
    alike = {"stopped": "pruned", "running": "pruned"}
    occurring = {alike.get(one.status, one.status) for one in results.trials}
    items = []
    for status, text in _KEY:
        if status in occurring:
            shape: dict[str, Any] = {"cx": 7, "cy": 7, "r": 5}
            if status == "failed":
                cross = {"d": "M3 3l8 8m-8 0l8 -8", "class": "mark failed"}
                drawn = element("path", cross)
            else:
                style = "--tone:var(--accent)"
                about = {**shape, "class": f"mark {status}", "style": style}
                drawn = element("circle", about)
            frame = {"viewBox": "0 0 14 14", "aria-hidden": "true"}
            items.append(element("li", None, element("svg", frame, drawn), text))
    return element("ul", {"class": "key"}, *items)


def _charts(
    results: SweepResults,
    objective: ObjectiveConfig,
    tones: Tones,
    found: Importance | None,
) -> list[Html]:
    trials, metric = results.trials, objective.metric
    groups = seed_groups(results, metric)
    charts: list[Html | None] = []
    charts.append(importance_bars(found, metric) if found else None)
    if len(results.objectives) > 1:
        front = pareto_front(trials, results.objectives)
        pairs = itertools.combinations(results.objectives, 2)
        charts += [
            pareto_plot(trials, pair, front, tones)
            for pair in itertools.islice(pairs, _MOST_PAIRS)
        ]
    else:
        charts.append(best_so_far(trials, objective, tones))
    drawn = learning_curves(curves_of(groups, metric), metric, tones)
    if drawn is None:
        about = "The loss of training: there are too few evaluations for a curve."
        of_training = curves_of(groups, "loss", "train")
        drawn = learning_curves(of_training, "training loss", tones, about=about)
    charts.append(drawn)
    return [chart for chart in charts if chart is not None]


def _wide_charts(
    results: SweepResults, tones: Tones, found: Importance | None
) -> list[Html]:
    objective = results.objectives[0]
    groups = seed_groups(results, objective.metric)
    ordered = dict.fromkeys([*(found.shares if found else ()), *results.keys])
    keys = [key for key in ordered if key != "seed"] or [*ordered]
    charts: list[Html | None] = []
    charts.append(seed_ranges(groups, objective, keys, tones))
    charts.append(parallel_coordinates(results, keys, tones))
    slices = [slice_plot(results, key, objective, tones) for key in keys]
    shown = [one for one in slices if one is not None][:_MOST_SLICES]
    if shown:
        inside = element("div", {"class": "slices"}, *shown)
        charts.append(
            figure(f"{objective.metric} against each parameter", inside, kind="wide")
        )
    return [chart for chart in charts if chart is not None]


def _duration(seconds: float) -> str:
    """Returns a time in the largest units.

    >>> [_duration(s) for s in (0.25, 59.0, 61.0, 7260.0, 200_000.0)]
    ['0.25 s', '59 s', '1 min 1 s', '2 h 1 min', '2 d 7 h']
    """
    if seconds < 60:
        return f"{seconds:.3g} s"
    for unit, size, lower, of in (
        ("d", 86_400, "h", 3600),
        ("h", 3600, "min", 60),
        ("min", 60, "s", 1),
    ):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} {int(seconds % size // of)} {lower}"
    raise AssertionError
