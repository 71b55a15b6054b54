"""What could be changed in an experiment that does not fit, nearest changes first."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from specflow.config.mesh import BATCH_AXES

__all__ = ["changes", "times_smaller"]

_REMAT = ("none", "dots", "dots_with_no_batch_dims", "full")
"""Less and less is kept for the backward pass."""
_TENSOR = (2, 4, 8)


def changes(
    config: Any, mesh: Mapping[str, int], *, short: Sequence[str]
) -> Iterator[tuple[str, ...]]:
    """Overrides to try, one set after another.

    What leaves the training what it is comes first: another remat policy, smaller
    micro-steps, another cut of the arrays, the smallest change of each before the next
    larger ones. Then types and sizes; then several at once.

    Args:
        config: the experiment.
        mesh: size of each axis, as it was laid out.
        short: the modes that do not fit.
    """
    if "train" not in short:
        yield from _evaluating(config, mesh)
        return
    same = [_remat(config), _micro_steps(config, mesh), _axes(config, mesh)]
    other = [_dtype(config), _batch(config, mesh)]
    kinds = [list(kind) for kind in (*same, *other)]
    for turn in itertools.zip_longest(*kinds[: len(same)]):
        yield from filter(None, turn)
    for kind in kinds[len(same) :]:
        yield from kind
    together: tuple[str, ...] = ()
    for kind in kinds:
        if kind:
            together = (*together, *kind[-1])
            if len(together) > len(kind[-1]):
                yield together


def times_smaller(change: Sequence[str], config: Any) -> float:
    """How many times smaller a change makes what a step makes, at the best.

    Infinity where nobody knows before the compiler.
    """
    field, _, value = change[0].partition("=")
    if len(change) == 1 and field == "loop.micro_steps":
        return int(value) / config.loop.micro_steps
    if len(change) == 1 and field == "loop.batch_size":
        return config.loop.batch_size / int(value)
    return math.inf


def _remat(config: Any) -> Iterator[tuple[str, ...]]:
    now = getattr(config.model, "remat", None)
    if now not in _REMAT:
        return
    allowed = get_args(type(config.model).model_fields["remat"].annotation)
    for policy in _REMAT[_REMAT.index(now) + 1 :]:
        if policy in allowed:
            yield (f"model.remat={policy}",)


def _micro_steps(config: Any, mesh: Mapping[str, int]) -> Iterator[tuple[str, ...]]:
    for times in (2, 4, 8):
        parts = config.loop.micro_steps * times
        if _divides(config.loop.batch_size, mesh, parts):
            yield (f"loop.micro_steps={parts}",)


def _axes(config: Any, mesh: Mapping[str, int]) -> Iterator[tuple[str, ...]]:
    if mesh["data"] > 1 and not getattr(config.mesh, "slices", None):
        yield ("mesh.axes.data=1", "mesh.axes.fsdp=-1")
    for size in _TENSOR:
        if mesh["tensor"] >= size or mesh["fsdp"] % size:
            continue
        fsdp = mesh["fsdp"] * mesh["tensor"] // size
        yield (f"mesh.axes.tensor={size}", f"mesh.axes.fsdp={fsdp}")


def _dtype(config: Any) -> Iterator[tuple[str, ...]]:
    own = getattr(config.model, "dtype", None)
    if own == "float32":
        yield ("model.dtype=bfloat16",)
    elif own is None and config.loop.compute_dtype in (None, "float32"):
        yield ("loop.compute_dtype=bfloat16",)


def _batch(config: Any, mesh: Mapping[str, int]) -> Iterator[tuple[str, ...]]:
    for times in (2, 4, 8):
        if _divides(config.loop.batch_size, mesh, times):
            yield (f"loop.batch_size={config.loop.batch_size // times}",)


def _evaluating(config: Any, mesh: Mapping[str, int]) -> Iterator[tuple[str, ...]]:
    size = config.loop.eval_batch_size
    for times in (2, 4, 8, 16, 32):
        if _divides(size, mesh, times):
            yield (f"loop.eval_batch_size={size // times}",)
    yield from _axes(config, mesh)
    yield from _dtype(config)


def _divides(size: int, mesh: Mapping[str, int], times: int) -> bool:
    parts = times
    for axis in BATCH_AXES:
        parts *= mesh[axis]
    return size % parts == 0
