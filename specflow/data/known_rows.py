"""Numbers of training rows that are known without reading the rows."""

import contextlib
import zipfile
from typing import Any

import numpy as np

from specflow.config.sections.data import DigitsConfig, HeldOutConfig
from specflow.config.sections.data_sources import (
    BreastCancerConfig,
    DiabetesConfig,
    NpzConfig,
    WineConfig,
)
from specflow.config.sections.mixture import MixtureConfig
from specflow.config.sections.records import RecordsConfig
from specflow.data.mixture import mixture_epoch, mixture_weights
from specflow.diagnostics.errors import SpecflowError
from specflow.runtime.filesystem import expanded

__all__ = ["known_rows"]

_ROWS = {
    DigitsConfig: 1_797,
    DiabetesConfig: 442,
    BreastCancerConfig: 569,
    WineConfig: 178,
}
"""Data sets inside of scikit-learn, with their numbers of rows."""


def known_rows(config: Any) -> int | None:
    """Returns the rows of an epoch of a `data` section; None: it takes a read.

    Those of the data sets of scikit-learn are fixed, those of an `.npz` file are in the
    headers of its arrays, and those of records are what their source says. Those of a
    mixture follow from its parts.

    >>> known_rows(DigitsConfig()), known_rows(WineConfig(eval_fraction=0.5))
    (1438, 89)
    """
    if isinstance(config, HeldOutConfig):
        kinds = type(config).__mro__  # A part of a mixture is a subclass.
        rows = next((_ROWS[kind] for kind in kinds if kind in _ROWS), None)
        return None if rows is None else rows - round(rows * config.eval_fraction)
    if isinstance(config, MixtureConfig):
        return _epoch_of_mixture(config)
    if isinstance(config, NpzConfig):
        with contextlib.suppress(SpecflowError, OSError, ValueError, KeyError):
            return _rows_of_npz(config)
    if isinstance(config, RecordsConfig):
        with contextlib.suppress(SpecflowError, OSError, ValueError, ImportError):
            return _rows_of_records(config)
    return None


def _epoch_of_mixture(config: MixtureConfig) -> int | None:
    sizes = {name: known_rows(part) for name, part in config.parts.items()}
    known = {name: rows for name, rows in sizes.items() if rows}
    if len(known) < len(sizes):
        return None
    weights = mixture_weights(
        known, config.weights, temperature=config.temperature, limit=config.limit
    )
    return mixture_epoch([*known.values()], weights, config.epoch)


def _rows_of_records(config: RecordsConfig) -> int | None:
    """Training records that are left by those that are held out."""
    rows, split = config.known_rows("train"), config.split
    fractions = [
        getattr(split, part)
        for part in ("eval", "test")
        if not config.named(part) and getattr(split, part)
    ]
    if rows is None:
        return None
    if split.folds is not None and config.fold is not None:
        fractions = [split.test] if split.test and not config.named("test") else []
    if (fractions or split.folds) and split.by not in ("random", "stratified"):
        return None
    if split.folds is not None and config.fold is not None:
        divided = rows - sum(round(rows * fraction) for fraction in fractions)
        return divided - len(range(config.fold, divided, split.folds))
    return rows - sum(round(rows * fraction) for fraction in fractions)


def _rows_of_npz(config: NpzConfig) -> int | None:
    """Reads the header of the first array of features.

    Raises:
        OSError: the file is missing or unreadable.
        ValueError: it is malformed, which reading it reports.
    """
    try:
        with zipfile.ZipFile(expanded(config.train, "data.train")) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
            others = {config.labels, *config.ids}
            name = next((name for name in names if name not in others), None)
            if name is None:
                return None
            with archive.open(f"{name}.npy") as file:
                version = np.lib.format.read_magic(file)
                read = (
                    np.lib.format.read_array_header_1_0
                    if version == (1, 0)
                    else np.lib.format.read_array_header_2_0
                )
                shape, _, _ = read(file)
    except zipfile.BadZipFile as error:
        raise ValueError(str(error)) from error
    return shape[0] if shape else None
