"""The columns of features of a table, each fitted once, with those it depends on."""

import collections
import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from specflow.columns import CategoryColumn, CrossColumn, CrossPart, NumberColumn
from specflow.columns.cross_column import HASH_KEY, Indexed
from specflow.columns.date_column import PERIODS, DateColumn
from specflow.columns.fitted_columns import Column
from specflow.columns.set_column import SetColumn
from specflow.config.sections.image_column import ImageColumnConfig
from specflow.config.sections.table import TableConfig
from specflow.config.sections.table_columns import (
    CategoryColumnConfig,
    CrossColumnConfig,
    DateColumnConfig,
    NumberColumnConfig,
    SetColumnConfig,
    TextColumnConfig,
)
from specflow.data.table.column_kinds import (
    counted_texts,
    inferred_feature_kind,
    inferred_kind,
    inferred_special_kind,
    number_scan,
)
from specflow.data.table.fit_features import (
    PartProblems,
    fit_category,
    fit_date,
    fit_number,
    fit_set,
    fit_vector,
    item_counts,
    unfitted_set,
)
from specflow.data.table.fit_images import fit_image
from specflow.data.table.number_scans import NumberScan, training_numbers
from specflow.data.table.shared_passes import Fit, RowsPass, fitted_together
from specflow.data.table.table_cells import TableCells
from specflow.diagnostics.errors import Diagnostic
from specflow.runtime.filesystem import expanded
from specflow.runtime.text_encoding import other_encoding

__all__ = ["FeatureFits"]

Rows = npt.NDArray[np.int64]
_INFERRED: dict[str, Any] = {
    "number": NumberColumnConfig,
    "category": CategoryColumnConfig,
    "date": DateColumnConfig,
    "set": SetColumnConfig,
}


