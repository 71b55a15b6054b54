"""The data of an experiment, opened once for everything that is asked about it."""

import functools
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from specflow.config.experiment import ExperimentConfig
from specflow.config.sections.data_sources import TextConfig
from specflow.data import Data, ImageSource, MixtureSource
from specflow.data.row_draws import AugmentedSource
from specflow.data.row_order import OrderedSource
from specflow.diagnostics.errors import DataError, Diagnostic
from specflow.exploration.check_results import CheckResult
from specflow.exploration.column_statistics import DataStatistics, data_statistics
from specflow.exploration.data_checks import data_checks
from specflow.exploration.data_page import DataContents
from specflow.exploration.mixture_parts import mixture_json, mixture_rows
from specflow.exploration.pipeline_speed import PipelineSpeed, pipeline_speed
from specflow.exploration.shown_rows import ShownRow, bytes_as_text, shown_rows
from specflow.exploration.split_columns import split_columns

__all__ = ["OpenedData", "open_data"]

_SHOWN = 12
"""Rows of the page."""
_EPOCHS = 3
"""Epochs of each row of the page, where rows are augmented."""


class OpenedData:
    """Data, and what was found in it so far.

    Args:
        config: the experiment.
        data: its data.
        seconds: time that it took to open the data.
    """

    def __init__(self, config: ExperimentConfig, data: Data, seconds: float):
        self._config, self._data, self._seconds = config, data, seconds
        self.columns = functools.cache(functools.partial(split_columns, data))
        """Split -> its columns, read once."""
        self.speed = functools.cache(self._speed)
        """Speed of the pipeline, measured once."""

    def statistics(self, splits: Sequence[str]) -> DataStatistics:
        """Statistics of some splits."""
        return data_statistics({split: self.columns(split) for split in splits})

    def checks(self) -> list[CheckResult]:
        """The five checks, of training and evaluation rows."""
        splits = {split: self.columns(split) for split in ("train", "eval")}
        shuffle: bool | str = self._data.shuffle
        train = self._data.train
        parts = train.parts.values() if isinstance(train, MixtureSource) else [train]
        if shuffle and any(isinstance(part, OrderedSource) for part in parts):
            shuffle = "blocks"
        return data_checks(splits, data_statistics(splits), shuffle=shuffle)

    @property
    def mixture(self) -> tuple[list[tuple[str, ...]], dict[str, Any] | None]:
        """The parts of a mixture, as a table and as plain values; empty if none."""
        return mixture_rows(self._data), mixture_json(self._data)

    def moved_pictures(self, folder: Path) -> dict[str, dict[str, str]]:
        """Paths of pictures in cells, for a table in another folder.

        Args:
            folder: of that table.

        Returns:
            Column of paths relative to the table -> path in a cell -> the new path.
        """
        columns, train = self._data.columns, self._data.train
        if columns is None or not isinstance(train, ImageSource):
            return {}
        moved: dict[str, dict[str, str]] = {}
        for key, pictures in self._data.files.pictures.items():
            name = key.rpartition(" of ")[0]
            if train.roots.get(name) is None:
                moved[columns.sources_of(name)[0]] = {
                    path: os.path.relpath(file, folder)
                    for path, file in pictures.files.items()
                    if not os.path.isabs(path)
                }
        return moved

    def shown(
        self, split: str, first: int, stop: int, *, epochs: int = 0
    ) -> list[ShownRow]:
        """Rows of a split, from `first` on and before `stop`.

        Args:
            split: its name.
            first: number of a row.
            stop: likewise.
            epochs: number of first epochs as whose rows each one is shown, augmented;
                0: it is shown once, as it is.

        Raises:
            DataError: the split has no such rows, or is not augmented.
        """
        rows = len(self._data.split(split))
        if epochs and not (split == "train" and self.augments):
            raise DataError(
                Diagnostic(
                    "--epochs",
                    f"the {split} split is not augmented",
                    expected="--split train of data with augment, such as "
                    "data.augment.flip=horizontal",
                    origin="command line",
                    code="usage",
                )
            )
        if first >= rows:
            raise DataError(
                Diagnostic(
                    "--rows",
                    f"the {split} split has {rows:,} rows",
                    expected=f"rows before {rows:,}",
                    origin="command line",
                    code="usage",
                )
            )
        parts = getattr(self._config.data, "parts", {"": self._config.data})
        read = None
        if (tokenizer := self._data.tokenizer) is not None:
            read = tokenizer.decode
        elif all(
            isinstance(part, TextConfig) and part.tokenizer is None
            for part in parts.values()
        ):
            read = bytes_as_text
        return shown_rows(
            self._data,
            split,
            slice(first, stop),
            read=read,
            epochs=epochs,
            seed=self._config.seed,
        )

    @property
    def augments(self) -> bool:
        """Training rows are changed at random."""
        train = self._data.train
        return isinstance(train, AugmentedSource) and train.augments

    def contents(self) -> DataContents:
        """What the page shows; the speed, if it was measured before."""
        return DataContents(
            name=self._config.name,
            statistics=self.statistics(("train", "eval")),
            checks=self.checks(),
            rows=self.shown("train", 0, _SHOWN // _EPOCHS, epochs=_EPOCHS)
            if self.augments
            else self.shown("train", 0, _SHOWN),
            speed=self.speed() if self.speed.cache_info().currsize else None,
        )

    def _speed(self) -> PipelineSpeed:
        loop, steps = self._config.loop, self._config.loop.iterations_per_loop
        return pipeline_speed(
            self._data,
            batch_size=loop.batch_size,
            steps_per_chunk=steps if isinstance(steps, int) else 1,
            seed=self._config.seed,
            open_seconds=self._seconds,
        )


def open_data(config: ExperimentConfig, build: Callable[[], Data]) -> OpenedData:
    """Opens data, and measures how long that takes.

    Args:
        config: the experiment.
        build: opens its data.

    Raises:
        DataError: the data is missing or malformed.
    """
    begin = time.perf_counter()
    data = build()
    return OpenedData(config, data, time.perf_counter() - begin)
