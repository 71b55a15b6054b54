"""Builds the sources of a section of records: their parts, splits and labels."""

import dataclasses
import functools
import hashlib
import importlib.util
import json
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from specflow.columns import FittedColumns
from specflow.config.sections.records import RecordsConfig
from specflow.data.data_files import DataFiles
from specflow.data.records.record_labels import record_labels
from specflow.data.records.record_source import RecordSource
from specflow.data.records.record_splits import record_splits
from specflow.data.records.records import Records
from specflow.data.records.resolved_fields import RecordRoles, resolved_fields
from specflow.data.source import Source
from specflow.data.table.row_splits import SPLITS, STABLE_RULES
from specflow.data.table.table_changes import changed_files, refused_changes
from specflow.diagnostics.errors import (
    ConfigError,
    DataError,
    Diagnostic,
    SpecflowWarning,
)
from specflow.runtime.typing import describe

__all__ = ["RecordData", "record_data"]

Rows = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True, slots=True)
class RecordData:
    """Sources of records, and what is known of their labels and files."""

    train: Source
    eval: Source
    sets: Mapping[str, Source]
    make_test: Callable[[], Source]
    """Reads the test rows, which nothing else does."""
    columns: FittedColumns
    """Labels and digests of the files; there are no columns of features."""
    files: DataFiles


def record_data(
    config: RecordsConfig,
    *,
    needs_labels: bool = True,
    needs_train: bool = True,
    fitted: FittedColumns | None = None,
    same_files: bool = False,
) -> RecordData:
    """Builds the sources of records.

    Args:
        config: the `data` section.
        needs_labels: rows to evaluate must have labels.
        needs_train: rows to train on are used; if not, and there are records to
            evaluate on, those replace them.
        fitted: labels and files of a run; None: they are those of the training rows.
        same_files: the files must be those of the run.

    Raises:
        ConfigError: a package is missing, or `build` returns no records.
        DataError: files, fields or records are wrong; as many problems as possible are
            reported at once.
    """
    _check_packages(config)
    builder = _Builder(
        config,
        fitted,
        needs_labels=needs_labels,
        needs_train=needs_train,
        same_files=same_files,
    )
    return builder.build()


