"""`data=table`: files of rows, their columns and their splits."""

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    Field,
    NonNegativeInt,
    model_validator,
)

from specflow.config.base import Config
from specflow.config.broken_rules import Broken, refuse
from specflow.config.kinds import named
from specflow.config.sections.data import SetName
from specflow.config.sections.path_lists import Names, Paths
from specflow.config.sections.table_columns import (
    CategoryColumnConfig,
    ColumnConfig,
    CrossColumnConfig,
    SetColumnConfig,
    TextColumnConfig,
)

__all__ = ["MEMBERS", "ByteSize", "RowsConfig", "SplitConfig", "TableConfig"]

Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]


class SplitConfig(Config):
    """Rows of the evaluation and test splits; all others are trained on."""

    eval: Fraction = 0.2
    """Fraction of the rows that are evaluated on."""
    test: Fraction = 0.0
    """Fraction of the rows that only `evaluate --split test` and `predict --split test`
    read."""
    by: Literal["random", "hash", "group", "stratified", "time", "column", "files"] = (
        "random"
    )
    """Rule: `random` draws rows; `hash` by the content of a row, or of `column`;
    `group` keeps rows of equal `column` together; `stratified` draws equal fractions of
    every value of `column`; `time` holds out the last rows by `column`; `column` reads
    train, eval or test from it; `files`: eval_files and test_files hold them out."""
    column: str | None = None
    """Column of the rule."""
    seed: NonNegativeInt = 0
    """Seed of the draw; independent of the experiment's."""
    folds: int | None = Field(default=None, ge=2)
    """Number of folds of a cross-validation; `data.fold` is evaluated on, and `eval`
    has no meaning. null: none."""

    @model_validator(mode="after")
    def _column_suits(self) -> Self:
        broken: list[Broken] = []
        if self.column is None and self.by not in ("random", "hash", "files"):
            broken.append(
                Broken(("column",), None, f"the column of the rule by={self.by}")
            )
        if self.column is not None and self.by in ("random", "files"):
            expected = f"null: the rule by={self.by} reads no column"
            broken.append(Broken(("column",), self.column, expected))
        if self.folds is not None and self.by in ("time", "column", "files"):
            expected = f"null: the rule by={self.by} makes no folds"
            broken.append(Broken(("folds",), self.folds, expected))
        if self.folds is None and self.eval + self.test >= 1.0:
            expected = "fractions whose sum is below 1, so that rows are trained on"
            broken.append(Broken(("test",), self.test, expected, ".eval"))
        refuse("SplitConfig", broken)
        return self


ByteSize = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(B|KiB|MiB|GiB|TiB)$")]


class RowsConfig(Config):
    """Base of data whose rows are those of a table."""

    if TYPE_CHECKING:
        # Fields of every kind, each at its place among the others of the kind.
        split: "SplitConfig"
        refit: bool

    @property
    def table(self) -> "TableConfig":
        """The table."""
        raise NotImplementedError


