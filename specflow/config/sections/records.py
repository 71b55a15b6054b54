"""Base sections of data sources whose rows are records, read by number.

A plugin subclasses one of them, and returns the records of a part of the data from
`build`. Fields, splits, the order of training, exact resume and the checks are then
those of every such source.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    Field,
    NonNegativeInt,
    PositiveInt,
    model_validator,
)

from specflow.config.base import Component, Config
from specflow.config.broken_rules import Broken, refuse
from specflow.config.sections.data import SetName
from specflow.config.sections.table import Fraction, Names, Paths
from specflow.runtime.filesystem import expanded

__all__ = [
    "FieldConfig",
    "RecordFilesConfig",
    "RecordSplitConfig",
    "RecordSplitsConfig",
    "RecordsConfig",
]

Number = Literal[
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
]


class FieldConfig(Config):
    """A field of records: its array, and how that is decoded.

    What is not declared is what the source says, or what its first records have.
    """

    decode: Literal["image", "raw", "bytes"] | None = None
    """`image`: a picture that Pillow reads; `raw`: bytes of numbers, little-endian;
    `bytes`: UTF-8 bytes of a text, padded; null: numbers as they are."""
    dtype: Number | None = None
    """Type of the numbers. Pictures are uint8, and as float32 in [0, 1]."""
    shape: list[PositiveInt] | None = None
    """Shape of a row. A picture of another height and width is resized to it."""
    length: PositiveInt | None = None
    """Length to which lists of numbers or vectors are padded, as `<field>.values` and
    `<field>.mask`; later items are left out."""
    pad: float = 0.0
    """Number that pads a list."""
    missing: float | None = None
    """Number in place of a missing field; null: a missing field is an error."""
    classes: list[str] | None = Field(default=None, min_length=1)
    """Names of the classes of integers from 0 up, or of texts."""

    @model_validator(mode="after")
    def _settings_suit(self) -> Self:
        broken: list[Broken] = []
        if self.decode == "raw" and self.dtype is None:
            expected = "the type of the numbers, for .decode=raw"
            broken.append(Broken(("dtype",), None, expected, ".decode"))
        if self.decode == "bytes" and self.length is None:
            expected = "the length to which a text is padded, for .decode=bytes"
            broken.append(Broken(("length",), None, expected, ".decode"))
        if self.length is not None and self.shape is not None:
            expected = "null, as .length is given"
            broken.append(Broken(("shape",), self.shape, expected, ".length"))
        if self.length is not None and self.decode in ("image", "raw"):
            expected = f"null, for .decode={self.decode}"
            broken.append(Broken(("length",), self.length, expected, ".decode"))
        is_picture = self.decode == "image"
        if is_picture and self.shape is not None and not _is_picture(self.shape):
            expected = "[height, width, channels] with 1, 3 or 4 channels"
            broken.append(Broken(("shape",), self.shape, expected))
        if is_picture and self.dtype not in (None, "uint8", "float32"):
            expected = "uint8, or float32 in [0, 1], for .decode=image"
            broken.append(Broken(("dtype",), self.dtype, expected, ".decode"))
        if self.decode is not None and self.missing is not None:
            expected = f"null: .decode={self.decode} needs bytes"
            broken.append(Broken(("missing",), self.missing, expected, ".decode"))
        refuse("FieldConfig", broken)
        return self


def _is_picture(shape: list[int]) -> bool:
    return len(shape) == 3 and shape[2] in (1, 3, 4)


class RecordSplitConfig(Config):
    """Training records that are held out, where the source has no such part itself."""

    eval: Fraction = 0.2
    """Fraction of the records that are evaluated on, if no part is named."""
    test: Fraction = 0.0
    """Fraction of the records that only `--split test` reads."""
    by: Literal["random", "hash", "group", "stratified", "time", "column"] = "random"
    """Rule: `random` draws records; `hash` goes by the content of `field`, or of all
    ids; `group` keeps those of equal `field` together; `stratified` draws equal
    fractions of every value of `field`; `time` holds out the last records by the number
    `field`; `column` reads train, eval or test from `field`."""
    field: str | None = None
    """Field of the rule."""
    seed: NonNegativeInt = 0
    """Seed of the draw; independent of the experiment's."""
    folds: int | None = Field(default=None, ge=2)
    """Number of folds of a cross-validation; `data.fold` is evaluated on, and `eval`
    has no meaning. null: none."""

    @model_validator(mode="after")
    def _field_suits(self) -> Self:
        broken: list[Broken] = []
        if self.field is None and self.by not in ("random", "hash"):
            expected = f"the field of the rule by={self.by}"
            broken.append(Broken(("field",), None, expected))
        if self.field is not None and self.by == "random":
            expected = "null: the rule by=random reads no field"
            broken.append(Broken(("field",), self.field, expected))
        if self.folds is not None and self.by in ("time", "column"):
            expected = f"null: the rule by={self.by} makes no folds"
            broken.append(Broken(("folds",), self.folds, expected))
        if self.folds is None and self.eval + self.test >= 1.0:
            expected = "fractions whose sum is below 1, so that records are trained on"
            broken.append(Broken(("test",), self.test, expected, ".eval"))
        refuse("RecordSplitConfig", broken)
        return self


