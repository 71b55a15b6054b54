"""Data sources that are imported when they are used."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from specflow.config.base import Config, UserPath
from specflow.config.broken_rules import Broken, refuse
from specflow.config.kinds import named
from specflow.config.sections.data import HeldOutConfig, SetName
from specflow.config.sections.path_lists import Paths

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
    feature_names: ClassVar[tuple[str, ...]] = ("x",)
    standardize: bool = True
    """Standardize features to mean 0 and variance 1, by the training rows."""


class BreastCancerConfig(HeldOutConfig):
    """569 tumours, thirty measurements, malignant (0) or benign (1) (scikit-learn).

    features.x: float32[b,30]; labels: int32[b] in {0, 1}.
    """

    name: Literal["breast_cancer"] = "breast_cancer"
    feature_names: ClassVar[tuple[str, ...]] = ("x",)
    standardize: bool = True
    """Standardize features to mean 0 and variance 1, by the training rows."""


class WineConfig(HeldOutConfig):
    """178 wines, thirteen measurements, three growers (scikit-learn).

    features.x: float32[b,13]; labels: int32[b] in [0, 3).
    """

    name: Literal["wine"] = "wine"
    feature_names: ClassVar[tuple[str, ...]] = ("x",)
    standardize: bool = True
    """Standardize features to mean 0 and variance 1, by the training rows."""


class TextConfig(Config):
    """Text files as bytes, or as tokens of a tokenizer, in windows that predict the
    next one.

    features.tokens: int32[b,t]; labels: int32[b,t], the same window one token later.
    """

    name: Literal["text"] = "text"
    feature_names: ClassVar[tuple[str, ...]] = ("tokens",)
    files: Paths = []
    """Files or globs of your own, in place of `root` and `pattern`, read whole and in
    UTF-8. A file is a document, and so is a line of a `.jsonl` file."""
    column: str = "text"
    """Key of the text in a line of JSON."""
    tokenizer: UserPath | None = None
    """File of a trained tokenizer: a `tokenizer.json` of Hugging Face's tokenizers, or
    a SentencePiece model; null: tokens are bytes."""
    separator: Annotated[int, Field(ge=0)] | str | None = None
    """Byte after each document of `files`, such as 0, which text does not have; with a
    tokenizer the number or the name of a token, such as `</s>`; null: none."""
    split_by: Literal["random", "hash"] = "random"
    """Rule by which documents of `files` are held out: `random` draws them; `hash` goes
    by their content, so that a document stays in its split when others are added, and
    equal documents are in one split."""
    root: UserPath = "stdlib"
    """Folder to read, or `stdlib`: the sources of Python's standard library, which
    differ slightly between versions of Python."""
    pattern: str = Field(default="*.py", min_length=1)
    """Glob of the files, at any depth below the root, as in `Path.rglob`: `**` matches
    any number of folders, including none."""
    length: PositiveInt = 128
    """Length of a window, in bytes or tokens."""
    max_bytes: PositiveInt | None = 4_000_000
    """Total bytes to read below `root`, of files sampled by `split_seed`; null: every
    file."""
    eval_fraction: float = Field(default=0.1, gt=0.0, lt=1.0)
    """Fraction of the documents held out for evaluation; none is ever divided."""
    split_seed: NonNegativeInt = 0
    """Seed of the sampling of files and of the split."""
    shuffle: bool = True
    """Shuffle the training windows every epoch."""
    eval_sets: dict[SetName, UserPath] = {}
    """Further evaluation sets, reported apart: name -> folder, all of whose files that
    match `pattern` are read; with `files`: name -> file or glob."""

    @model_validator(mode="after")
    def _files_or_folder(self) -> Self:
        broken: list[Broken] = []
        if self.files and self.root != "stdlib":
            expected = "stdlib, the default, as .files are read in place of a folder"
            broken.append(Broken(("root",), self.root, expected, ".files"))
        if not self.files:
            for key, default in (("separator", None), ("split_by", "random")):
                value = getattr(self, key)
                if value != default:
                    expected = f"{'null' if default is None else default}: .files are "
                    expected += "empty, whose documents it concerns"
                    broken.append(Broken((key,), value, expected, ".files"))
        if self.tokenizer is None and self.separator is not None:
            is_byte = isinstance(self.separator, int) and self.separator < 256
            if not is_byte:
                expected = "a byte, from 0 to 255, as .tokenizer is null"
                broken.append(
                    Broken(("separator",), self.separator, expected, ".tokenizer")
                )
        refuse("TextConfig", broken)
        return self


class NpzConfig(Config):
    """Arrays from `.npz` files: one for training, one for evaluation.

    Every array is batch-major: the array `labels` holds the labels, the arrays `ids`
    stay on the host, all others are `features.<name>`. 64-bit numbers are converted to
    32 bits unless `JAX_ENABLE_X64` is set: integers that do not fit are an error, and a
    loss of float64 precision is a warning.
    """

    name: Literal["npz"] = "npz"
    train: UserPath
    """Path of the training file."""
    eval: UserPath
    """Path of the evaluation file."""
    labels: str | None = "labels"
    """Name of the array of labels; null: none. `predict` needs no labels."""
    ids: list[str] = []
    """Names of arrays that identify rows, as text or integers: they are not features,
    and `predict` writes them beside the predictions. Optional in the
    evaluation data."""
    eval_sets: dict[SetName, UserPath] = {}
    """Further evaluation sets, reported apart: name -> path of the file."""
    shuffle: bool = True
    """Shuffle the training rows every epoch."""


MEMBERS = named(
    DiabetesConfig,
    BreastCancerConfig,
    WineConfig,
    TextConfig,
    NpzConfig,
)
"""Name -> class."""
