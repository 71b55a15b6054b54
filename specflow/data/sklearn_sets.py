"""The real data sets inside the installed scikit-learn package.

Their CSV files are read directly: importing `sklearn.datasets` would take seconds
before the first step.
"""

import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from specflow.config.sections.data import DigitsConfig
from specflow.config.sections.data_sources import (
    BreastCancerConfig,
    DiabetesConfig,
    WineConfig,
)
from specflow.data.holdout import held_out_rows
from specflow.data.source import ArraySource
from specflow.diagnostics.errors import DataError, Diagnostic

__all__ = [
    "breast_cancer",
    "diabetes",
    "digits",
    "read_breast_cancer",
    "read_diabetes",
    "read_digits",
    "read_wine",
    "standardized",
    "wine",
]

Table = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
"""Features "n d" and labels "n" of a data set."""


def digits(config: DigitsConfig) -> tuple[ArraySource, ArraySource]:
    """Training and held-out rows of the handwritten digits.

    Returns:
        Sources with features.image float32 "n 8 8 1" in [0, 1], labels int32 "n".
    """
    pixels, labels = read_digits()
    images = (pixels / 16.0).astype(np.float32).reshape(-1, 8, 8, 1)
    train, held = held_out_rows(len(labels), config.eval_fraction, config.split_seed)
    whole = ArraySource({"image": images}, labels.astype(np.int32))
    return ArraySource(*whole.take(train)), ArraySource(*whole.take(held))


def diabetes(config: DiabetesConfig) -> tuple[ArraySource, ArraySource]:
    """Training and held-out rows of the diabetes table.

    Returns:
        Sources with features.x float32 "n 10", labels float32 "n".
    """
    return _split_table(read_diabetes(), np.float32, config)


def breast_cancer(config: BreastCancerConfig) -> tuple[ArraySource, ArraySource]:
    """Training and held-out rows of the breast cancer table.

    Returns:
        Sources with features.x float32 "n 30", labels int32 "n", 0 for malignant.
    """
    return _split_table(read_breast_cancer(), np.int32, config)


def wine(config: WineConfig) -> tuple[ArraySource, ArraySource]:
    """Training and held-out rows of the wine table.

    Returns:
        Sources with features.x float32 "n 13", labels int32 "n", the grower.
    """
    return _split_table(read_wine(), np.int32, config)


def read_digits() -> Table:
    """1,797 images of 64 pixels in 0 to 16, and their digits."""

    def rows(folder: Path) -> Table:
        table = np.loadtxt(folder / "digits.csv.gz", delimiter=",")
        return table[:, :-1], table[:, -1]

    return _read("digits", rows)


def read_diabetes() -> Table:
    """442 patients: ten measurements in their own units, progression a year later.

    Source: Efron, Hastie, Johnstone, Tibshirani, Least Angle Regression, 2004.
    """

    def rows(folder: Path) -> Table:
        return (
            np.loadtxt(folder / "diabetes_data_raw.csv.gz"),
            np.loadtxt(folder / "diabetes_target.csv.gz"),
        )

    return _read("diabetes", rows, scaled=False)


def read_breast_cancer() -> Table:
    """569 tumours: thirty measurements of cell nuclei, malignant (0) or benign (1).

    Source: Street, Wolberg, Mangasarian, Nuclear feature extraction for breast tumor
    diagnosis, 1993.
    """

    def rows(folder: Path) -> Table:
        # The first line has the numbers of rows and columns and the class names.
        table = np.loadtxt(folder / "breast_cancer.csv", delimiter=",", skiprows=1)
        return table[:, :-1], table[:, -1]

    return _read("breast_cancer", rows)


def read_wine() -> Table:
    """178 wines of one region: thirteen measurements, which of three growers (0 to 2).

    Source: Aeberhard & Forina, Wine, UCI Machine Learning Repository, 1992.
    """

    def rows(folder: Path) -> Table:
        # The first line has the numbers of rows and columns and the class names.
        table = np.loadtxt(folder / "wine_data.csv", delimiter=",", skiprows=1)
        return table[:, :-1], table[:, -1]

    return _read("wine", rows)


def standardized(
    train: npt.NDArray[np.float64], held: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Standardizes both tables by mean and variance of the training rows' columns.

    A column that is constant in training becomes 0 there.

    >>> standardized(np.array([[1.0, 5.0], [3.0, 5.0]]), np.array([[5.0, 6.0]]))
    (array([[-1.,  0.], [ 1.,  0.]]), array([[3., 1.]]))
    """
    constant = (train == train[0]).all(axis=0)
    mean = np.where(constant, train[0], train.mean(axis=0))
    deviation = np.where(constant, 1.0, train.std(axis=0))
    return (train - mean) / deviation, (held - mean) / deviation


def _split_table(
    table: Table,
    label_type: type,
    config: DiabetesConfig | BreastCancerConfig | WineConfig,
) -> tuple[ArraySource, ArraySource]:
    values, labels = table[0], table[1].astype(label_type)
    train, held = held_out_rows(len(labels), config.eval_fraction, config.split_seed)
    x_train, x_held = values[train], values[held]
    if config.standardize:
        x_train, x_held = standardized(x_train, x_held)
    return (
        ArraySource({"x": x_train.astype(np.float32)}, labels[train]),
        ArraySource({"x": x_held.astype(np.float32)}, labels[held]),
    )


def _read(name: str, rows: Callable[[Path], Table], **options: Any) -> Table:
    """Reads scikit-learn's files, or calls its loader if they moved."""
    found = importlib.util.find_spec("sklearn")
    if found is None or not found.submodule_search_locations:
        raise DataError(
            Diagnostic(
                f"data={name}",
                "scikit-learn, which ships this data set, is not installed",
                hint="Run pip install scikit-learn.",
                code="package-missing",
            )
        )
    try:
        return rows(Path(found.submodule_search_locations[0], "datasets", "data"))
    except FileNotFoundError:
        loader = getattr(importlib.import_module("sklearn.datasets"), f"load_{name}")
        return loader(return_X_y=True, **options)
