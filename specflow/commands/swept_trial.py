"""What training does differently as a trial of a sweep."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from specflow.config.base import Config
from specflow.config.experiment import ExperimentConfig
from specflow.data import (
    ArraySource,
    Data,
    ImageSource,
    JoinedSource,
    RecordSource,
    Source,
    TableSource,
    build_data,
)
from specflow.data.other_augmentation import with_other_augmentation
from specflow.estimator import Estimator
from specflow.loop import MetricsCallback

__all__ = ["Pruning", "SharedParts", "SweptTrial"]


_STATELESS = (ArraySource, TableSource, ImageSource, RecordSource)
"""Sources whose rows are the same in every read; streamed ones have other types."""


class SharedParts:
    """Data, traces and executables of the last trial, for the next one.

    Only rows in memory, images in memory or in files of their own, records, and
    mixtures of them are shared: they do not change when they are read. Where trials
    differ in the augmentation of images, these are decoded once. What a user's function
    returned is not shared, as it may have a state.
    """

    def __init__(self) -> None:
        self._last: tuple[Config, Data] | None = None
        self.estimator: Estimator | None = None
        """Of the last trial."""

    def has_data(self, section: Config) -> bool:
        """Returns whether the data of a section is that of the last trial."""
        return self._last is not None and self._last[0] == section

    def build_data(self, section: Any) -> Data:
        """Returns the data of a section; see `build_data`."""
        if self._last is not None and self._last[0] == section:
            return self._last[1]
        if self._last is not None:
            built, data = self._last
            other = with_other_augmentation(data, built, section)
            if other is not None:
                self._last = section, other
                return other
        data = build_data(section)
        sources = (data.train, *data.evaluated().values())
        if all(map(_is_stateless, sources)):
            self._last = section, data
        return data


def _is_stateless(source: Source) -> bool:
    if isinstance(source, JoinedSource):  # Or a mixture, which is one.
        return all(map(_is_stateless, source.parts.values()))
    return type(source) in _STATELESS


@dataclasses.dataclass(frozen=True)
class SweptTrial:
    """A trial of a sweep.

    Args:
        shared: of the trial before.
        is_pruned: takes (step, metrics) of each evaluation, scalars only; returns
            whether training ends there.
        is_ahead: whether it is prepared while the trial before runs: it waits before
            it builds other data, allocates arrays or writes files.
    """

    shared: SharedParts
    is_pruned: Callable[[int, Mapping[str, float]], bool]
    is_ahead: bool = False

    def reporters(self, config: ExperimentConfig, origins: Mapping[str, str]) -> list:
        """Returns the reporters that the user set: those of the defaults are left out.

        Curves and TensorBoard files of each trial cost more than many a trial; its
        metrics are recorded, so both can be made of them later.
        """
        origin = origins.get("output.reporters", "") or next(
            (o for key, o in origins.items() if key.startswith("output.reporters.")), ""
        )
        shipped = origin.startswith("conf/output/") or origin == "default"
        return [] if shipped else list(config.output.reporters)


class Pruning:
    """Stops a trial at an evaluation, if its sweep says so.

    Args:
        trial: None: nothing is pruned.
        train_steps: the last step, at which there is nothing left to prune.
    """

    def __init__(self, trial: SweptTrial | None, train_steps: int):
        self._trial, self._train_steps = trial, train_steps
        self.is_pruned = False

    def after(self, report: MetricsCallback) -> MetricsCallback:
        """Returns a report callback that asks after each evaluation."""
        trial = self._trial
        if trial is None:
            return report

        of_sets: dict[str, Any] = {}

        def report_and_ask(step: int, split: str, metrics: Mapping[str, Any]) -> None:
            report(step, split, metrics)
            if split.startswith("eval_"):  # Sets, which precede the evaluation itself.
                name = split.removeprefix("eval_")
                of_sets.update({f"{name}/{key}": v for key, v in metrics.items()})
            if split == "eval":
                pruned = trial.is_pruned(step, _scalars({**of_sets, **metrics}))
                self.is_pruned = pruned and step < self._train_steps

        return report_and_ask


def _scalars(metrics: Mapping[str, Any]) -> dict[str, float]:
    numbers = {name: np.asarray(value) for name, value in metrics.items()}
    return {
        name: float(value)
        for name, value in numbers.items()
        if value.shape == () and value.dtype.kind in "iuf"
    }
