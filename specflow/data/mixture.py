"""A mixture of several sources, of which every prefix has the declared shares."""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Literal, Self

import numpy as np
import xxhash

from specflow.data.input_kinds import as_source
from specflow.data.joined_source import JoinedSource
from specflow.data.part_order import PartOrder, exact_weight, whole_weights
from specflow.data.row_order import (
    RowIds,
    RowOrder,
    epoch_rows,
    order_of,
    stream_rows,
)
from specflow.diagnostics.errors import DataError, Diagnostic
from specflow.runtime.typing import describe

__all__ = [
    "Epoch",
    "MixtureSource",
    "PartShare",
    "mixture_epoch",
    "mixture_weights",
]

Epoch = Literal["first_exhausted", "all_exhausted"]
"""End of an epoch: before a part gives a row twice, or once all gave every row."""


@dataclasses.dataclass(frozen=True, slots=True)
class PartShare:
    """A part of a mixture in numbers."""

    rows: int
    """Number of its rows."""
    share: float
    """Its share of the rows of the stream, in (0, 1]."""
    epochs: float
    """Times that an epoch of the mixture has each of its rows, on average."""


class MixtureSource(JoinedSource):
    """Rows of several sources, the parts, mixed by weights into one endless stream.

    In the first n rows of the stream a part of weight w, a share of all weights, has
    n * w rows to within less than one. Each part gives its own rows epoch after epoch,
    in an order of its own, which depends on the seed and the part's name: another part
    changes nothing in it. So the rows of a step depend on neither the steps before it,
    nor processes, nor where a run was resumed.

    `len`, `take` and `column` have all rows of the parts, in order.

    Args:
        parts: name -> a `Source`, or arrays as an `input_fn` returns them.
        weights: name -> number above 0, of all parts; None: the number of rows of each
            part, or its root by `temperature`.
        temperature: t: without weights a part of r rows has the weight r ** (1 / t). 1:
            shares of the rows; larger: closer to equal shares.
        limit: without weights, the largest r that is counted; None: any.
        epoch: what `loop.epochs`, or `max_epochs`, counts: `first_exhausted` is the
            longest prefix in which no part gives a row twice, `all_exhausted` the
            shortest after which every row of every part was given.
        shuffle: name -> False for parts whose rows stay in their own order.

    Raises:
        DataError: a part is no source, weights are missing or not above 0, or rows of
            the parts differ.

    >>> mixed = MixtureSource(
    ...     {"a": np.arange(10), "b": np.arange(100, 104)}, weights={"a": 3, "b": 1}
    ... )
    >>> rows = stream_rows(mixed.row_order(0, shuffle=False), mixed.epoch_rows, 0, 8)
    >>> mixed.take(rows)[0].tolist()
    [0, 1, 100, 2, 3, 4, 101, 5]
    """

    def __init__(
        self,
        parts: Mapping[str, Any],
        *,
        weights: Mapping[str, float] | None = None,
        temperature: float = 1.0,
        limit: int | None = None,
        epoch: Epoch = "first_exhausted",
        shuffle: Mapping[str, bool] | None = None,
    ):
        super().__init__({name: _source(name, part) for name, part in parts.items()})
        sizes = {name: epoch_rows(source) for name, source in self.parts.items()}
        whole = mixture_weights(sizes, weights, temperature=temperature, limit=limit)
        self.part_order = PartOrder(whole)
        self.epoch_rows = mixture_epoch([*sizes.values()], whole, epoch)
        """Rows of an epoch."""
        self._shuffle = shuffle or {}

    @property
    def weights(self) -> dict[str, Fraction]:
        """Share of each part in the stream; their sum is 1."""
        order = self.part_order
        return {
            name: Fraction(weight, order.period)
            for name, weight in zip(self.parts, order.weights.tolist(), strict=True)
        }

    def shares(self) -> dict[str, PartShare]:
        """Rows, share and epochs of each part."""
        shares: dict[str, PartShare] = {}
        for name, weight in self.weights.items():
            rows = epoch_rows(self.parts[name])
            epochs = float(self.epoch_rows * weight / rows)
            shares[name] = PartShare(rows, float(weight), epochs)
        return shares

    def row_order(self, seed: int, *, shuffle: bool) -> RowOrder:
        """The order of training."""
        orders = {
            name: order_of(
                source,
                _seed_of(seed, name),
                shuffle=shuffle and self._shuffle.get(name, True),
            )
            for name, source in self.parts.items()
        }
        return _MixtureOrder(self, orders)


@dataclasses.dataclass(frozen=True, slots=True)
class _Origin:
    """The row of the stream since which the parts have their weights."""

    row: int = 0
    given: tuple[int, ...] = ()
    """Rows that each part gave before it."""


