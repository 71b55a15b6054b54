"""The parts of a mixture as a table."""

import dataclasses
from typing import Any

from specflow.data import Data, MixtureSource

__all__ = ["mixture_json", "mixture_note", "mixture_rows"]


def mixture_rows(data: Data) -> list[tuple[str, ...]]:
    """A header, and a row for each part; empty if the data is no mixture."""
    if not isinstance(data.train, MixtureSource):
        return []
    return [
        ("part", "rows", "share", "epochs of the part per epoch"),
        *(
            (name, f"{part.rows:,}", f"{part.share:.6g}", f"{part.epochs:.4g}")
            for name, part in data.train.shares().items()
        ),
    ]


def mixture_note(data: Data) -> str | None:
    """A line with the shares and the epoch; None if the data is no mixture."""
    if not isinstance(data.train, MixtureSource):
        return None
    parts = [
        f"{name} {part.share:.4g} ({part.rows:,} rows)"
        for name, part in data.train.shares().items()
    ]
    return f"mixture of {', '.join(parts)}; an epoch has {data.train.epoch_rows:,} rows"


def mixture_json(data: Data) -> dict[str, Any] | None:
    """Rows of an epoch, and rows, share and epochs of each part."""
    if not isinstance(data.train, MixtureSource):
        return None
    shares = data.train.shares().items()
    parts = {name: dataclasses.asdict(part) for name, part in shares}
    return {"epoch_rows": data.train.epoch_rows, "parts": parts}
