"""Real data sets, split and scaled."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from sklearn import datasets
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler


class Table(NamedTuple):
    """Rows to train on and rows held out."""

    x: np.ndarray
    y: np.ndarray
    held_x: np.ndarray
    held_y: np.ndarray


@pytest.fixture(scope="session")
def table() -> Callable[[str], Table]:
    """`table(name)`: one that travels with scikit-learn, standardized."""

    def load(name: str) -> Table:
        x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
        kinds: Any = y if len(set(y)) < 10 else None
        x, held_x, y, held_y = train_test_split(
            x, y, test_size=0.25, random_state=0, stratify=kinds
        )
        scaler = StandardScaler().fit(x)
        x, held_x = (scaler.transform(part).astype("f4") for part in (x, held_x))
        dtype = "f4" if kinds is None else "i4"
        return Table(x, y.astype(dtype), held_x, held_y.astype(dtype))

    return load
