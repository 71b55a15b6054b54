"""Builds the sources of `data=table`: files, splits and fitted columns."""

import dataclasses
import warnings
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from specflow.columns import FittedColumns
from specflow.config.sections.table import SplitConfig, TableConfig
from specflow.data.source import Source
from specflow.data.table import row_splits
from specflow.data.table.fit_cache import FitCache
from specflow.data.table.fit_columns import fit_columns
from specflow.data.table.open_table import check_cells, opened_cells
from specflow.data.table.opened_split import image_roots, opened_split
from specflow.data.table.picture_files import (
    Pictures,
    pictures_of,
    pictures_of_folders,
)
from specflow.data.table.split_cells import split_rows
from specflow.data.table.streamed_cells import StreamedCells
from specflow.data.table.table_cells import TableCells
from specflow.data.table.table_changes import changed_files, refused_changes
from specflow.data.table.table_files import TableFile, table_files
from specflow.diagnostics.errors import DataError, Diagnostic, SpecflowWarning

__all__ = ["TableData", "table_data"]

Rows = npt.NDArray[np.int64]
_KEYS = {"train": "data.files", "eval": "data.eval_files", "test": "data.test_files"}
_FOLDER_KEYS = {
    "train": "data.root",
    "eval": "data.eval_root",
    "test": "data.test_root",
}


@dataclasses.dataclass(frozen=True, slots=True)
class TableData:
    """Sources of a table, and the columns that made their features."""

    train: Source
    eval: Source
    make_test: Callable[[], Source]
    """Reads the test rows, which nothing else does."""
    fitted: FittedColumns
    files: Mapping[str, str]
    """Path of each file of `train` and `eval` -> SHA-256 of its content."""
    pictures: Mapping[str, Pictures]
    """Column and content of the files -> pictures that its paths name."""


def table_data(
    config: TableConfig,
    *,
    needs_labels: bool = True,
    needs_train: bool = True,
    fitted: FittedColumns | None = None,
    same_files: bool = False,
    start: FittedColumns | None = None,
) -> TableData:
    """Builds the sources of a table.

    Args:
        config: the `data` section.
        needs_labels: rows to evaluate must have labels.
        needs_train: rows to train on are used; if not, and columns are fitted already,
            those to evaluate replace them.
        fitted: the fitted columns of a run, which are used as they are; None: they are
            fitted to the training rows.
        same_files: the files must be those that the columns were fitted to.
        start: the fitted columns of another run, of whose features the rows get;
            columns of labels that it lacks are fitted.

    Raises:
        DataError: files, columns, rows or cells are wrong; as many problems as possible
            are reported at once.
    """
    return _Builder(
        config,
        fitted,
        needs_labels=needs_labels,
        needs_train=needs_train,
        same_files=same_files,
        start=start,
    ).build()


