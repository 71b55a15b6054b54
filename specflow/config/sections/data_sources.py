"""The sources of `data` that the bare experiment does not name."""

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from specflow.config.base import Config, UserPath
from specflow.config.kinds import named
from specflow.config.sections.data import HeldOutConfig

__all__ = [
    "MEMBERS",
    "BreastCancerConfig",
    "DiabetesConfig",
    "NpzConfig",
    "TextConfig",
    "WineConfig",
]


class DiabetesConfig(HeldOutConfig):
    """442 patients, ten measurements, disease progression a year later (scikit-learn).

    features.x: float32[b,10]; labels: float32[b], 25 to 346.
    """

    name: Literal["diabetes"] = "diabetes"
    standardize: bool = True
    """Whether features get mean 0 and variance 1, by the training rows."""


class BreastCancerConfig(HeldOutConfig):
    """569 tumours, thirty measurements, malignant (0) or benign (1) (scikit-learn).

    features.x: float32[b,30]; labels: int32[b] in {0, 1}.
    """

    name: Literal["breast_cancer"] = "breast_cancer"
    standardize: bool = True
    """Whether features get mean 0 and variance 1, by the training rows."""


class WineConfig(HeldOutConfig):
    """178 wines, thirteen measurements, three growers (scikit-learn).

    features.x: float32[b,13]; labels: int32[b] in [0, 3).
    """

    name: Literal["wine"] = "wine"
    standardize: bool = True
    """Whether features get mean 0 and variance 1, by the training rows."""


class TextConfig(Config):
    """Text files as bytes, cut into windows for next-byte prediction.

    features.tokens: int32[b,t]; labels: int32[b,t], the same window one byte later.
    """

    name: Literal["text"] = "text"
    root: UserPath = "stdlib"
    """Folder to read, or `stdlib`: Python's own standard library sources, which differ
    a little from one version of Python to the next."""
    pattern: str = Field(default="*.py", min_length=1)
    """Glob of the files, at any depth below the root, as `Path.rglob` takes it: `**`
    stands for any number of folders, none too."""
    length: PositiveInt = 128
    """Bytes a window."""
    max_bytes: PositiveInt | None = 4_000_000
    """Bytes to read in all, of files drawn by `split_seed`; null: every file."""
    eval_fraction: float = Field(default=0.1, gt=0.0, lt=1.0)
    """Share of the files (by count, whole files) held out for evaluation."""
    split_seed: NonNegativeInt = 0
    """Seed of the choice of files, and of those held out."""
    shuffle: bool = True
    """Whether training sees its windows in a new order every epoch."""


class NpzConfig(Config):
    """Arrays from `.npz` files: one for training, one for evaluation.

    Every array is batch-major; the one named by `labels` becomes the labels, those
    named by `ids` stay on the host, the others become `features.<name>`. Numbers of 64
    bits are computed in 32 unless `JAX_ENABLE_X64` is set: integers that do not fit are
    refused, and a warning tells where float32 loses what float64 says.
    """

    name: Literal["npz"] = "npz"
    train: UserPath
    """Path of the training file."""
    eval: UserPath
    """Path of the evaluation file."""
    labels: str | None = "labels"
    """Name of the array with the labels; null when there is none. `predict` goes
    without it."""
    ids: list[str] = []
    """Names of arrays that say which row is which, in text or whole numbers: they are
    no features, and `predict` writes them beside the predictions. Evaluation rows may
    lack some."""
    shuffle: bool = True
    """Whether training sees its rows in a new order every epoch."""


MEMBERS = named(
    DiabetesConfig,
    BreastCancerConfig,
    WineConfig,
    TextConfig,
    NpzConfig,
)
"""Name -> class."""