class FeatureFits:
    """Fits columns of features, as they are declared or inferred.

    Args:
        config: declares columns.
        cells: the table.
        rows: the training rows.
    """

    def __init__(self, config: TableConfig, cells: TableCells, rows: Rows):
        self._config, self._cells, self._rows = config, cells, rows
        self._fitted: dict[str, Column | None] = {}
        self._diagnostics: dict[str, list[Diagnostic]] = {}
        self.proven: set[str] = set()
        """Columns of which every cell of the table is known to be valid."""

    @property
    def diagnostics(self) -> list[Diagnostic]:
        """What is wrong with the columns so far."""
        return [each for some in self._diagnostics.values() for each in some]

    def all_fitted(
        self, names: Sequence[str], *others: Fit[Any]
    ) -> tuple[dict[str, Column | None], list[Any]]:
        """Fits columns, in passes over the rows that all share.

        Args:
            names: keys of declared columns, and columns of the files.
            *others: fits that share the passes.

        Returns:
            The fitted columns, None after an error; and the results of the others.
        """
        self._diagnostics = {name: [] for name in names}
        first = [name for name in names if not self._is_cross(name)]
        first += [
            name
            for name in self._parts_of_crosses(names)
            if name not in first and not self._is_cross(name)
        ]
        fits = [self._fit(name) for name in first]
        made = fitted_together(self._cells, self._rows, [*fits, *others])
        self._fitted |= dict(zip(first, made, strict=False))
        fitted = {name: self.fitted(name) for name in names}
        return fitted, made[len(first) :]

    def fitted(self, name: str) -> Column | None:
        """The fitted column; None after an error.

        Args:
            name: key of a declared column, or a column of the files.
        """
        if name not in self._fitted:
            (self._fitted[name],) = fitted_together(
                self._cells, self._rows, [self._fit(name)]
            )
        return self._fitted[name]

    def _is_cross(self, name: str) -> bool:
        return isinstance(self._config.columns.get(name), CrossColumnConfig)

    def _parts_of_crosses(self, names: Sequence[str]) -> list[str]:
        """Declared columns that crosses are made of, also those of crosses in them."""
        parts: dict[str, None] = {}
        for name in names:
            declared = self._config.columns.get(name)
            if isinstance(declared, CrossColumnConfig):
                of = [part for part in declared.of if part in self._config.columns]
                of = [part for part in of if self._config.columns[part] != "ignore"]
                parts |= dict.fromkeys([*of, *self._parts_of_crosses(of)])
        return list(parts)

    def _problems(self, name: str) -> list[Diagnostic]:
        return self._diagnostics.setdefault(name, [])

    def _fit(self, name: str) -> Fit[Column | None]:
        cells, rows, diagnostics = self._cells, self._rows, self._problems(name)
        raw = self._config.raw_columns(name)
        sources = () if raw == [name] else tuple(raw)
        scan = number_scan(raw[0])
        counts: collections.Counter[str] = collections.Counter()
        column: Column | None = None
        declared = self._config.columns.get(name)
        is_inferred = declared is None or declared == "ignore"
        if is_inferred:
            declared = yield from self._inferred(raw[0], scan, counts, diagnostics)
        match declared:
            case CrossColumnConfig():
                return (yield from self._cross(name, declared))
            case NumberColumnConfig(size=None):
                begun = scan if is_inferred else None
                column, scan = yield from fit_number(
                    declared, cells, raw[0], rows, diagnostics, begun
                )
                if column is not None and scan.proves(column, len(cells)):
                    self.proven.add(name)
            case NumberColumnConfig():
                column = yield from fit_vector(
                    declared, cells, raw[0], rows, diagnostics
                )
            case CategoryColumnConfig():
                vocabulary = yield from self._vocabulary(name, declared)
                if declared.shared is not None and declared.missing is None:
                    declared = declared.model_copy(update={"missing": "own"})
                if not counts:
                    yield counted_texts(raw[0], counts)
                column = yield from fit_category(
                    declared, cells, raw[0], counts, vocabulary, diagnostics
                )
                if column is not None and column.takes_all:
                    self.proven.add(name)
            case SetColumnConfig() | TextColumnConfig():
                items = yield from self._counts(name, declared, diagnostics)
                if items is not None:
                    vocabulary = yield from self._vocabulary(name, declared)
                    if declared.shared is not None and declared.missing is None:
                        declared = declared.model_copy(update={"missing": "own"})
                    return fit_set(declared, items, vocabulary, sources)
            case DateColumnConfig():
                column = yield from fit_date(declared, cells, raw[0], rows, diagnostics)
            case ImageColumnConfig():
                is_folder = self._config.format == "folder"
                key = "data" if is_folder else f"data.columns.{name}"
                column = fit_image(declared, cells, raw[0], rows, diagnostics, key=key)
        return column and dataclasses.replace(column, sources=sources)

    def _inferred(
        self,
        raw: str,
        scan: NumberScan,
        counts: "collections.Counter[str]",
        diagnostics: list[Diagnostic],
    ) -> Fit[Any]:
        """The inferred declaration of a column; None after an error."""
        kind = yield from inferred_feature_kind(
            self._cells, raw, self._rows, scan, counts
        )
        if isinstance(kind, list):
            diagnostics += kind
            return None
        return _INFERRED[kind]()

    def _counts(
        self,
        name: str,
        declared: SetColumnConfig | TextColumnConfig,
        diagnostics: list[Diagnostic],
    ) -> Fit[Any]:
        raw = self._config.raw_columns(name)
        unfitted = unfitted_set(declared, () if raw == [name] else tuple(raw))
        return (yield from item_counts(unfitted, self._cells, name, diagnostics))

    def _vocabulary(self, name: str, declared: Any) -> Fit[Sequence[str] | None]:
        """The vocabulary of a file, of columns that share one, or as declared."""
        if declared.vocabulary_file is not None:
            return _vocabulary_of_file(name, declared, self._problems(name))
        if declared.shared is None or declared.vocabulary is not None:
            return declared.vocabulary
        if declared.hash_buckets is not None or getattr(declared, "identity", None):
            return None
        counts: collections.Counter[str] = collections.Counter()
        for other, settings in self._config.columns.items():
            if getattr(settings, "shared", None) != declared.shared:
                continue
            if isinstance(settings, CategoryColumnConfig):
                yield counted_texts(self._config.raw_columns(other)[0], counts)
            elif isinstance(settings, SetColumnConfig | TextColumnConfig):
                problems = self._problems(name)
                items = yield from self._counts(other, settings, problems)
                counts.update({} if items is None else items.texts)
        column = CategoryColumn.fit(
            counts,
            min_count=declared.min_count,
            max_size=declared.max_size,
            missing_texts=getattr(declared, "missing_texts", ()),
        )
        return column.vocabulary

    def _cross(self, name: str, declared: CrossColumnConfig) -> Fit[CrossColumn | None]:
        """Fits a cross, after its parts."""
        before = len(self.diagnostics)
        parts: list[CrossPart] = []
        for part in declared.of:
            parts += yield from self._parts(part, name)
        if len(self.diagnostics) > before or not parts:
            return None
        if any(self._fitted.get(part, name) is None for part in declared.of):
            return None
        missing = declared.missing or (
            "own" if declared.encoding == "embedding" else "none"
        )
        key = declared.hash_key
        cross = CrossColumn(
            parts=tuple(parts),
            buckets=declared.hash_buckets,
            hash_key=key or HASH_KEY,
            missing=missing,
            encoding=declared.encoding,
            embedding_size=declared.embedding_size,
            combiner=declared.combiner,
            max_norm=declared.max_norm,
        )
        if not any(isinstance(part.column, SetColumn) for part in parts):
            return cross
        problems, longest = PartProblems(cross.sources[0]), 1

        def add(first: int, part: TableCells, inside: Rows) -> None:
            nonlocal longest
            raw = [part.raw(source, inside) for source in cross.sources]
            parsed, bad = cross.parse(raw, self._cells.missing)
            problems.add(first, inside, bad)
            if not problems:
                lengths = cross.indices(parsed).lengths
                longest = max(longest, int(lengths.max(initial=0)))

        yield RowsPass(cross.sources, add)
        if problems:
            self._problems(name).extend(problems.diagnostics(self._cells))
            return None
        return dataclasses.replace(
            cross, length=min(longest, declared.max_length or longest)
        )

    def _parts(self, name: str, cross: str) -> Fit[list[CrossPart]]:
        """Parts of a cross that a column makes: several if it is a cross itself."""
        declared = self._config.columns.get(name)
        if declared is None or declared == "ignore":
            return (yield from self._raw_part(name, cross))
        column = self.fitted(name)
        sources = tuple(self._config.raw_columns(name))
        if column is None:
            return []
        if isinstance(column, CrossColumn):
            return list(column.parts)
        buckets = "buckets or quantiles of it"
        if isinstance(column, NumberColumn) and column.edges is None:
            return self._no_part(name, cross, "a number", buckets)
        if isinstance(column, DateColumn) and (
            len(column.parts) != 1 or column.parts[0] not in PERIODS
        ):
            one = "one part of it, such as weekday"
            return self._no_part(name, cross, "a date", one)
        if not isinstance(column, Indexed):
            return self._no_part(name, cross, "a vector", "a category or buckets")
        column = dataclasses.replace(column, sources=sources[:1])
        # Hashing an index that is a hash already would add collisions.
        hashed = getattr(declared, "hash_buckets", None) is not None
        return [CrossPart("text" if hashed else "index", column)]

    def _raw_part(self, name: str, cross: str) -> Fit[list[CrossPart]]:
        """The texts of a column of the files, or its integers."""
        text = CategoryColumn(sources=(name,), missing="none")
        kind: Any = yield from inferred_special_kind(self._cells, name)
        if kind == "set":
            items = dataclasses.replace(text, sources=())
            return [CrossPart("text", SetColumn(items=items, sources=(name,)))]
        if kind is None:
            kind = yield from inferred_kind(self._cells, name, self._rows)
        if kind != "number":
            return [CrossPart("text", text)]
        has_fractions = False

        def look(first: int, part: TableCells, inside: Rows) -> bool:
            nonlocal has_fractions
            numbers = training_numbers(part.numbers(name)[0], inside)
            present = numbers[~np.isnan(numbers)]
            has_fractions = bool((present != np.rint(present)).any())
            return has_fractions

        yield RowsPass([name], look)
        if has_fractions:
            self._no_part(name, cross, "a number", "buckets or quantiles of it")
        missing = dataclasses.replace(text, missing_texts=self._cells.missing[1:])
        return [CrossPart("integer", missing)]

    def _no_part(
        self, name: str, cross: str, what: str, instead: str
    ) -> list[CrossPart]:
        self._problems(cross).append(
            Diagnostic(
                f"data.columns.{name}",
                f"is {what}, and a part of a cross",
                expected=f"in a cross, {instead}",
                hint=f"Declare a further column with column: {name}.",
                code="table-kind",
            )
        )
        return []


def _vocabulary_of_file(
    name: str, declared: Any, diagnostics: list[Diagnostic]
) -> list[str]:
    """Categories of the lines of a file."""
    key = f"data.columns.{name}.vocabulary_file"
    path = expanded(declared.vocabulary_file, key)
    problem = hint = ""
    lines: list[str] = []
    try:
        content = path.read_bytes()
        if (other := other_encoding([content])) is None:
            lines = content.decode("utf-8-sig").splitlines()
        else:
            place = path if other.line is None else f"{path}:{other.line}"
            problem, hint = f"{place}: {other.problem}", other.hint(str(path))
    except OSError as error:
        problem = f"{path} cannot be read: {error}"
    words = [line for line in lines if line][: declared.max_size]
    if not problem and not words:
        problem = f"{path} has no line"
    if len(set(words)) < len(words):
        twice = collections.Counter(words).most_common(1)[0][0]
        problem = f"{path} has the line {twice!r} twice"
    if problem:
        expected = "a text file with a different category on each line"
        diagnostics.append(
            Diagnostic(key, problem, expected=expected, hint=hint, code="table-kind")
        )
    return words