class _Builder:
    """One call of `table_data`."""

    def __init__(
        self,
        config: TableConfig,
        fitted: FittedColumns | None,
        *,
        needs_labels: bool,
        needs_train: bool,
        same_files: bool,
        start: FittedColumns | None,
    ):
        self._config, self._fitted, self._start = config, fitted, start
        self._known = fitted or start
        """Fitted columns of features."""
        self._needs_labels, self._same_files = needs_labels, same_files
        self._needs_train = needs_train or fitted is None
        self._by_files = config.split.by == "files"
        is_folder = config.format == "folder"
        self._keys = _FOLDER_KEYS if is_folder else _KEYS
        self._files: list[TableFile] = []
        self._cache: FitCache | None = None
        """Of a streamed table."""

    def build(self) -> TableData:
        """Builds the sources."""
        parts = self._files_as_parts() if self._by_files else self._rows_as_parts()
        fitted = self._fitted
        known = self._cache.columns() if self._cache is not None else None
        proven: frozenset[str] = frozenset()
        if fitted is None:
            fitted, proven = (known, proven) if known else self._fit(parts)
        used = ("train", "eval") if self._needs_train else ("eval",)
        if self._cache is not None and known is None:
            self._check(fitted, {split: parts[split] for split in used}, proven)
            self._cache.keep_columns(fitted)
        sources, diagnostics = {}, []
        for split in used:
            try:
                sources[split] = self._source(fitted, *parts[split], split)
            except DataError as error:
                diagnostics += error.diagnostics
        if diagnostics:
            raise DataError(*diagnostics)
        tested = parts.get("test")

        def make_test() -> Source:
            cells, rows = self._test_part() if tested is None else tested
            if not len(rows):
                raise _no_rows(self._config.split, "test", len(cells))
            return self._source(fitted, cells, rows, "test")

        evaluated = sources["eval"]
        train, files = sources.get("train", evaluated), _digests(self._files)
        folders = [file.images for file in self._files if file.images is not None]
        pictures: Mapping[str, Pictures] = pictures_of_folders(folders)
        if self._config.format != "folder":
            read, roots = [parts[split] for split in used], image_roots(self._config)
            pictures = pictures_of(fitted, read, roots, digests=files.values())
        return TableData(train, evaluated, make_test, fitted, files, pictures)

    def _fit(
        self, parts: dict[str, tuple[TableCells, Rows]]
    ) -> tuple[FittedColumns, frozenset[str]]:
        cells, rows = parts["train"]
        return fit_columns(
            self._config,
            cells,
            rows,
            features=self._features(cells.names),
            files=_digests(self._files),
            counts={split: len(rows) for split, (_, rows) in parts.items()},
            start=self._start,
        )

    def _check(
        self,
        fitted: FittedColumns,
        parts: dict[str, tuple[TableCells, Rows]],
        proven: frozenset[str],
    ) -> None:
        """Checks the cells of streamed tables, which are not read as a whole.

        Args:
            fitted: makes the features.
            parts: table and rows of each split.
            proven: columns whose cells are valid in the table of the training rows.
        """
        tables: dict[int, dict[str, Rows]] = {}
        for split, (cells, rows) in parts.items():
            tables.setdefault(id(cells), {})[split] = rows
        diagnostics: list[Diagnostic] = []
        for splits in tables.values():
            cells, _ = parts[next(iter(splits))]
            if not isinstance(cells, StreamedCells):
                continue
            labeled = [split for split in splits if self._labels_needed(split)]
            known = proven if "train" in splits else ()
            try:
                roots = image_roots(self._config)
                check_cells(cells, splits, fitted, labeled, roots, known)
            except DataError as error:
                diagnostics += error.diagnostics
        if diagnostics:
            raise DataError(*diagnostics)

    def _labels_needed(self, split: str) -> bool:
        return self._needs_labels or split == "train"

    def _source(
        self, fitted: FittedColumns, cells: TableCells, rows: Rows, split: str
    ) -> Source:
        return opened_split(
            self._config,
            fitted,
            cells,
            rows,
            split,
            needs_labels=self._labels_needed(split),
            trains=split == "train" and self._needs_train,
            files=self._files,
            cache=self._cache,
        )

    def _rows_as_parts(self) -> dict[str, tuple[TableCells, Rows]]:
        """Splits the rows of all files."""
        config = self._config
        files = table_files(config.files, key=self._keys["train"], format=config.format)
        relation = self._relation(files)
        column = () if relation == "new" else (config.split.column,)
        cells = self._cells(files, [name for name in column if name is not None])
        if relation == "new":
            every = np.arange(len(cells))
            return dict.fromkeys(row_splits.SPLITS, (cells, every))
        split = self._split(cells)
        parts = {
            name: (cells, np.flatnonzero(split == number))
            for number, name in enumerate(row_splits.SPLITS)
        }
        for name in ("train", "eval"):
            if not len(parts[name][1]):
                raise _no_rows(config.split, name, len(cells))
        return parts

    def _split(self, cells: TableCells) -> row_splits.Split:
        """The split of each row, as kept of a large table."""
        config, cache = self._config, self._cache
        kept = None if cache is None else cache.split(len(cells))
        if kept is not None:
            return kept
        split = split_rows(config.split, cells, fold=config.fold, ids=config.id)
        if cache is not None:
            cache.keep_split(split)
        return split

    def _files_as_parts(self) -> dict[str, tuple[TableCells, Rows]]:
        """Reads the files of each split that is used."""
        parts: dict[str, tuple[TableCells, Rows]] = {}
        diagnostics: list[Diagnostic] = []
        for split in ("train", "eval") if self._needs_train else ("eval",):
            try:
                parts[split] = self._part(split)
            except DataError as error:
                diagnostics += error.diagnostics
        if diagnostics:
            raise DataError(*diagnostics)
        if self._same_files:
            self._refuse_changes(
                [part.file for cells, _ in parts.values() for part in cells.files]
            )
        return parts

    def _test_part(self) -> tuple[TableCells, Rows]:
        if not self._config.test_files:
            raise DataError(
                Diagnostic(
                    self._keys["test"],
                    "is empty",
                    expected="what the test split is read from",
                    code="data-empty",
                )
            )
        return self._part("test")

    def _part(self, split: str) -> tuple[TableCells, Rows]:
        """Reads all files of one split."""
        config = self._config
        paths = {
            "train": config.files,
            "eval": config.eval_files,
            "test": config.test_files,
        }[split]
        files = table_files(paths, key=self._keys[split], format=config.format)
        cells = self._cells(files, [], needs_labels=split == "train")
        return cells, np.arange(len(cells))

    def _cells(
        self,
        files: Sequence[TableFile],
        column: Sequence[str],
        *,
        needs_labels: bool = False,
    ) -> TableCells:
        """Reads the columns that are used."""
        config, known = self._config, self._known
        needs_labels = needs_labels or self._needs_labels or self._needs_train
        weights = [] if config.weights is None else [config.weights]
        named = [("data.labels", name) for name in config.labels if needs_labels]
        named += [("data.weights", name) for name in weights if needs_labels]
        named += [("data.split.column", name) for name in column]
        if self._fitted is None:
            named += [("data.id", name) for name in config.id]
        if known is None:
            for key, features in (
                ("data.features", config.features or ()),
                ("data.columns.{name}", config.columns),
            ):
                named += [
                    (key.format(name=name), raw)
                    for name in features
                    for raw in config.raw_columns(name)
                ]
        else:
            named += [("data.features", name) for name in known.sources]

        def wanted(names: Sequence[str]) -> list[str]:
            used = {*config.labels, *weights, *config.id, *column}
            if known is not None:
                used.update(known.sources)
            else:
                for feature in self._features(names):
                    used.update(config.raw_columns(feature))
            return [name for name in names if name in used]

        cells = opened_cells(config, files, wanted, list(dict.fromkeys(named)))
        self._files += files
        if isinstance(cells, StreamedCells):
            needs = self._needs_labels
            self._cache = FitCache(config, self._files, known, needs_labels=needs)
        return cells

    def _features(self, names: Sequence[str]) -> list[str]:
        """Columns of features: those of a file, then those declared under other names.

        Args:
            names: columns of the file.
        """
        config = self._config
        if self._known is not None:
            return list(self._known.columns)
        others = {*config.labels, *config.id, config.weights or ""}
        if config.split.by != "stratified":
            others.add(config.split.column or "")
        listed = config.features
        if listed is None:
            derived = [name for name in config.columns if name not in names]
            # What another column is made of is no feature itself, but by declaration.
            others |= config.renamed_columns - set(config.columns)
            listed = [name for name in (*names, *derived) if name not in others]
        return [name for name in listed if config.columns.get(name) != "ignore"]

    def _relation(self, files: Sequence[TableFile]) -> str:
        """Compares files with those that the columns were fitted to.

        Returns:
            `same`, `changed`, or `new` if none of the files is known.

        Raises:
            DataError: they have changed, and the split of a row may have too.
        """
        if self._fitted is None:
            return "same"
        if self._same_files:
            self._refuse_changes(files)
        recorded = self._fitted.files
        digests = {file.digest for file in files}
        if digests == set(recorded.values()):
            return "same"
        if not digests & set(recorded.values()) and not any(
            file.name in recorded for file in files
        ):
            return "new"
        diagnostics = list(changed_files(recorded, _digests(files)))
        if self._config.split.by not in row_splits.STABLE_RULES:
            hint = (
                f"Rows of split.by={self._config.split.by} change their split with the "
                "files. Use the files of the run, or files that it has not seen, whose "
                "rows are all evaluated."
            )
            raise refused_changes(diagnostics, hint)
        for diagnostic in diagnostics:
            warnings.warn(SpecflowWarning(diagnostic), stacklevel=2)
        return "changed"

    def _refuse_changes(self, files: Sequence[TableFile]) -> None:
        assert self._fitted is not None
        if diagnostics := list(changed_files(self._fitted.files, _digests(files))):
            raise refused_changes(diagnostics)


def _digests(files: Sequence[TableFile]) -> dict[str, str]:
    return {file.name: file.digest for file in files}


def _no_rows(split: SplitConfig, name: str, rows: int) -> DataError:
    rule = f"split.by={split.by}"
    fraction = {"eval": split.eval, "test": split.test}.get(name)
    if fraction is not None and split.by != "column" and split.folds is None:
        rule = f"split.{name}={fraction}, {rule}"
    return DataError(
        Diagnostic(
            "data.split",
            f"{rule} leaves no row of {rows:,} for {name}",
            expected="at least one row",
            code="data-empty",
        )
    )
