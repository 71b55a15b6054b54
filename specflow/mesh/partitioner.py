"""Shardings of parameters, batches and state over a device mesh."""

import contextlib
import dataclasses
import functools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import jax
import numpy as np
from flax.core import spmd
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from numpy.typing import NDArray

from specflow.config.sections.mesh import BATCH_AXES, RuleConfig, axes_of
from specflow.diagnostics.errors import ConfigError, Diagnostic
from specflow.mesh.devices import is_local
from specflow.mesh.placement_checks import order_warning, placement_warnings
from specflow.mesh.sharding_rules import AxisNames, Names, Params, Placement, Rules
from specflow.runtime.typing import ArrayLike, Tree

__all__ = ["Partitioner"]


class Partitioner:
    """Shards parameters by rule, batches by row, and optimizer state like parameters.

    Args:
        mesh: the devices.
        rules: sharding rules for parameters, in order; without a match they are
            replicated.
        logical: dimension name -> the mesh axes that shard it.

    Raises:
        ConfigError: a rule or name uses an axis that the mesh does not have.
    """

    def __init__(
        self,
        mesh: Mesh,
        rules: Sequence[RuleConfig] = (),
        logical: Mapping[str, AxisNames] | None = None,
    ):
        self.mesh = mesh
        self.rules = Rules(tuple(rules), dict(logical or {}), dict(mesh.shape))
        self._check_axes()

    def _check_axes(self) -> None:
        named = {f"mesh.logical.{name}": a for name, a in self.rules.logical.items()}
        for number, rule in enumerate(self.rules.rules):
            named[f"mesh.rules.{number}.along"] = rule.along
            named |= {
                f"mesh.rules.{number}.dims.{dim}": along
                for dim, along in enumerate(rule.dims or [])
            }
        diagnostics = [
            Diagnostic(
                key,
                f"names the axis {axis}, which the mesh does not have",
                expected=f"one of {', '.join(self.mesh.shape)}",
                code="mesh-axis",
            )
            for key, along in named.items()
            for axis in axes_of(along)
            if axis not in self.mesh.shape
        ]
        if diagnostics:
            raise ConfigError(*diagnostics)

    @property
    def replicated(self) -> NamedSharding:
        """Sharding of an array with a full copy on every device."""
        return NamedSharding(self.mesh, PartitionSpec())

    def rows(self, axis: int = 0) -> NamedSharding:
        """Sharding of batches: dimension `axis` over the data and fsdp axes."""
        batch_axes = tuple(name for name in BATCH_AXES if name in self.mesh.shape)
        return NamedSharding(self.mesh, PartitionSpec(*(None,) * axis, batch_axes))

    @functools.cached_property
    def local_parts(self) -> tuple[tuple[int, ...], int]:
        """Indices of the batch shards on this process's devices, and the total number.

        On a mesh with model axes several devices hold the same batch shard. If they
        belong to several processes, these read the same rows.
        """
        sizes = [self.mesh.shape.get(axis, 1) for axis in BATCH_AXES]
        names = list(self.mesh.shape)
        local = set()
        for coordinates, device in np.ndenumerate(self.mesh.devices):
            if device.process_index == jax.process_index():
                by_axis = dict(zip(names, coordinates, strict=True))
                index = [by_axis.get(axis, 0) for axis in BATCH_AXES]
                local.add(int(np.ravel_multi_index(index, sizes)))
        if len(local) == math.prod(sizes):
            return (0,), 1  # All of them: the batch is one part.
        return tuple(sorted(local)), math.prod(sizes)

    def local_rows(self, count: int) -> NDArray[np.intp]:
        """Returns the indices of this process's rows in a global batch, ascending.

        Args:
            count: number of rows of this process.
        """
        parts, part_count = self.local_parts
        rows = np.arange(count // len(parts) * part_count).reshape(part_count, -1)
        return rows[list(parts)].reshape(-1)

    @property
    def shards_activations(self) -> bool:
        """True if the compiler shards activations: all mesh axes are automatic."""
        return self.mesh.are_all_axes_auto

    @contextlib.contextmanager
    def activations(self) -> Iterator[None]:
        """Makes a context for tracing in which named activations are sharded.

        `flax.linen.with_logical_constraint(x, ("batch", "length", "embed"))` shards an
        activation by the axes of its dimension names, in NNX modules too. The name
        `batch` is always sharded as batches are; of two names with the same axis, the
        first in `mesh.logical` gets it.
        """
        by_name = {"batch": BATCH_AXES, **self.rules.logical}
        rules = tuple((name, self._axes(along)) for name, along in by_name.items())
        if self.mesh.size == 1:
            rules = ()  # The mesh alone is set, so that the model knows its device.
        with jax.set_mesh(self.mesh), spmd.logical_axis_rules(rules):
            yield

    def _axes(self, along: AxisNames) -> tuple[str, ...] | None:
        """Returns the existing ones of the named axes, in mesh order as in `Rules`."""
        named = axes_of(along)
        return tuple(axis for axis in self.mesh.shape if axis in named) or None

    def placements(
        self, params: Params, names: Mapping[str, Names] | None = None
    ) -> dict[str, Placement]:
        """Returns parameter path -> placement.

        Args:
            params: path -> anything with a shape.
            names: path -> dimension names, of the parameters that have them.

        Raises:
            ConfigError: rules that do not fit their parameters, all in one error.
        """
        placements: dict[str, Placement] = {}
        diagnostics: list[tuple[str, Diagnostic]] = []
        for path, array in params.items():
            try:
                named = (names or {}).get(path)
                placements[path] = self.rules.place(path, array.shape, named)
            except ConfigError as error:
                diagnostics.extend(
                    (path, diagnostic) for diagnostic in error.diagnostics
                )
        if diagnostics:
            raise ConfigError(*_merged(diagnostics))
        return placements

    def params(
        self, params: Params, names: Mapping[str, Names] | None = None
    ) -> dict[str, NamedSharding]:
        """Returns parameter path -> sharding; arguments as for `placements`."""
        return {
            path: NamedSharding(self.mesh, _spec(placement))
            for path, placement in self.placements(params, names).items()
        }

    def warnings(
        self, params: Params, names: Mapping[str, Names] | None = None
    ) -> list[Diagnostic]:
        """Returns warnings about valid placements that are probably not intended.

        Args:
            params: path -> anything with a shape and a dtype.
            names: as for `placements`.
        """
        placed = self.placements(params, names)
        order = [] if is_local(self.mesh) else [order_warning(self.mesh)]
        return [*order, *placement_warnings(placed, params, self.rules)]

    def like_params(
        self,
        tree: Tree,
        params: Params,
        shardings: Mapping[str, NamedSharding],
    ) -> Tree:
        """Returns the shardings of a tree that mirrors parameters, as optimizer state.

        A leaf whose last key is a parameter's path and that has its shape is sharded
        like the parameter; counters and factored statistics are replicated.
        """

        def sharding(path: tuple[object, ...], leaf: ArrayLike) -> NamedSharding:
            name = str(getattr(path[-1], "key", "")) if path else ""
            like = params.get(name)
            same = like is not None and like.shape == leaf.shape
            return shardings[name] if same else self.replicated

        return jax.tree_util.tree_map_with_path(sharding, tree)


def _spec(placement: Placement) -> PartitionSpec:
    return PartitionSpec(
        *(axes[0] if len(axes) == 1 else axes or None for axes in placement.axes)
    )


def _merged(diagnostics: Iterable[tuple[str, Diagnostic]]) -> list[Diagnostic]:
    """Merges equal diagnostics of several layers into one."""
    alike: dict[tuple[str, str], list[tuple[str, Diagnostic]]] = {}
    for path, diagnostic in diagnostics:
        key = diagnostic.where, diagnostic.problem.replace(path, "")
        alike.setdefault(key, []).append((path, diagnostic))
    merged = []
    for (path, first), *more in alike.values():
        problem = first.problem
        if more:
            problem = problem.replace(path, f"{path} (and of {len(more)} more)")
        merged.append(dataclasses.replace(first, problem=problem))
    return merged
