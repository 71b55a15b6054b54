"""Sharding rules: an ordered list that maps parameters to mesh axes."""

import dataclasses
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from specflow.config.sections.mesh import RuleConfig, axes_of
from specflow.diagnostics.errors import ConfigError, Diagnostic, did_you_mean, nearest
from specflow.runtime.globs import matches

__all__ = [
    "AxisNames",
    "Names",
    "Params",
    "Placement",
    "Rules",
    "nearest_multiples",
]

AxisNames: TypeAlias = Any
"""One name, a sequence of names, or None, as configs and Flax metadata have them."""
Names: TypeAlias = Sequence[AxisNames]
"""Names of each dimension of a parameter, from the module's metadata."""
Params: TypeAlias = Mapping[str, Any]
"""Parameters, or their shapes and dtypes, by dotted path."""

_Axes: TypeAlias = tuple[tuple[str, ...], ...]
"""Mesh axes of each dimension."""


@dataclasses.dataclass(frozen=True, slots=True)
class Placement:
    """The placement of a parameter on the mesh, and its reason."""

    axes: _Axes
    """Mesh axes that shard each dimension, without axes of size 1."""
    rule: str
    """The rule that matched, and why it could not shard; empty without a match."""
    number: int | None = None
    """Index of the rule that matched."""

    @property
    def is_replicated(self) -> bool:
        """True if every device has a full copy."""
        return not any(self.axes)


