"""Which mesh axes a parameter is laid along: ordered rules, the first match wins."""

import dataclasses
from collections.abc import Mapping, Sequence

from specflow.config.mesh import RuleConfig
from specflow.errors import ConfigError, Fault
from specflow.paths import matches

__all__ = ["Placement", "place"]


@dataclasses.dataclass(frozen=True, slots=True)
class Placement:
    """Where a parameter goes, and why."""

    axes: tuple[str | None, ...]
    """Mesh axis of each dimension, None for none."""
    rule: str
    """The glob that matched, and what kept the parameter whole; empty without one."""


def place(
    path: str,
    shape: tuple[int, ...],
    rules: Sequence[RuleConfig],
    sizes: Mapping[str, int],
) -> Placement:
    """The placement of one parameter.

    Args:
        path: dotted path of the parameter.
        shape: its shape.
        rules: tried in order.
        sizes: size of each mesh axis.

    Raises:
        ConfigError: a rule with `dims` does not fit the shape.

    >>> rule = RuleConfig(path="**", along="fsdp")
    >>> place("dense.kernel", (64, 256), [rule], {"fsdp": 8})
    Placement(axes=(None, 'fsdp'), rule='**')
    """
    whole: tuple[str | None, ...] = (None,) * len(shape)
    for number, rule in enumerate(rules):
        if not matches(rule.path, path):
            continue
        if rule.along is not None:
            return _along(shape, rule.path, rule.along, sizes[rule.along])
        if rule.dims is None:
            return Placement(whole, rule.path)
        faults = _dims_faults(
            path, shape, rule.dims, sizes, f"mesh.rules.{number}.dims"
        )
        if faults:
            raise ConfigError(*faults)
        return Placement(tuple(rule.dims), rule.path)
    return Placement(whole, "")


def _along(shape: tuple[int, ...], glob: str, axis: str, size: int) -> Placement:
    whole: tuple[str | None, ...] = (None,) * len(shape)
    if size == 1:
        return Placement(whole, glob)
    fits = [dim for dim, length in enumerate(shape) if length and length % size == 0]
    if not fits:
        return Placement(whole, f"{glob} (whole: no dimension divides by {size})")
    # The last of the largest: the output features of a kernel, by Flax's layout.
    best = max(fits, key=lambda dim: (shape[dim], dim))
    return Placement((*whole[:best], axis, *whole[best + 1 :]), glob)


def _dims_faults(
    path: str,
    shape: tuple[int, ...],
    dims: Sequence[str | None],
    sizes: Mapping[str, int],
    key: str,
) -> list[Fault]:
    if len(dims) != len(shape):
        return [
            Fault(
                key,
                f"names {len(dims)} dimensions, and {path} has {len(shape)}: {shape}",
                expected="an axis or null for each dimension",
                code="rule-rank",
            )
        ]
    return [
        Fault(
            key,
            f"dimension {dim} of {path} is {length}, "
            f"which axis {axis} of {sizes[axis]} does not divide",
            expected=f"a size such as {-(-length // sizes[axis]) * sizes[axis]}, "
            f"or null for this dimension",
            code="rule-divides",
        )
        for dim, (axis, length) in enumerate(zip(dims, shape, strict=True))
        if axis is not None and length % sizes[axis]
    ]
