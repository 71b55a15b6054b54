"""Warnings about placements: unused rules and axes, large replicated parameters."""

import difflib
import math
from collections.abc import Collection, Iterator, Mapping

from jax.sharding import Mesh

from specflow.config.sections.mesh import axes_of
from specflow.diagnostics.errors import Diagnostic
from specflow.mesh.sharding_rules import Params, Placement, Rules, nearest_multiples
from specflow.runtime.globs import matches
from specflow.runtime.typing import ArrayLike

__all__ = ["LARGE", "order_warning", "placement_warnings"]

LARGE = 1 << 20
"""Smallest size, in bytes, of a replicated parameter that is warned about: 1 MiB."""

_PARAMETER_AXES = ("fsdp", "tensor", "expert")
"""Axes that shard parameters."""
_MODEL_AXES = ("tensor", "sequence", "expert")
"""Axes whose devices get the same rows: unused unless something is sharded."""


def placement_warnings(
    placements: Mapping[str, Placement], params: Params, rules: Rules
) -> list[Diagnostic]:
    """Warns about unused rules, idle mesh axes and large replicated parameters.

    A rule for `**` may match nothing; a parameter that a rule without axes replicates
    is not warned about.

    Args:
        placements: path -> placement.
        params: path -> the parameter, or its shape and dtype.
        rules: the rules that made the placements.
    """
    return [
        *_unused_rules(placements, rules),
        *_idle_axes(placements, rules),
        *_large_replicated(placements, params, rules),
    ]


def order_warning(mesh: Mesh) -> Diagnostic:
    """Warns that neighbors on the mesh may be far apart on the network."""
    sizes = " x ".join(f"{name} {size}" for name, size in mesh.shape.items())
    return Diagnostic(
        "mesh.axes",
        f"{sizes} does not follow the links between these devices: neighbors on the "
        "mesh may be far apart",
        expected="sizes that are products of the sides of the slice",
        code="mesh-order",
    )


def _unused_rules(
    placements: Mapping[str, Placement], rules: Rules
) -> Iterator[Diagnostic]:
    used = {placement.number for placement in placements.values()}
    for number, rule in enumerate(rules.rules):
        if number in used or rule.path == "**":
            continue
        key = f"mesh.rules.{number}.path"
        matching = [path for path in placements if matches(rule.path, path)]
        if not matching:
            near = _nearest(rule.path, placements)
            yield Diagnostic(
                key,
                f"{rule.path} matches no parameter",
                hint=f"The nearest is {near}." if near else "",
                code="rule-unused",
            )
            continue
        earlier = placements[matching[0]].number
        reason = (
            "none of them has dimension names"
            if earlier is None or earlier > number
            else f"rule {earlier}, {rules.rules[earlier].path}, matches first"
        )
        yield Diagnostic(
            key,
            f"{rule.path} matches {matching[0]}"
            + (f" and {len(matching) - 1} more" if len(matching) > 1 else "")
            + f", but applies to no parameter: {reason}",
            code="rule-unused",
        )


def _idle_axes(
    placements: Mapping[str, Placement], rules: Rules
) -> Iterator[Diagnostic]:
    """Warns about axes that shard no parameter and no named activation."""
    used = {
        axis
        for placement in placements.values()
        for along in placement.axes
        for axis in along
    }
    named = {axis for along in rules.logical.values() for axis in axes_of(along)}
    for axis in _MODEL_AXES:
        if rules.sizes.get(axis, 1) > 1 and axis not in used | named:
            yield Diagnostic(
                f"mesh.axes.{axis}",
                f"is {rules.sizes[axis]}, and nothing is sharded over it: its devices "
                "hold and compute the same",
                expected="1, or a rule or a name in mesh.logical that uses it",
                code="mesh-idle",
            )


def _nearest(glob: str, paths: Collection[str]) -> str | None:
    names = [name for name in glob.split(".") if name != "**"]
    pattern = ".".join(names)

    def likeness(path: str) -> float:
        parts = path.split(".")
        start = len(parts) - len(names) if glob.startswith("**") else 0
        candidate = ".".join(parts[max(start, 0) :][: len(names)])
        return difflib.SequenceMatcher(None, pattern, candidate).ratio()

    return max(paths, key=likeness, default=None)


def _large_replicated(
    placements: Mapping[str, Placement], params: Params, rules: Rules
) -> Iterator[Diagnostic]:
    sizes = {axis: rules.sizes.get(axis, 1) for axis in _PARAMETER_AXES}
    sizes = {axis: size for axis, size in sizes.items() if size > 1}
    if not sizes:
        return
    mesh = " x ".join(f"{axis} {size}" for axis, size in sizes.items())
    for path, placement in placements.items():
        rule = None if placement.number is None else rules.rules[placement.number]
        array = params[path]
        count = math.prod(array.shape) * array.dtype.itemsize
        intended = rule is not None and not (rule.logical or rule.along is not None)
        if count < LARGE or intended or not placement.is_replicated:
            continue
        reason = f"by rule {placement.rule}" if placement.rule else "no rule matches it"
        axis, size = next(iter(sizes.items()))
        fits = any(length % size == 0 for length in array.shape)
        yield Diagnostic(
            path,
            f"{_shape(array)}, {count / LARGE:.1f} MiB, is replicated on every device "
            f"of {mesh}: {reason}",
            expected=f"a rule that shards it, such as {{path: {path}, along: {axis}}}"
            if fits
            else _nearest_size(array.shape, size),
            hint=f"Put {{path: {path}}} before other rules to replicate it on purpose.",
            code="whole",
        )


def _shape(array: ArrayLike) -> str:
    return " x ".join(map(str, array.shape)) or "a scalar"


def _nearest_size(shape: tuple[int, ...], size: int) -> str:
    """Suggests the smallest relative change of a dimension that makes it divide."""
    dim = min(
        range(len(shape)),
        key=lambda dim: min(shape[dim] % size, -shape[dim] % size) / shape[dim],
    )
    near = nearest_multiples(shape[dim], size)
    return f"a dimension that divides by {size}: {near} in place of {shape[dim]}"