@dataclasses.dataclass(frozen=True)
class Rules:
    """An ordered list of sharding rules; the first match wins.

    >>> rules = Rules(
    ...     [RuleConfig(logical=True), RuleConfig(path="**", along="fsdp")],
    ...     {"embed": "fsdp", "mlp": "tensor"},
    ...     {"fsdp": 4, "tensor": 2},
    ... )
    >>> rules.place("up.kernel", (64, 256), ("embed", "mlp"))
    Placement(axes=(('fsdp',), ('tensor',)), rule='logical (embed, mlp)', number=0)
    >>> rules.place("head.kernel", (64, 256)).axes
    ((), ('fsdp',))
    """

    rules: Sequence[RuleConfig]
    """Tried in order."""
    logical: Mapping[str, Any]
    """Dimension name -> axis, axes or None."""
    sizes: Mapping[str, int]
    """Size of each mesh axis."""

    def place(
        self, path: str, shape: tuple[int, ...], names: Names | None = None
    ) -> Placement:
        """Returns the placement of one parameter.

        Args:
            path: its dotted path.
            shape: its shape.
            names: its dimension names, if it has them.

        Raises:
            ConfigError: the matching rule does not fit the shape or the names.
        """
        for number, rule in enumerate(self.rules):
            if not self._covers(rule, path, names):
                continue
            if rule.along is not None:
                axes, reason = self._along(rule, shape, names)
            elif rule.logical:
                assert names is not None
                axes = self._logical(number, path, shape, names)
                reason = f"logical ({', '.join(map(_joined, names))})"
                reason = reason if rule.path == "**" else f"{rule.path} {reason}"
            elif rule.dims is not None:
                axes, reason = self._dims(number, rule, path, shape), rule.path
            else:
                axes, reason = ((),) * len(shape), rule.path
            return Placement(axes, reason, number)
        return Placement(((),) * len(shape), "")

    def _covers(self, rule: RuleConfig, path: str, names: Names | None) -> bool:
        if not matches(rule.path, path):
            return False
        if not rule.logical:
            return True
        flat = [name for dim in names or () for name in axes_of(dim)]
        # With an empty table, names that are not axes do not refer to this mesh.
        return bool(flat) and (bool(self.logical) or all(map(self._is_known, flat)))

    def _is_known(self, name: str) -> bool:
        return name in self.logical or name in self.sizes

    def _long(self, axes: Collection[str]) -> tuple[str, ...]:
        # In mesh order: XLA's partitioner computes wrong numbers for a dimension that
        # is sharded over axes in another order (jax 0.10, on CPU at least).
        return tuple(axis for axis, size in self.sizes.items()
                     if axis in axes and size > 1)  # fmt: skip

    def _parts(self, axes: Sequence[str]) -> int:
        return math.prod(self.sizes[axis] for axis in axes)

    # -- the largest dimensions

    def _along(
        self, rule: RuleConfig, shape: tuple[int, ...], names: Names | None
    ) -> tuple[_Axes, str]:
        replicated = {
            dim
            for dim, name in enumerate(names or ())
            if isinstance(name, str) and name in self.logical and not self.logical[name]
        }
        axes: list[tuple[str, ...]] = [()] * len(shape)
        unused = []
        for axis in axes_of(rule.along):
            if self.sizes[axis] == 1:
                continue
            parts = [
                length // self._parts(taken)
                for length, taken in zip(shape, axes, strict=True)
            ]
            fits = [
                dim
                for dim, part in enumerate(parts)
                if part and part % self.sizes[axis] == 0 and dim not in replicated
            ]
            if not fits:
                unused.append(axis)
                continue
            # The last of the largest: the output features of a Flax kernel.
            best = max(fits, key=lambda dim: (not axes[dim], parts[dim], dim))
            axes[best] = (*axes[best], axis)
        reason = rule.path + self._unused(unused, replicated=not any(axes))
        return tuple(map(self._long, axes)), reason

    def _unused(self, axes: Sequence[str], *, replicated: bool) -> str:
        if not axes:
            return ""
        effect = "replicated" if replicated else f"not along {' or '.join(axes)}"
        sizes = " or ".join(str(self.sizes[axis]) for axis in axes)
        return f" ({effect}: no dimension divides by {sizes})"

    # -- by dimension, and by name

    def _dims(
        self, number: int, rule: RuleConfig, path: str, shape: tuple[int, ...]
    ) -> _Axes:
        key, dims = f"mesh.rules.{number}.dims", rule.dims or []
        if len(dims) != len(shape):
            raise ConfigError(
                Diagnostic(
                    key,
                    f"has {len(dims)} dimensions, and {path} has {len(shape)}: {shape}",
                    expected="an axis or null for each dimension",
                    code="rule-rank",
                )
            )
        axes = tuple(map(axes_of, dims))
        self._check(self._uneven(path, shape, axes, [key] * len(shape)))
        return tuple(map(self._long, axes))

    def _logical(
        self, number: int, path: str, shape: tuple[int, ...], names: Names
    ) -> _Axes:
        key = f"mesh.rules.{number}.logical"
        if len(names) != len(shape):
            raise ConfigError(
                Diagnostic(
                    key,
                    f"{path} has {len(names)} dimension names "
                    f"({', '.join(map(_joined, names))}), and {len(shape)} dimensions: "
                    f"{shape}",
                    expected="a name or None for each dimension",
                    hint="Name the dimension of stacked layers: nnx.vmap(..., "
                    'transform_metadata={nnx.PARTITION_NAME: "layers"}).',
                    code="rule-rank",
                )
            )
        self._check(self._unknown(path, names))
        axes = tuple(self._axes_of(dim) for dim in names)
        keys = [f"mesh.logical.{_joined(dim)}" for dim in names]
        self._check(
            [
                *self._uneven(path, shape, axes, keys),
                *self._twice(key, path, names, axes),
            ]
        )
        return tuple(map(self._long, axes))

    def _axes_of(self, dim: AxisNames) -> tuple[str, ...]:
        return tuple(
            axis
            for name in axes_of(dim)
            for axis in axes_of(self.logical.get(name, name))
        )

    def _unknown(self, path: str, names: Names) -> Iterator[Diagnostic]:
        for dim, dim_names in enumerate(names):
            for name in axes_of(dim_names):
                if not self._is_known(name):
                    yield Diagnostic(
                        f"mesh.logical.{name}",
                        f"is missing, and dimension {dim} of {path} has this name",
                        expected="an axis, several, or null to replicate such "
                        "dimensions",
                        hint=did_you_mean(nearest(name, self.logical)),
                        code="logical-name",
                    )

    def _twice(
        self, key: str, path: str, names: Names, axes: _Axes
    ) -> Iterator[Diagnostic]:
        for axis in dict.fromkeys(axis for dim in axes for axis in dim):
            dims = [dim for dim, along in enumerate(axes) for name in along
                    if name == axis]  # fmt: skip
            if len(dims) > 1:
                both = " and ".join(f"{dim} ({_joined(names[dim])})" for dim in dims)
                yield Diagnostic(
                    key,
                    f"shards dimensions {both} of {path} over {axis}",
                    expected="at most one dimension for each axis",
                    hint="Change mesh.logical, or put a rule for this path before it.",
                    code="axis-twice",
                )

    def _uneven(
        self, path: str, shape: tuple[int, ...], axes: _Axes, keys: Sequence[str]
    ) -> Iterator[Diagnostic]:
        for dim, (length, along) in enumerate(zip(shape, axes, strict=True)):
            parts = self._parts(along)
            if length % parts:
                product = " x ".join(f"{a} {self.sizes[a]}" for a in self._long(along))
                yield Diagnostic(
                    keys[dim],
                    f"dimension {dim} of {path} is {length}, which {product} does not "
                    "divide",
                    expected=f"a multiple of {parts}, such as "
                    f"{nearest_multiples(length, parts)}, or null for such dimensions",
                    code="rule-divides",
                )

    def _check(
        self, diagnostics: Iterator[Diagnostic] | Collection[Diagnostic]
    ) -> None:
        if errors := tuple(diagnostics):
            raise ConfigError(*errors)


def nearest_multiples(size: int, parts: int) -> str:
    """Formats the multiples around a size.

    >>> nearest_multiples(50_257, 8), nearest_multiples(3, 8)
    ('50256 or 50264', '8')
    """
    below = size // parts * parts
    return f"{below} or {below + parts}" if below else str(parts)


def _joined(dim: AxisNames) -> str:
    return "+".join(axes_of(dim)) or "-"
