"""What could be changed in an experiment that does not fit, and which of it does."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, get_args

from specflow.config.sections.mesh import BATCH_AXES

__all__ = ["Change", "changes", "nearest", "times_smaller", "together"]

Change: TypeAlias = tuple[str, ...]
"""Overrides that are made at once."""

_REMAT = ("none", "dots", "dots_with_no_batch_dims", "full")
"""Less and less is kept for the backward pass."""
_TENSOR = (2, 4, 8)


def changes(
    config: Any, mesh: Mapping[str, int], *, short: Sequence[str]
) -> list[list[Change]]:
    """Ways to need less: in each, one thing is changed, by more and more.

    What leaves the training what it is comes first: another remat policy, smaller
    micro-steps, another cut of the arrays. Then types and sizes.

    Args:
        config: the experiment.
        mesh: size of each axis, as it was laid out.
        short: the modes that do not fit.
    """
    axes = [[change] for change in _axes(config, mesh)]
    if "train" in short:
        ways = [
            [*_remat(config)],
            [*_micro_steps(config, mesh)],
            *axes,
            [*_dtype(config)],
            [*_smaller(config, mesh, "batch_size", (2, 4, 8))],
        ]
    else:
        sizes = _smaller(config, mesh, "eval_batch_size", (2, 4, 8, 16, 32))
        ways = [[*sizes], *axes, [*_dtype(config)]]
    return [way for way in ways if way]


def nearest(
    way: Sequence[Change], needs: Callable[[Change], int | None]
) -> tuple[Change, int] | None:
    """The smallest change of one way that fits, and what it needs; None if none does.

    The largest is tried first: where it does not fit, none of the others does. From
    there on the distance is halved.

    Args:
        way: changes that need less and less.
        needs: bytes, if a change fits; None if it does not, or cannot be tried.

    >>> nearest([("a=2",), ("a=4",), ("a=8",)], {("a=4",): 6, ("a=8",): 3}.get)
    (('a=4',), 6)
    """
    found, low, high = needs(way[-1]), 0, len(way) - 1
    if found is None:
        return None
    best = way[-1], found
    while low < high:
        middle = (low + high) // 2
        found = needs(way[middle])
        if found is None:
            low = middle + 1
        else:
            best, high = (way[middle], found), middle
    return best


def together(ways: Sequence[Sequence[Change]]) -> Iterator[Change]:
    """The largest changes of several ways at once: of two, of three, and so on.

    >>> list(together([[("a=1",), ("a=2",)], [("b=1",)], [("a=9",)]]))
    [('a=2', 'b=1')]
    """
    made: Change = ()
    for way in ways:
        keys = {one.partition("=")[0] for one in made}
        if keys.isdisjoint(one.partition("=")[0] for one in way[-1]):
            made = (*made, *way[-1])
            if len(made) > len(way[-1]):
                yield made


def times_smaller(change: Change, config: Any) -> float:
    """How many times smaller a change makes what a step makes, at the best.

    Infinity where nobody knows before the compiler.
    """
    field, _, value = change[0].partition("=")
    if len(change) == 1 and field == "loop.micro_steps":
        return int(value) / config.loop.micro_steps
    if len(change) == 1 and field == "loop.batch_size":
        return config.loop.batch_size / int(value)
    return math.inf


def _remat(config: Any) -> Iterator[Change]:
    now = getattr(config.model, "remat", None)
    if now not in _REMAT:
        return
    allowed = get_args(type(config.model).model_fields["remat"].annotation)
    for policy in _REMAT[_REMAT.index(now) + 1 :]:
        if policy in allowed:
            yield (f"model.remat={policy}",)


def _micro_steps(config: Any, mesh: Mapping[str, int]) -> Iterator[Change]:
    for times in (2, 4, 8):
        parts = config.loop.micro_steps * times
        if _divides(config.loop.batch_size, mesh, parts):
            yield (f"loop.micro_steps={parts}",)


def _axes(config: Any, mesh: Mapping[str, int]) -> Iterator[Change]:
    if mesh["data"] > 1 and not getattr(config.mesh, "slices", None):
        yield ("mesh.axes.data=1", "mesh.axes.fsdp=-1")
    for size in _TENSOR:
        if mesh["tensor"] >= size or mesh["fsdp"] % size:
            continue
        fsdp = mesh["fsdp"] * mesh["tensor"] // size
        yield (f"mesh.axes.tensor={size}", f"mesh.axes.fsdp={fsdp}")


def _dtype(config: Any) -> Iterator[Change]:
    own = getattr(config.model, "dtype", None)
    if own == "float32":
        yield ("model.dtype=bfloat16",)
    elif own is None and config.loop.compute_dtype in (None, "float32"):
        yield ("loop.compute_dtype=bfloat16",)


def _smaller(
    config: Any, mesh: Mapping[str, int], field: str, parts: Sequence[int]
) -> Iterator[Change]:
    size = getattr(config.loop, field)
    for times in parts:
        if _divides(size, mesh, times):
            yield (f"loop.{field}={size // times}",)


def _divides(size: int, mesh: Mapping[str, int], times: int) -> bool:
    parts = times
    for axis in BATCH_AXES:
        parts *= mesh[axis]
    return size % parts == 0