class TableConfig(RowsConfig):
    """Rows of files: CSV, TSV, JSON lines, Parquet or Arrow, by columns.

    Numbers and one-hot categories are features.x: float32[b,d], indices of embeddings
    features.categories.<column>: int32[b]; labels: int32[b] of classes or integers,
    else float32[b]. Columns are fitted to the training split, and the run, its
    checkpoints and its exports have the result.
    """

    name: Literal["table"] = "table"
    files: Paths
    """Files, or globs; of one format, and with the same columns."""
    eval_files: Paths = []
    """Files of the evaluation split; `split.by` is then `files`."""
    test_files: Paths = []
    """Files of the test split; `split.by` is then `files`."""
    eval_sets: dict[SetName, Paths] = {}
    """Further evaluation sets, reported apart: name -> files or globs, all of whose
    rows are evaluated, whatever the split."""
    format: Literal["csv", "tsv", "jsonl", "parquet", "arrow", "folder"] | None = None
    """Format of the files; null: by their suffix. `folder`: they are folders with a
    folder of images for each class, which have the columns `path` and `class`."""
    features: Names | None = None
    """Columns of features; null: all but labels, ids and the column of the split."""
    labels: Names = []
    """Columns of labels: one is `labels`, several are `labels.<column>`; `predict`
    needs none."""
    joined_labels: bool | None = None
    """Join several columns of 0 and 1, or of booleans, to one array, labels:
    int32[b,k]; null: if all columns of labels are such."""
    weights: str | None = None
    """Column of sample weights, `labels.<column>` beside the labels: spec=table has
    them in losses and metrics; null: none."""
    id: Names = []
    """Columns that identify rows: `predict` writes them beside the predictions."""
    columns: dict[str, ColumnConfig] = {}  # type: ignore[valid-type]
    """Declared columns; all others are numbers if every value is one, else
    categories."""
    missing: list[str] = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"]
    """Texts of a missing number. A category is missing where its text is empty."""
    split: SplitConfig = Field(default_factory=SplitConfig)
    """Rows of the evaluation and test splits."""
    fold: NonNegativeInt | None = None
    """Fold that is evaluated on, from 0; `split.folds` says how many there are."""
    joined: bool = True
    """Join numbers and one-hot features to features.x; false: every column is
    features.<column>."""
    shuffle: Literal["rows", "blocks"] | bool = True
    """Order of the training rows: `rows` permutes all of them every epoch, from a store
    on disk if the table exceeds `memory`; `blocks` permutes blocks of rows of the
    files, and then the rows of as many blocks as fit `memory`; true: `rows` if the
    table fits `memory`, else `blocks`; false: the order of the files."""
    memory: ByteSize = "2GiB"
    """Bound of the rows in memory: a number with B, KiB, MiB, GiB or TiB. A table that
    exceeds it is read in blocks."""
    refit: bool = False
    """Fit the columns anew where the run has fitted ones, and print what changes."""

    @property
    def table(self) -> "TableConfig":
        """This table."""
        return self

    @property
    def memory_bytes(self) -> int:
        """The bound of the memory in bytes."""
        number = self.memory.rstrip("BKMGTi")
        units = ("B", "KiB", "MiB", "GiB", "TiB")
        return int(float(number) * 1024 ** units.index(self.memory[len(number) :]))

    def raw_columns(self, feature: str) -> list[str]:
        """Columns of the files that a column of features is made of.

        Args:
            feature: key of a declared column, or a column of the files.
        """
        declared: Any = self.columns.get(feature)
        if isinstance(declared, CrossColumnConfig):
            parts = [name for part in declared.of for name in self.raw_columns(part)]
            return list(dict.fromkeys(parts))
        first = getattr(declared, "column", None) or feature
        weights = getattr(declared, "weights", None)
        return [first] if weights is None else [first, weights]

    @property
    def renamed_columns(self) -> set[str]:
        """Columns of the files that declared columns of other names are made of."""
        return {
            raw
            for name, declared in self.columns.items()
            if not isinstance(declared, CrossColumnConfig)
            for raw in self.raw_columns(name)
            if raw != name
        }

    @model_validator(mode="after")
    def _columns_suit(self) -> Self:
        broken: list[Broken] = []
        columns: dict[str, Any] = self.columns
        for name, declared in columns.items():
            if isinstance(declared, CrossColumnConfig) and self._crosses(name, name):
                expected = "columns that this cross is no part of"
                broken.append(Broken(("columns", name, "of"), declared.of, expected))
            is_sequence = getattr(declared, "encoding", "") == "sequence"
            if is_sequence and self.joined and name in ("x", "categories"):
                expected = f"another name than {name}, which features.{name} has"
                broken.append(Broken(("columns", name), name, expected))
        shared: dict[str, tuple[str, Any]] = {}
        for name, declared in columns.items():
            if (table := getattr(declared, "shared", None)) is None:
                continue
            first, settings = shared.setdefault(table, (name, declared))
            if (field := _differing(settings, declared)) is not None:
                expected = f"that of {first}: they share the embedding {table}"
                value = getattr(declared, field, None)
                beside = f"data.columns.{first}"
                broken.append(Broken(("columns", name, field), value, expected, beside))
        refuse("TableConfig", broken)
        return self

    def _crosses(
        self, name: str, part: str, seen: frozenset[str] = frozenset()
    ) -> bool:
        """True if a cross is a part of itself."""
        declared: Any = self.columns.get(part)
        if not isinstance(declared, CrossColumnConfig) or part in seen:
            return False
        return any(
            each == name or self._crosses(name, each, seen | {part})
            for each in declared.of
        )

    @model_validator(mode="after")
    def _roles_suit(self) -> Self:
        broken: list[Broken] = []
        if not self.files:
            broken.append(Broken(("files",), [], "at least one file"))
        if self.features == []:
            expected = "at least one column, or null for all others"
            broken.append(Broken(("features",), [], expected))
        roles: dict[str, str] = {}
        for role, names in (
            ("labels", self.labels),
            ("id", self.id),
            ("weights", [] if self.weights is None else [self.weights]),
            ("features", self.features or []),
        ):
            for name in names:
                if name in roles and (role, roles[name]) != ("features", "id"):
                    expected = f"columns that .{roles[name]} does not name"
                    broken.append(Broken((role,), name, expected, f".{roles[name]}"))
                roles.setdefault(name, role)
        folds = self.split.folds
        if folds is None and self.fold is not None:
            expected = "null, as .split.folds is"
            broken.append(Broken(("fold",), self.fold, expected, ".split.folds"))
        if (
            folds is not None
            and not 0 <= (-1 if self.fold is None else self.fold) < folds
        ):
            expected = f"a fold from 0 to {folds - 1}: .split.folds={folds}"
            broken.append(Broken(("fold",), self.fold, expected, ".split.folds"))
        if self.split.by == "files" and not self.eval_files:
            expected = "files of the evaluation split, as .split.by=files"
            broken.append(Broken(("eval_files",), [], expected, ".split.by"))
        held = self.eval_files or self.test_files
        if held and self.split.by != "files":
            expected = "files, as .eval_files or .test_files are given"
            broken.append(
                Broken(("split", "by"), self.split.by, expected, ".eval_files")
            )
        refuse("TableConfig", broken)
        return self


_OF_INDICES = (
    "vocabulary",
    "vocabulary_file",
    "min_count",
    "max_size",
    "hash_buckets",
    "identity",
    "oov_buckets",
    "default",
    "missing",
    "embedding_size",
    "max_norm",
)
"""Fields on which the indices and the embedding of a category depend."""
_Indexed = CategoryColumnConfig | SetColumnConfig | TextColumnConfig


def _differing(first: _Indexed, other: _Indexed) -> str | None:
    """Name of a field by which two columns cannot share an embedding."""
    for field in _OF_INDICES:
        if getattr(first, field, None) != getattr(other, field, None):
            return field
    return None


MEMBERS = named(TableConfig)
"""Name -> class."""
