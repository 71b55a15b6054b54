"""Marks of trials, and their tones, which are the same in every chart."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from specflow.runtime.html.axes import number_label
from specflow.runtime.html.html_text import Html, element
from specflow.sweep.results.sweep_results import SweepResults
from specflow.sweep.results.trial_result import TrialResult

__all__ = ["Tones", "mark"]


@dataclasses.dataclass(frozen=True)
class Tones:
    """Tone of each trial by its rank: 0 for the best one, 1 for the worst.

    Args:
        ranks: number of the trial -> place among the complete ones.
        label: describes a trial, for tooltips.
    """

    ranks: dict[int, int]
    label: Callable[[TrialResult], str]

    @classmethod
    def of(
        cls,
        results: SweepResults,
        ranked: Sequence[TrialResult],
        metrics: Sequence[str],
    ) -> "Tones":
        """Returns the tones of a sweep.

        Args:
            results: of the sweep.
            ranked: its complete trials, best first.
            metrics: that a tooltip shows.
        """

        def label(trial: TrialResult) -> str:
            lines = [f"trial {trial.number}: {trial.status}"]
            lines += [
                f"{name} {number_label(value)}"
                for name in metrics
                if (value := trial.value(name)) is not None
            ]
            lines += [
                f"{key}={trial.overrides[key]}"
                for key in results.keys
                if key in trial.overrides
            ]
            return "\n".join(lines)

        return cls({one.number: rank for rank, one in enumerate(ranked)}, label)

    def of_trial(self, trial: TrialResult) -> dict[str, Any]:
        """Returns the attributes of what shows a trial."""
        last = max(1, len(self.ranks) - 1)
        rank = self.ranks.get(trial.number)
        tone = None if rank is None else f"--t:{rank / last:.3f}"
        return {
            "class": f"{trial.status}{' best' if rank == 0 else ''}",
            "data-trial": trial.number,
            "style": tone,
        }


def mark(
    trial: TrialResult, tones: Tones, x: float, y: float, tooltip: str = ""
) -> Html:
    """Returns the mark of a trial: a point, hollow unless it is complete.

    Args:
        trial: that is shown.
        tones: of the trials.
        x: place in the drawing.
        y: place in the drawing.
        tooltip: text; that of `tones` if it is empty.
    """
    about = tones.of_trial(trial)
    about["class"] = f"mark {about['class']}"
    title = element("title", None, tooltip or tones.label(trial))
    if trial.status == "failed":
        cross = f"M{x - 4:.1f} {y - 4:.1f}l8 8m-8 0l8 -8"
        return element("path", {"d": cross, **about}, title)
    radius = 6.0 if " best" in about["class"] else 4.5
    return element("circle", {"cx": x, "cy": y, "r": radius, **about}, title)