class _MixtureOrder:
    """Rows of a mixture, by their position in the stream.

    Args:
        source: the mixture.
        orders: name -> order of the rows of a part.
        origin: of the weights.
    """

    def __init__(
        self,
        source: MixtureSource,
        orders: Mapping[str, RowOrder],
        origin: _Origin | None = None,
    ):
        self._source, self._orders = source, orders
        self._origin = origin or _Origin(0, (0,) * len(orders))
        self._streams = [
            functools.partial(stream_rows, order, epoch_rows(part))
            for order, part in zip(orders.values(), source.parts.values(), strict=True)
        ]

    def rows(self, epoch: int, start: int, stop: int) -> RowIds:
        """Row numbers at some positions of an epoch."""
        size, begin = self._source.epoch_rows, self._origin.row
        first, last = epoch * size + start, epoch * size + min(stop, size)
        # Rows before the weights were changed are never used: a chunk begins there.
        rows = np.zeros(max(0, last - first), np.int64)
        from_row = max(first, begin)
        if from_row >= last:
            return rows
        parts, places = self._source.part_order.at(from_row - begin, last - begin)
        taken = rows[from_row - first :]
        for part in np.unique(parts).tolist():
            mine = np.flatnonzero(parts == part)
            given = self._origin.given[part] + int(places[mine[0]])
            own = self._streams[part](given, given + len(mine))
            taken[mine] = own + self._source.firsts[part]
        return rows

    def part_rows(self, rows: int) -> dict[str, int]:
        """Part -> how many of the first rows of the stream are its."""
        since = max(0, rows - self._origin.row)
        counts = self._source.part_order.counts(since) + self._origin.given
        return dict(zip(self._orders, counts.tolist(), strict=True))

    def place(self, rows: int) -> dict[str, Any]:
        """The state that a checkpoint keeps: rows of each part, and since when."""
        origin = self._origin
        return {
            "parts": self.part_rows(rows),
            "mixture": {
                "row": origin.row,
                "given": dict(zip(self._orders, origin.given, strict=True)),
                "weights": self._weights(),
            },
        }

    def resumed(self, place: Mapping[str, Any]) -> Self:
        """The order that continues from a checkpoint.

        Where the weights or the parts have changed, each part continues after the rows
        that it gave, and the shares are exact from the checkpoint on.
        """
        mixture = place.get("mixture")
        if mixture is None or place.get("ended"):
            return self
        row, given = mixture["row"], mixture["given"]
        if mixture["weights"] != self._weights():
            row, given = place["rows"], place["parts"]
        before = tuple(given.get(name, 0) for name in self._orders)
        return type(self)(self._source, self._orders, _Origin(row, before))

    def _weights(self) -> dict[str, int]:
        weights = self._source.part_order.weights.tolist()
        return dict(zip(self._orders, weights, strict=True))


def mixture_weights(
    sizes: Mapping[str, int],
    weights: Mapping[str, float] | None = None,
    *,
    temperature: float = 1.0,
    limit: int | None = None,
) -> list[int]:
    """Whole weights of the parts of a mixture.

    Args:
        sizes: name -> number of rows of a part.
        weights: see `MixtureSource`.
        temperature: likewise.
        limit: likewise.

    Raises:
        DataError: weights are missing, of no part, or not above 0.

    >>> mixture_weights({"a": 300, "b": 100}), mixture_weights(
    ...     {"a": 400, "b": 100}, temperature=2.0
    ... )
    ([3, 1], [2, 1])
    """
    if weights is not None:
        return whole_weights(_checked_weights(sizes, weights))
    if not temperature > 0:
        raise DataError(
            Diagnostic(
                "temperature",
                f"is {temperature}",
                expected="a number above 0",
                code="rule",
            )
        )
    counted = [min(rows, limit or rows) for rows in sizes.values()]
    if temperature == 1.0:
        return whole_weights([Fraction(rows) for rows in counted])
    # By the largest: a small temperature overflows otherwise.
    largest = max(counted)
    roots = [(rows / largest) ** (1.0 / temperature) for rows in counted]
    return whole_weights([max(Fraction(root), Fraction(1, 1 << 20)) for root in roots])


def mixture_epoch(sizes: Sequence[int], weights: Sequence[int], epoch: Epoch) -> int:
    """Rows of an epoch of a mixture, at least 1.

    A part that gives n rows of its own in about n / w rows of the stream is ahead or
    behind by less than one row: the bounds need no count.

    Args:
        sizes: number of rows of each part.
        weights: whole weight of each part.
        epoch: which epoch.

    >>> mixture_epoch([700, 100], [7, 3], "first_exhausted")
    333
    >>> mixture_epoch([700, 100], [7, 3], "all_exhausted")
    1000
    """
    total = sum(weights)
    lengths = [
        Fraction(size * total, weight)
        for size, weight in zip(sizes, weights, strict=True)
    ]
    if epoch == "first_exhausted":
        return max(1, math.floor(min(lengths)))
    return math.ceil(max(lengths))


def _checked_weights(
    sizes: Mapping[str, int], weights: Mapping[str, float]
) -> list[Fraction]:
    diagnostics = [
        Diagnostic(
            f"weights.{name}",
            f"is {weights[name]}" if name in weights else "is missing",
            expected="a number above 0"
            if name in sizes
            else f"no such weight: there is no part {name}",
            code="rule",
        )
        for name in dict.fromkeys([*sizes, *weights])
        if name not in sizes
        or name not in weights
        or not (weights[name] > 0 and math.isfinite(weights[name]))
    ]
    if diagnostics:
        raise DataError(*diagnostics)
    return [exact_weight(weights[name]) for name in sizes]


def _source(name: str, value: Any) -> Any:
    source = as_source(value, origin=f"part {name}")
    if source is None:
        raise DataError(
            Diagnostic(
                f"part {name}",
                f"is {describe(value)}",
                expected="a Source, or arrays as (features, labels)",
                code="input-form",
            )
        )
    return source


def _seed_of(seed: int, name: str) -> int:
    """The seed of a part's own order."""
    key = xxhash.xxh3_64_intdigest(name.encode())
    source = np.random.SeedSequence(seed, spawn_key=(key >> 32, key & 0xFFFFFFFF))
    return int(source.generate_state(1, np.uint64)[0])
