"""What `check` and `train` warn of: rules and axes in vain, what stays whole unsaid."""

import difflib
import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from jax.sharding import Mesh

from specflow.config.sections.mesh import axes_of
from specflow.diagnostics.errors import Diagnostic
from specflow.mesh.sharding_rules import Placement, Rules, nearest_multiples
from specflow.runtime.globs import matches

__all__ = ["LARGE", "order_warning", "placement_warnings"]

LARGE = 1 << 20
"""Bytes from which on a parameter that stays whole is remarked upon: 1 MiB."""

_CUTTING = ("fsdp", "tensor", "expert")
"""The axes that are there to cut parameters."""
_SHARING = ("tensor", "sequence", "expert")
"""The axes along which the same rows are shared out: of no use if nothing is cut."""


def placement_warnings(
    placements: Mapping[str, Placement], params: Mapping[str, Any], rules: Rules
) -> list[Diagnostic]:
    """Rules that no parameter goes by, large parameters that nobody cut, idle axes.

    A rule for `**` is meant for whatever there is, and is not remarked upon; neither is
    a parameter that a rule without axes keeps whole.

    Args:
        placements: path -> where a parameter goes.
        params: path -> the parameter, or its shape and dtype.
        rules: what placed them.
    """
    return [
        *_in_vain(placements, rules),
        *_idle(placements, rules),
        *_whole(placements, params, rules),
    ]


def order_warning(mesh: Mesh) -> Diagnostic:
    """That neighbours on the mesh may be far apart on the network."""
    sizes = " x ".join(f"{name} {size}" for name, size in mesh.shape.items())
    return Diagnostic(
        "mesh.axes",
        f"{sizes} does not follow the wires between these devices: neighbours on the "
        "mesh may be far apart",
        expected="sizes that are products of the sides of the slice",
        code="mesh-order",
    )


def _in_vain(placements: Mapping[str, Placement], rules: Rules) -> Iterator[Diagnostic]:
    used = {placement.number for placement in placements.values()}
    for number, rule in enumerate(rules.rules):
        if number in used or rule.path == "**":
            continue
        key = f"mesh.rules.{number}.path"
        found = [path for path in placements if matches(rule.path, path)]
        if not found:
            near = _nearest(rule.path, placements)
            yield Diagnostic(
                key,
                f"{rule.path} matches no parameter",
                hint=f"The nearest is {near}." if near else "",
                code="rule-unused",
            )
            continue
        earlier = placements[found[0]].number
        reason = (
            "none of them has names for its dimensions"
            if earlier is None or earlier > number
            else f"rule {earlier}, {rules.rules[earlier].path}, comes first"
        )
        yield Diagnostic(
            key,
            f"{rule.path} matches {found[0]}"
            + (f" and {len(found) - 1} more" if len(found) > 1 else "")
            + f", but no parameter goes by it: {reason}",
            code="rule-unused",
        )


def _idle(placements: Mapping[str, Placement], rules: Rules) -> Iterator[Diagnostic]:
    """Axes that cut no parameter, and no activation either, as far as names say."""
    cut = {
        axis
        for placement in placements.values()
        for along in placement.axes
        for axis in along
    }
    named = {axis for along in rules.logical.values() for axis in axes_of(along)}
    for axis in _SHARING:
        if rules.sizes.get(axis, 1) > 1 and axis not in cut | named:
            yield Diagnostic(
                f"mesh.axes.{axis}",
                f"is {rules.sizes[axis]}, and nothing lies along it: such devices hold "
                "and compute the same",
                expected="1, or a rule or a name in mesh.logical that goes along it",
                code="mesh-idle",
            )


def _nearest(glob: str, paths: Collection[str]) -> str | None:
    names = [name for name in glob.split(".") if name != "**"]
    meant = ".".join(names)

    def likeness(path: str) -> float:
        parts = path.split(".")
        start = len(parts) - len(names) if glob.startswith("**") else 0
        shown = ".".join(parts[max(start, 0) :][: len(names)])
        return difflib.SequenceMatcher(None, meant, shown).ratio()

    return max(paths, key=likeness, default=None)


def _whole(
    placements: Mapping[str, Placement], params: Mapping[str, Any], rules: Rules
) -> Iterator[Diagnostic]:
    sizes = {axis: rules.sizes.get(axis, 1) for axis in _CUTTING}
    sizes = {axis: size for axis, size in sizes.items() if size > 1}
    if not sizes:
        return
    mesh = " x ".join(f"{axis} {size}" for axis, size in sizes.items())
    for path, placement in placements.items():
        rule = None if placement.number is None else rules.rules[placement.number]
        array = params[path]
        count = math.prod(array.shape) * array.dtype.itemsize
        meant = rule is not None and not (rule.logical or rule.along is not None)
        if count < LARGE or meant or not placement.is_whole:
            continue
        reason = f"by rule {placement.rule}" if placement.rule else "no rule matches it"
        axis, size = next(iter(sizes.items()))
        fits = any(length % size == 0 for length in array.shape)
        yield Diagnostic(
            path,
            f"{_shape(array)}, {count / LARGE:.1f} MiB, lies whole on every device of "
            f"{mesh}: {reason}",
            expected=f"a rule that cuts it, such as {{path: {path}, along: {axis}}}"
            if fits
            else _nearest_size(array.shape, size),
            hint=f"{{path: {path}}} before other rules keeps it whole on purpose.",
            code="whole",
        )


def _shape(array: Any) -> str:
    return " x ".join(map(str, array.shape)) or "one number"


def _nearest_size(shape: tuple[int, ...], size: int) -> str:
    """The dimension that needs to change least, and to what."""
    dim = min(
        range(len(shape)),
        key=lambda dim: min(shape[dim] % size, -shape[dim] % size) / shape[dim],
    )
    near = nearest_multiples(shape[dim], size)
    return f"a dimension that divides by {size}: {near} in place of {shape[dim]}"
