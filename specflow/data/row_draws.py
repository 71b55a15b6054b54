"""Random numbers of single rows: functions of the seed, the epoch and the row."""

import dataclasses
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import xxhash

from specflow.runtime.typing import Tree

__all__ = ["AugmentedSource", "RowDraws"]

_STEP = np.uint64(0x9E3779B97F4A7C15)


@dataclasses.dataclass(frozen=True, eq=False)
class RowDraws:
    """Random numbers of some training rows.

    A row has the same ones in every batch, process and resumed run. Source: SplitMix64
    (Steele, Lea and Flood, 2014).

    >>> draws = RowDraws(0, np.array([0, 1]), np.array([7, 7]))
    >>> draws.uniform("flip").shape
    (2,)
    """

    seed: int
    epochs: npt.NDArray[np.int64]
    """Epoch of each row, counted from 0."""
    rows: npt.NDArray[np.int64]
    """Numbers of the rows."""

    def uniform(self, name: str) -> npt.NDArray[np.float64]:
        """A number in [0, 1) for each row, float64 "n".

        Args:
            name: of the stream; those of different names are independent.
        """
        stream = f"{self.seed} {name}".encode()
        key = np.uint64(xxhash.xxh3_64_intdigest(stream))
        state = _mixed(_mixed(self.epochs.astype(np.uint64) + key) + key)
        bits = _mixed(state ^ _mixed(self.rows.astype(np.uint64) * _STEP + key))
        return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


@runtime_checkable
class AugmentedSource(Protocol):
    """A `Source` that changes its rows at random when they are trained on."""

    @property
    def augments(self) -> bool:
        """False: no change is declared."""
        ...

    def take_augmented(
        self, rows: npt.NDArray[np.int64], draws: RowDraws
    ) -> tuple[Tree, Tree]:
        """Returns features and labels of some rows, changed.

        Args:
            rows: their numbers.
            draws: their random numbers.
        """
        ...


def _mixed(state: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The finalizer of SplitMix64 after a step; integers wrap."""
    state = state + _STEP
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))
