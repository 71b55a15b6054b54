"""The data of an experiment: rows to train on, and rows to evaluate on."""

import dataclasses
from collections.abc import Callable, Mapping

from specflow.columns import FittedColumns, TokenizerFile
from specflow.data.array_tree import named_leaves
from specflow.data.data_files import DataFiles
from specflow.data.joined_source import JoinedSource
from specflow.data.source import Source
from specflow.diagnostics.errors import DataError, Diagnostic, did_you_mean, nearest
from specflow.runtime.typing import describe

__all__ = ["PARTS", "Data"]

PARTS = ("train", "eval")
"""Splits that all data has."""
_SPLITS = (*PARTS, "test")


@dataclasses.dataclass(frozen=True, slots=True)
class Data:
    """The data of an experiment: rows to train on and rows to evaluate on.

    Raises:
        DataError: the two do not have the same arrays.
    """

    train: Source
    eval: Source
    shuffle: bool = True
    """Training reads its rows in a new order every epoch."""
    needs_labels: bool = True
    """Rows to evaluate must have labels; rows to predict need none."""
    sets: Mapping[str, Source] = dataclasses.field(default_factory=dict)
    """Further rows to evaluate on, reported apart, by name."""
    make_test: Callable[[], Source] | None = None
    """Reads the test split, which nothing else does; None: there is none."""
    columns: FittedColumns | None = None
    """Fitted columns of a table; of records, those of the labels; None: other data."""
    vocabulary: int | None = None
    """Number of tokens of texts; None: it is not known."""
    tokenizer: TokenizerFile | None = None
    """Makes the tokens of texts; None: they are bytes, or other data."""
    part_tokenizers: Mapping[str, TokenizerFile] = dataclasses.field(
        default_factory=dict
    )
    """Part of a mixture -> the tokenizer of its texts, where it has one."""
    files: DataFiles = dataclasses.field(default_factory=DataFiles)
    """Digests of the files that are read, but for those of test rows."""

    def __post_init__(self) -> None:
        others = {"eval data": self.eval}
        others |= {f"evaluation set {name}": rows for name, rows in self.sets.items()}
        diagnostics = [
            diagnostic
            for where, rows in others.items()
            for diagnostic in self._differences(where, rows)
        ]
        diagnostics += [
            Diagnostic(
                f"data.eval_sets.{name}",
                "has the name of a split",
                expected=f"a name other than {', '.join(_SPLITS)}",
                code="rule",
            )
            for name in self.sets
            if name in _SPLITS
        ]
        if diagnostics:
            raise DataError(*diagnostics)

    def _differences(self, where: str, rows: Source) -> list[Diagnostic]:
        """Compares the arrays of some rows with those of the training rows."""
        train, held = (
            {path: describe(row) for path, row in named_leaves(*source.spec())}
            for source in (self.train, rows)
        )
        return [
            Diagnostic(
                f"{where}, {path}",
                f"a row is {held[path]}" if path in held else "is missing",
                expected=f"{train[path]}, as in the training data"
                if path in train
                else "no such array, as in the training data",
                code="data-differs",
            )
            for path in sorted(train.keys() | held.keys())
            if train.get(path) != held.get(path)
            and (self.needs_labels or path in held or not _is_label(path))
        ]

    def tokenizer_files(self) -> dict[str, TokenizerFile]:
        """Name of the copy that a run and its export have -> each tokenizer."""
        parts = {f".{part}": each for part, each in self.part_tokenizers.items()}
        own = {} if self.tokenizer is None else {"": self.tokenizer}
        return {
            f"tokenizer{part}{each.suffix}": each
            for part, each in {**own, **parts}.items()
        }

    def evaluated(self) -> dict[str, Source]:
        """All rows to evaluate on while training: those of `eval`, then the sets."""
        return {"eval": self.eval, **self.sets}

    @property
    def eval_parts(self) -> tuple[str, ...]:
        """Names of the sets that are the parts of the rows of `eval`; empty: none."""
        parts = self.eval.parts if isinstance(self.eval, JoinedSource) else {}
        are_sets = all(self.sets.get(name) is part for name, part in parts.items())
        return tuple(parts) if are_sets else ()

    def split(self, name: str) -> Source:
        """Rows of a split, in their own order.

        Args:
            name: `train`, `eval`, `test`, or the name of an evaluation set.

        Raises:
            DataError: there is no such split.
        """
        known = {"train": self.train, **self.evaluated()}
        if name in known:
            return known[name]
        if name != "test":
            names = [*known, *(["test"] if self.make_test is not None else [])]
            raise DataError(
                Diagnostic(
                    f"--split {name}",
                    "this data has no such split or evaluation set",
                    expected=f"one of {', '.join(names)}",
                    hint=did_you_mean(nearest(name, names)),
                    origin="command line",
                    code="data-empty",
                )
            )
        if self.make_test is None:
            raise DataError(
                Diagnostic(
                    "--split test",
                    "this data has no test split",
                    expected="train or eval",
                    hint="data=table declares one: data.split.test=0.1.",
                    origin="command line",
                    code="data-empty",
                )
            )
        return self.make_test()


def _is_label(path: str) -> bool:
    return path.partition(".")[0] == "labels"
