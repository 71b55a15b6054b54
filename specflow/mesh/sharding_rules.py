"""Which mesh axes a parameter is laid along: ordered rules, the first match wins."""

import dataclasses
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from specflow.config.sections.mesh import RuleConfig, axes_of
from specflow.diagnostics.errors import ConfigError, Diagnostic, did_you_mean, nearest
from specflow.runtime.globs import matches

__all__ = ["Names", "Placement", "Rules", "nearest_multiples"]

Names: TypeAlias = Sequence[Any]
"""What a module calls each dimension of a parameter: a name, several, or None."""

_Axes: TypeAlias = tuple[tuple[str, ...], ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Placement:
    """Where a parameter goes, and why."""

    axes: _Axes
    """Mesh axes of each dimension, as far as they are longer than 1."""
    rule: str
    """What matched, and what kept the parameter whole; empty without a match."""
    number: int | None = None
    """Which of the rules matched."""

    @property
    def is_whole(self) -> bool:
        """Whether every device holds all of it."""
        return not any(self.axes)


@dataclasses.dataclass(frozen=True)
class Rules:
    """Ordered rules, and where names of dimensions go.

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
    """Name of a dimension -> axis, axes or None."""
    sizes: Mapping[str, int]
    """Size of each mesh axis."""

    def place(
        self, path: str, shape: tuple[int, ...], names: Names | None = None
    ) -> Placement:
        """The placement of one parameter.

        Args:
            path: its dotted path.
            shape: its shape.
            names: what the module calls its dimensions, if it does.

        Raises:
            ConfigError: the rule that matches does not fit the shape.
        """
        for number, rule in enumerate(self.rules):
            if not self._covers(rule, path, names):
                continue
            if rule.along is not None:
                axes, said = self._along(rule, shape, names)
            elif rule.logical:
                assert names is not None
                axes = self._logical(number, path, shape, names)
                said = f"logical ({', '.join(map(_told, names))})"
                said = said if rule.path == "**" else f"{rule.path} {said}"
            elif rule.dims is not None:
                axes, said = self._dims(number, rule, path, shape), rule.path
            else:
                axes, said = ((),) * len(shape), rule.path
            return Placement(axes, said, number)
        return Placement(((),) * len(shape), "")

    def _covers(self, rule: RuleConfig, path: str, names: Names | None) -> bool:
        if not matches(rule.path, path):
            return False
        if not rule.logical:
            return True
        told = [name for dim in names or () for name in axes_of(dim)]
        # With an empty table, names that are no axes either say nothing of this mesh.
        return bool(told) and (bool(self.logical) or all(map(self._is_known, told)))

    def _is_known(self, name: str) -> bool:
        return name in self.logical or name in self.sizes

    def _long(self, axes: Collection[str]) -> tuple[str, ...]:
        # In the order of the mesh. XLA's partitioner computes wrong numbers where a
        # dimension lies along axes in another order (jax 0.10, on CPU at least).
        return tuple(axis for axis, size in self.sizes.items()
                     if axis in axes and size > 1)  # fmt: skip

    def _parts(self, axes: Sequence[str]) -> int:
        return math.prod(self.sizes[axis] for axis in axes)

    # -- the largest dimensions

    def _along(
        self, rule: RuleConfig, shape: tuple[int, ...], names: Names | None
    ) -> tuple[_Axes, str]:
        closed = {
            dim
            for dim, name in enumerate(names or ())
            if isinstance(name, str) and name in self.logical and not self.logical[name]
        }
        found: list[tuple[str, ...]] = [()] * len(shape)
        left = []
        for axis in axes_of(rule.along):
            if self.sizes[axis] == 1:
                continue
            parts = [
                length // self._parts(taken)
                for length, taken in zip(shape, found, strict=True)
            ]
            fits = [
                dim
                for dim, part in enumerate(parts)
                if part and part % self.sizes[axis] == 0 and dim not in closed
            ]
            if not fits:
                left.append(axis)
                continue
            # The last of the largest: output features of a kernel, by Flax's layout.
            best = max(fits, key=lambda dim: (not found[dim], parts[dim], dim))
            found[best] = (*found[best], axis)
        said = rule.path + self._left(left, whole=not any(found))
        return tuple(map(self._long, found)), said

    def _left(self, axes: Sequence[str], *, whole: bool) -> str:
        if not axes:
            return ""
        kept = "whole" if whole else f"not along {' or '.join(axes)}"
        sizes = " or ".join(str(self.sizes[axis]) for axis in axes)
        return f" ({kept}: no dimension divides by {sizes})"

    # -- by place, and by name

    def _dims(
        self, number: int, rule: RuleConfig, path: str, shape: tuple[int, ...]
    ) -> _Axes:
        key, dims = f"mesh.rules.{number}.dims", rule.dims or []
        if len(dims) != len(shape):
            raise ConfigError(
                Diagnostic(
                    key,
                    f"names {len(dims)} dimensions, and {path} has {len(shape)}: "
                    f"{shape}",
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
                    f"{path} has names for {len(names)} dimensions "
                    f"({', '.join(map(_told, names))}), and {len(shape)} of them: "
                    f"{shape}",
                    expected="a name or None for each dimension",
                    hint="Stacked layers name theirs: nnx.vmap(..., "
                    'transform_metadata={nnx.PARTITION_NAME: "layers"}).',
                    code="rule-rank",
                )
            )
        self._check(self._unknown(path, names))
        axes = tuple(self._axes_of(dim) for dim in names)
        keys = [f"mesh.logical.{_told(dim)}" for dim in names]
        self._check(
            [
                *self._uneven(path, shape, axes, keys),
                *self._twice(key, path, names, axes),
            ]
        )
        return tuple(map(self._long, axes))

    def _axes_of(self, dim: Any) -> tuple[str, ...]:
        return tuple(
            axis
            for name in axes_of(dim)
            for axis in axes_of(self.logical.get(name, name))
        )

    def _unknown(self, path: str, names: Names) -> Iterator[Diagnostic]:
        for dim, told in enumerate(names):
            for name in axes_of(told):
                if not self._is_known(name):
                    yield Diagnostic(
                        f"mesh.logical.{name}",
                        f"is missing, and dimension {dim} of {path} has this name",
                        expected="an axis, several, or null to keep such dimensions "
                        "whole",
                        hint=did_you_mean(nearest(name, self.logical)),
                        code="logical-name",
                    )

    def _twice(
        self, key: str, path: str, names: Names, axes: _Axes
    ) -> Iterator[Diagnostic]:
        for axis in dict.fromkeys(axis for dim in axes for axis in dim):
            dims = [dim for dim, along in enumerate(axes) for one in along
                    if one == axis]  # fmt: skip
            if len(dims) > 1:
                told = " and ".join(f"{dim} ({_told(names[dim])})" for dim in dims)
                yield Diagnostic(
                    key,
                    f"lays dimensions {told} of {path} along {axis}",
                    expected="one dimension along an axis",
                    hint="Change mesh.logical, or put a rule with this path before it.",
                    code="axis-twice",
                )

    def _uneven(
        self, path: str, shape: tuple[int, ...], axes: _Axes, keys: Sequence[str]
    ) -> Iterator[Diagnostic]:
        for dim, (length, along) in enumerate(zip(shape, axes, strict=True)):
            parts = self._parts(along)
            if length % parts:
                cut = " x ".join(f"{a} {self.sizes[a]}" for a in self._long(along))
                yield Diagnostic(
                    keys[dim],
                    f"dimension {dim} of {path} is {length}, which {cut} does not "
                    "divide",
                    expected=f"a multiple of {parts}, such as "
                    f"{nearest_multiples(length, parts)}, or null for such dimensions",
                    code="rule-divides",
                )

    def _check(
        self, diagnostics: Iterator[Diagnostic] | Collection[Diagnostic]
    ) -> None:
        if found := tuple(diagnostics):
            raise ConfigError(*found)


def nearest_multiples(size: int, parts: int) -> str:
    """The multiples around a size.

    >>> nearest_multiples(50_257, 8), nearest_multiples(3, 8)
    ('50256 or 50264', '8')
    """
    below = size // parts * parts
    return f"{below} or {below + parts}" if below else str(parts)


def _told(dim: Any) -> str:
    return "+".join(axes_of(dim)) or "-"
