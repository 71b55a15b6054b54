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
from specflow.config.sections.table import TableConfig
from specflow.config.sections.table_columns import (
    CategoryColumnConfig,
    CrossColumnConfig,
    DateColumnConfig,
    NumberColumnConfig,
    SetColumnConfig,
    TextColumnConfig,
)
from specflow.data.table.column_kinds import inferred_kind, inferred_special_kind
from specflow.data.table.fit_features import (
    cell_problems,
    fit_category,
    fit_date,
    fit_number,
    fit_set,
    fit_vector,
    item_counts,
    unfitted_set,
)
from specflow.data.table.table_cells import TableCells
from specflow.diagnostics.errors import Diagnostic
from specflow.runtime.filesystem import expanded

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
        self.diagnostics: list[Diagnostic] = []
        """What is wrong with the columns so far."""

    def fitted(self, name: str) -> Column | None:
        """The fitted column; None after an error.

        Args:
            name: key of a declared column, or a column of the files.
        """
        if name not in self._fitted:
            self._fitted[name] = self._fit(name)
        return self._fitted[name]

    def _fit(self, name: str) -> Column | None:
        cells, rows, diagnostics = self._cells, self._rows, self.diagnostics
        raw = self._config.raw_columns(name)
        sources = () if raw == [name] else tuple(raw)
        column: Column | None = None
        match declared := self._declared(name, raw[0]):
            case CrossColumnConfig():
                return self._cross(declared)
            case NumberColumnConfig():
                fit = fit_number if declared.size is None else fit_vector
                column = fit(declared, cells, raw[0], rows, diagnostics)
            case CategoryColumnConfig():
                vocabulary = self._vocabulary(name, declared)
                if declared.shared is not None and declared.missing is None:
                    declared = declared.model_copy(update={"missing": "own"})
                column = fit_category(
                    declared, cells, raw[0], rows, vocabulary, diagnostics
                )
            case SetColumnConfig() | TextColumnConfig():
                counts = self._counts(name, declared)
                if counts is not None:
                    vocabulary = self._vocabulary(name, declared)
                    if declared.shared is not None and declared.missing is None:
                        declared = declared.model_copy(update={"missing": "own"})
                    return fit_set(declared, counts, vocabulary, sources)
            case DateColumnConfig():
                column = fit_date(declared, cells, raw[0], rows, diagnostics)
        return column and dataclasses.replace(column, sources=sources)

    def _declared(self, name: str, raw: str) -> Any:
        """The declaration of a column, or the inferred one; None after an error."""
        declared = self._config.columns.get(name)
        if declared is not None and declared != "ignore":
            return declared
        kind = inferred_special_kind(self._cells, raw, self._rows)
        kind = kind or inferred_kind(self._cells, raw, self._rows)
        if isinstance(kind, list):
            self.diagnostics += kind
            return None
        return _INFERRED[kind]()

    def _counts(self, name: str, declared: SetColumnConfig | TextColumnConfig) -> Any:
        raw = self._config.raw_columns(name)
        sources = () if raw == [name] else tuple(raw)
        unfitted = unfitted_set(declared, sources)
        return item_counts(unfitted, self._cells, name, self._rows, self.diagnostics)

    def _vocabulary(self, name: str, declared: Any) -> Sequence[str] | None:
        """The vocabulary of a file, of columns that share one, or as declared."""
        if declared.vocabulary_file is not None:
            return self._vocabulary_of_file(name, declared)
        if declared.shared is None or declared.vocabulary is not None:
            return declared.vocabulary
        if declared.hash_buckets is not None or getattr(declared, "identity", None):
            return None
        counts: collections.Counter[str] = collections.Counter()
        for other, settings in self._config.columns.items():
            if getattr(settings, "shared", None) != declared.shared:
                continue
            if isinstance(settings, CategoryColumnConfig):
                texts = self._cells.texts(self._config.raw_columns(other)[0])
                counts.update(texts.take(self._rows).counts())
            elif isinstance(settings, SetColumnConfig | TextColumnConfig):
                items = self._counts(other, settings)
                counts.update({} if items is None else items.texts)
        column = CategoryColumn.fit(
            counts,
            min_count=declared.min_count,
            max_size=declared.max_size,
            missing_texts=getattr(declared, "missing_texts", ()),
        )
        return column.vocabulary

    def _vocabulary_of_file(self, name: str, declared: Any) -> list[str]:
        key = f"data.columns.{name}.vocabulary_file"
        path = expanded(declared.vocabulary_file, key)
        problem = ""
        lines: list[str] = []
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            problem = f"{path} cannot be read: {error}"
        words = [line for line in lines if line][: declared.max_size]
        if not problem and not words:
            problem = f"{path} has no line"
        if len(set(words)) < len(words):
            twice = collections.Counter(words).most_common(1)[0][0]
            problem = f"{path} has the line {twice!r} twice"
        if problem:
            expected = "a text file with a different category on each line"
            self.diagnostics.append(
                Diagnostic(key, problem, expected=expected, code="table-kind")
            )
        return words

    def _cross(self, declared: CrossColumnConfig) -> CrossColumn | None:
        """Fits a cross, after its parts."""
        before = len(self.diagnostics)
        parts = [part for name in declared.of for part in self._parts(name)]
        if len(self.diagnostics) > before or not parts:
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
        raw = [self._cells.raw(name, self._rows) for name in cross.sources]
        parsed, problems = cross.parse(raw, self._cells.missing)
        if problems:
            name = cross.sources[0]
            self.diagnostics += cell_problems(self._cells, name, self._rows, problems)
            return None
        longest = max(1, int(cross.indices(parsed).lengths.max(initial=0)))
        return dataclasses.replace(
            cross, length=min(longest, declared.max_length or longest)
        )

    def _parts(self, name: str) -> list[CrossPart]:
        """Parts of a cross that a column makes: several if it is a cross itself."""
        declared = self._config.columns.get(name)
        if declared is None or declared == "ignore":
            return [self._raw_part(name)]
        column = self.fitted(name)
        sources = tuple(self._config.raw_columns(name))
        if column is None:
            return []
        if isinstance(column, CrossColumn):
            return list(column.parts)
        if isinstance(column, NumberColumn) and column.edges is None:
            return self._no_part(name, "a number", "buckets or quantiles of it")
        if isinstance(column, DateColumn) and (
            len(column.parts) != 1 or column.parts[0] not in PERIODS
        ):
            return self._no_part(name, "a date", "one part of it, such as weekday")
        if not isinstance(column, Indexed):
            return self._no_part(name, "a vector", "a category or buckets")
        column = dataclasses.replace(column, sources=sources[:1])
        # Hashing an index that is a hash already would add collisions.
        hashed = getattr(declared, "hash_buckets", None) is not None
        return [CrossPart("text" if hashed else "index", column)]

    def _raw_part(self, name: str) -> CrossPart:
        """The texts of a column of the files, or its integers."""
        text = CategoryColumn(sources=(name,), missing="none")
        kind = inferred_special_kind(self._cells, name, self._rows)
        if kind == "set":
            items = dataclasses.replace(text, sources=())
            return CrossPart("text", SetColumn(items=items, sources=(name,)))
        kind = kind or inferred_kind(self._cells, name, self._rows)
        if kind == "number":
            numbers = self._cells.numbers(name)[0][self._rows]
            present = numbers[~np.isnan(numbers)]
            if (present != np.rint(present)).any():
                self._no_part(name, "a number", "buckets or quantiles of it")
            missing = dataclasses.replace(text, missing_texts=self._cells.missing[1:])
            return CrossPart("integer", missing)
        return CrossPart("text", text)

    def _no_part(self, name: str, what: str, instead: str) -> list[CrossPart]:
        self.diagnostics.append(
            Diagnostic(
                f"data.columns.{name}",
                f"is {what}, and a part of a cross",
                expected=f"in a cross, {instead}",
                hint=f"Declare a further column with column: {name}.",
                code="table-kind",
            )
        )
        return []