class _Builder:
    """One call of `record_data`."""

    def __init__(
        self,
        config: RecordsConfig,
        fitted: FittedColumns | None,
        *,
        needs_labels: bool,
        needs_train: bool,
        same_files: bool,
    ):
        self._config, self._fitted = config, fitted
        self._needs_labels, self._same_files = needs_labels, same_files
        # Rows to evaluate without a part of their own are training records.
        self._needs_train = needs_train or not config.named("eval") or fitted is None
        self._roles: RecordRoles
        self._locks: dict[int, threading.Lock] = {}

    def build(self) -> RecordData:
        """Builds the sources."""
        config = self._config
        sets: Sequence[str] = list(getattr(config, "eval_sets", ()))
        names = [*(["train"] if self._needs_train else []), "eval", *sets]
        opened: dict[str, Records] = {}
        diagnostics: list[Diagnostic] = []
        for part in names:
            if config.named(part):
                try:
                    opened[part] = self._open(part)
                except DataError as error:
                    diagnostics += error.diagnostics
        if diagnostics:
            raise DataError(*dict.fromkeys(diagnostics))
        first = opened["train" if self._needs_train else "eval"]
        needs_labels = self._needs_labels or (
            self._needs_train and self._fitted is None
        )
        self._roles = resolved_fields(config, first, needs_labels=needs_labels)
        read = DataFiles.union(
            DataFiles(sets=records.files)
            if part in sets
            else DataFiles(rows=records.files)
            for part, records in opened.items()
        )
        files = read.rows
        rows: dict[str, Rows | None] = {"train": None, "eval": None, "test": None}
        if self._are_new(files):
            rows["train"] = None
        elif self._needs_train:
            rows |= self._split(opened["train"])
        sources = {
            part: self._source(records, rows.get(part), part)
            for part, records in opened.items()
        }
        sources.setdefault("eval", self._source(first, rows["eval"], "eval"))
        sources.setdefault("train", sources["eval"])
        columns = self._fitted or self._facts(sources["train"], sources["eval"], files)
        return RecordData(
            sources["train"],
            sources["eval"],
            {name: sources[name] for name in sets},
            functools.partial(self._test, opened.get("train"), rows["test"]),
            columns,
            read,
        )

    def _open(self, part: str) -> Records:
        """Opens the records of a part.

        Raises:
            ConfigError: `build` returned something else.
            DataError: there are none.
        """
        config = self._config
        records = config(part=part)
        if not isinstance(records, Records):
            raise ConfigError(
                Diagnostic(
                    "data",
                    f"{config.path} returned {describe(records)}",
                    expected="records: files, fields, read, place and a length",
                    code="target-result",
                )
            )
        if not len(records):
            raise DataError(
                Diagnostic(
                    config.key(part),
                    "has no records",
                    expected="at least one record",
                    code="data-empty",
                )
            )
        return records

    def _source(self, records: Records, rows: Rows | None, part: str) -> RecordSource:
        roles = self._roles
        if not self._needs_labels and part != "train":
            roles = dataclasses.replace(roles, labels={})
        content = {
            "files": dict(records.files),
            "part": part,
            "rows": None
            if rows is None
            else hashlib.sha256(rows.tobytes()).hexdigest(),
        }
        text = json.dumps(content, sort_keys=True)
        return RecordSource(
            records,
            rows,
            roles,
            origin=f"{part} records",
            digest=hashlib.sha256(text.encode()).hexdigest()[:32],
            lock=self._locks.setdefault(id(records), threading.Lock()),
        )

    def _test(self, train: Records | None, rows: Rows | None) -> Source:
        """The test rows: a part of the source, or training records held out."""
        config = self._config
        if config.named("test"):
            return self._source(self._open("test"), None, "test")
        if not config.split.test and config.split.by != "column":
            raise DataError(
                Diagnostic(
                    "--split test",
                    "this data has no test records",
                    expected=f"{config.key('test')}, or data.split.test",
                    origin="command line",
                    code="data-empty",
                )
            )
        if train is None:
            train = self._open("train")
            rows = self._split(train)["test"]
        return self._source(train, rows, "test")

    def _split(self, records: Records) -> dict[str, Rows | None]:
        """Rows of the parts that the training records are divided into."""
        config, split = self._config, self._config.split
        fractions = (
            0.0 if config.named("eval") else split.eval,
            0.0 if config.named("test") else split.test,
        )
        if not any(fractions) and split.folds is None:
            return {}
        size = len(records)
        numbers = record_splits(config, records, fractions)
        parts: dict[str, Rows | None] = {
            name: np.flatnonzero(numbers == number)
            for number, name in enumerate(SPLITS)
            if name == "train" or not config.named(name)
        }
        for name, fraction in zip(("train", "eval"), (1.0, fractions[0]), strict=True):
            chosen = parts.get(name)
            if (fraction or split.folds) and chosen is not None and not len(chosen):
                rule = f"split.eval={split.eval}, split.test={split.test}"
                if split.folds is not None:
                    rule = f"split.folds={split.folds}, fold={config.fold}"
                raise DataError(
                    Diagnostic(
                        "data.split",
                        f"{rule}, split.by={split.by} leaves no record of {size:,} "
                        f"for {name}",
                        expected="at least one record",
                        hint=f"Or name records of its own: {config.key('eval')}.",
                        code="data-empty",
                    )
                )
        return parts

    def _facts(
        self, train: RecordSource, evaluated: RecordSource, files: Mapping[str, str]
    ) -> FittedColumns:
        return FittedColumns(
            columns={},
            labels=record_labels(train, dict(self._roles.labels)),
            joined=False,
            files=dict(files),
            rows={"train": len(train), "eval": len(evaluated)},
        )

    def _are_new(self, files: Mapping[str, str]) -> bool:
        """Compares files with those of the run.

        Returns:
            True if the run has seen none of them: all of their records are evaluated.

        Raises:
            DataError: they have changed, and so has the split of a record.
        """
        if self._fitted is None:
            return False
        recorded = self._fitted.files
        now = dict(files)
        if not self._needs_train:  # Those of the training records were not opened.
            recorded = {k: v for k, v in recorded.items() if k in now}
        diagnostics = list(changed_files(recorded, now))
        if not diagnostics:
            return False
        if self._same_files:
            raise refused_changes(diagnostics)
        known = set(recorded) & set(now) or set(recorded.values()) & set(now.values())
        if not known:
            return True
        if self._needs_train and self._config.split.by not in STABLE_RULES:
            hint = (
                "Records that are held out change with the files. Use the files of the "
                "run, or files that it has not seen, which are all evaluated."
            )
            raise refused_changes(diagnostics, hint)
        for diagnostic in diagnostics:
            warnings.warn(SpecflowWarning(diagnostic), stacklevel=2)
        return False


def _check_packages(config: RecordsConfig) -> None:
    """Checks that the packages of a source are installed.

    Raises:
        ConfigError: one is missing.
    """
    missing = [
        Diagnostic(
            "data",
            f"{getattr(config, 'name', config.path)} needs the package {package}, "
            "which is not installed",
            hint=f"Run pip install '{config.requirement}'.",
            code="package-missing",
        )
        for package in config.packages
        if importlib.util.find_spec(package) is None
    ]
    if missing:
        raise ConfigError(*missing)