class RecordsConfig(Component):
    """Fields of every source of records.

    A subclass has a `name`, a `named(part)`, and a `build(self, *, part)` that returns
    a `specflow.data.Records`. Parts are `train`, `eval`, `test`, and the names of
    evaluation sets.
    """

    packages: ClassVar[tuple[str, ...]] = ()
    """Modules that the source imports, checked before it is opened."""
    requirement: ClassVar[str] = ""
    """Argument of `pip install` that installs them."""
    refit: ClassVar[bool] = False

    features: Names | None = None
    """Fields of features, `features.<field>`; null: all but labels and ids."""
    labels: Names = []
    """Fields of labels: one is `labels`, several are `labels.<field>`; `predict` needs
    none."""
    id: Names = []
    """Fields that identify records: `predict` writes them beside the predictions."""
    fields: dict[str, FieldConfig] = {}
    """Declared fields."""
    split: RecordSplitConfig = Field(default_factory=RecordSplitConfig)
    """Records that are held out, where no part of the source is named."""
    fold: NonNegativeInt | None = None
    """Fold that is evaluated on, from 0; `split.folds` says how many there are."""
    shuffle: bool = True
    """Permute all training records every epoch."""

    def named(self, part: str) -> Any:
        """Returns the files or the split of a part; empty if none is named.

        Args:
            part: `train`, `eval`, `test`, or the name of an evaluation set.
        """
        raise NotImplementedError

    def key(self, part: str) -> str:
        """Dotted key that names a part, for messages."""
        raise NotImplementedError

    def user_path(self, field: str) -> Path:
        """Path in a field: `~` is expanded, and a relative one is absolute."""
        return expanded(getattr(self, field), f"data.{field}")

    def known_rows(self, part: str) -> int | None:
        """Number of records of a part, if it takes no read of the records."""
        return None

    @model_validator(mode="after")
    def _roles_suit(self) -> Self:
        broken: list[Broken] = []
        if self.features == []:
            expected = "at least one field, or null for all others"
            broken.append(Broken(("features",), [], expected))
        roles: dict[str, str] = {}
        for role, names in (
            ("labels", self.labels),
            ("id", self.id),
            ("features", self.features or []),
        ):
            for name in names:
                if name in roles and (role, roles[name]) != ("features", "id"):
                    expected = f"fields that .{roles[name]} does not name"
                    broken.append(Broken((role,), name, expected, f".{roles[name]}"))
                roles.setdefault(name, role)
        broken += self._folds_suit()
        sets: Mapping[str, Any] = getattr(self, "eval_sets", {})
        for name in sets:
            if name in ("train", "eval", "test"):
                expected = "a name other than train, eval, test"
                broken.append(Broken(("eval_sets", name), sets[name], expected))
        refuse(type(self).__name__, broken)
        return self

    def _folds_suit(self) -> list[Broken]:
        folds = self.split.folds
        if folds is None and self.fold is not None:
            expected = "null, as .split.folds is"
            return [Broken(("fold",), self.fold, expected, ".split.folds")]
        if folds is not None and (self.fold is None or self.fold >= folds):
            expected = f"a fold from 0 to {folds - 1}: .split.folds={folds}"
            return [Broken(("fold",), self.fold, expected, ".split.folds")]
        if folds is not None and self.named("eval"):
            expected = f"null, as {self.key('eval')} are evaluated on"
            return [Broken(("split", "folds"), folds, expected)]
        if self.split.by == "hash" and self.split.field is None and not self.id:
            expected = "fields that identify records, or .split.field, by which "
            expected += "split.by=hash divides them"
            return [Broken(("id",), [], expected, ".split.by")]
        return []


class RecordFilesConfig(RecordsConfig):
    """Records of files, in the order of the files."""

    files: Paths
    """Files, or globs, of the training records."""
    eval_files: Paths = []
    """Files of the evaluation records; none: `split.eval` of the training records."""
    test_files: Paths = []
    """Files of the test records; none: `split.test` of the training records."""
    eval_sets: dict[SetName, Paths] = {}
    """Further evaluation sets, reported apart: name -> files or globs."""

    def named(self, part: str) -> list[str]:
        """Paths and globs of a part."""
        return {
            **self.eval_sets,
            "train": self.files,
            "eval": self.eval_files,
            "test": self.test_files,
        }[part]

    def key(self, part: str) -> str:
        """Dotted key that names the files of a part."""
        keys = {"train": "files", "eval": "eval_files", "test": "test_files"}
        return f"data.{keys.get(part, f'eval_sets.{part}')}"

    @model_validator(mode="after")
    def _has_files(self) -> Self:
        if not self.files:
            refuse(type(self).__name__, [Broken(("files",), [], "at least one file")])
        return self


SplitName = Annotated[str, Field(min_length=1)]


class RecordSplitsConfig(RecordsConfig):
    """Records of a data set that has splits of its own."""

    train: SplitName = "train"
    """Split of the data set that is trained on."""
    eval: SplitName | None = None
    """Split that is evaluated on, such as `validation`; null: `split.eval` of the
    training records."""
    test: SplitName | None = None
    """Split that only `--split test` reads; null: `split.test` of the training
    records."""
    eval_sets: dict[SetName, SplitName] = {}
    """Further evaluation sets, reported apart: name -> split."""

    def named(self, part: str) -> str | None:
        """Split of a part."""
        own = {"train": self.train, "eval": self.eval, "test": self.test}
        return own[part] if part in own else self.eval_sets[part]

    def key(self, part: str) -> str:
        """Dotted key that names the split of a part."""
        own = part in ("train", "eval", "test")
        return f"data.{part}" if own else f"data.eval_sets.{part}"
