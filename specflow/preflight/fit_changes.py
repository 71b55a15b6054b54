"""Changes that make an experiment smaller, and the search for one that fits."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, get_args

from specflow.config.sections.mesh import BATCH_AXES, axes_of

__all__ = ["Change", "changes", "nearest", "times_smaller", "together"]

Change: TypeAlias = tuple[str, ...]
"""Overrides that are applied together."""

_REMAT = ("none", "dots", "dots_with_no_batch_dims", "full")
"""Remat policies, by decreasing memory of the backward pass."""
_TENSOR = (2, 4, 8)


def changes(
    config: Any, mesh: Mapping[str, int], *, short: Sequence[str]
) -> list[list[Change]]:
    """Lists ways to need less memory: each changes one thing, by increasing amounts.

    Changes that keep the training equivalent come first: another remat policy, smaller
    micro-steps, other sharding. Then dtypes and sizes.

    Args:
        config: the experiment.
        mesh: size of each axis.
        short: modes that do not fit; `state` if the state alone is too large: other
            axes come first then, which alone make it smaller.
    """
    axes = [[change] for change in _axes(config, mesh)]
    is_state = "state" in short
    if is_state or "train" in short:
        ways = [
            *(axes if is_state else []),
            [*_remat(config)],
            [*_micro_steps(config, mesh)],
            *([] if is_state else axes),
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
    """Finds the smallest change of one way that fits, by bisection.

    The largest is tried first: if it does not fit, no smaller one does.

    Args:
        way: changes with decreasing needs.
        needs: returns the bytes of a change that fits; None if it does not fit, or is
            invalid.

    Returns:
        The change and its bytes; None if no change fits.

    >>> nearest([("a=2",), ("a=4",), ("a=8",)], {("a=4",): 6, ("a=8",): 3}.get)
    (('a=4',), 6)
    """
    needed, low, high = needs(way[-1]), 0, len(way) - 1
    if needed is None:
        return None
    best = way[-1], needed
    while low < high:
        middle = (low + high) // 2
        needed = needs(way[middle])
        if needed is None:
            low = middle + 1
        else:
            best, high = (way[middle], needed), middle
    return best


def together(ways: Sequence[Sequence[Change]]) -> Iterator[Change]:
    """Yields the largest changes of several ways together: of two, of three, and so on.

    >>> list(together([[("a=1",), ("a=2",)], [("b=1",)], [("a=9",)]]))
    [('a=2', 'b=1')]
    """
    change: Change = ()
    for way in ways:
        keys = {override.partition("=")[0] for override in change}
        if keys.isdisjoint(override.partition("=")[0] for override in way[-1]):
            change = (*change, *way[-1])
            if len(change) > len(way[-1]):
                yield change


def times_smaller(change: Change, config: Any) -> float:
    """Returns an upper bound of the factor by which a change shrinks temporaries.

    Infinity if it is unknown without compiling.
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
    if not _shards_over_fsdp(config):
        if mesh["data"] > 1:  # An axis of that name would shard the batch alone.
            yield ("mesh=fsdp",)
        return
    if mesh["data"] > 1 and not getattr(config.mesh, "slices", None):
        yield ("mesh.axes.data=1", "mesh.axes.fsdp=-1")
    for size in _TENSOR:
        if mesh["tensor"] >= size or mesh["fsdp"] % size:
            continue
        fsdp = mesh["fsdp"] * mesh["tensor"] // size
        yield (f"mesh.axes.tensor={size}", f"mesh.axes.fsdp={fsdp}")


def _shards_over_fsdp(config: Any) -> bool:
    """Returns whether parameters can be sharded over the axis `fsdp`."""
    alongs = [rule.along for rule in config.mesh.rules]
    alongs += config.mesh.logical.values()
    return any("fsdp" in axes_of(along) for along in alongs)


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
