"""Shardings of everything that a step touches: parameters by rule, batches by row."""

import contextlib
import dataclasses
import functools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from flax.core import spmd
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from specflow.config.sections.mesh import BATCH_AXES, RuleConfig, axes_of
from specflow.diagnostics.errors import ConfigError, Diagnostic
from specflow.mesh.devices import is_local
from specflow.mesh.placement_checks import order_warning, placement_warnings
from specflow.mesh.sharding_rules import Names, Placement, Rules

__all__ = ["Partitioner"]


class Partitioner:
    """Lays arrays on a mesh.

    Args:
        mesh: the devices.
        rules: what to do with parameters, in order; without a match they stay whole.
        logical: name of a dimension -> the axes that it goes along.

    Raises:
        ConfigError: an axis is none of the mesh.
    """

    def __init__(
        self,
        mesh: Mesh,
        rules: Sequence[RuleConfig] = (),
        logical: Mapping[str, Any] | None = None,
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
        """The whole array on every device."""
        return NamedSharding(self.mesh, PartitionSpec())

    def rows(self, axis: int = 0) -> NamedSharding:
        """Batches: cut along `axis` over the data and fsdp axes."""
        cut = tuple(name for name in BATCH_AXES if name in self.mesh.shape)
        return NamedSharding(self.mesh, PartitionSpec(*(None,) * axis, cut))

    @functools.cached_property
    def local_parts(self) -> tuple[tuple[int, ...], int]:
        """Which parts of a batch this process's devices hold, and how many there are.

        Devices that hold the same part, each with its piece of the model, are of one
        process or of several: these read the same rows.
        """
        sizes = [self.mesh.shape.get(axis, 1) for axis in BATCH_AXES]
        names = list(self.mesh.shape)
        here = set()
        for place, device in np.ndenumerate(self.mesh.devices):
            if device.process_index == jax.process_index():
                at = dict(zip(names, place, strict=True))
                where = [at.get(axis, 0) for axis in BATCH_AXES]
                here.add(int(np.ravel_multi_index(where, sizes)))
        if len(here) == math.prod(sizes):
            return (0,), 1  # All of them: the batch is one part.
        return tuple(sorted(here)), math.prod(sizes)

    def local_rows(self, count: int) -> Any:
        """The places in a batch of the rows that this process holds, ascending.

        Args:
            count: how many it holds.
        """
        parts, of = self.local_parts
        places = np.arange(count // len(parts) * of).reshape(of, -1)
        return places[list(parts)].reshape(-1)

    @property
    def lays_activations(self) -> bool:
        """Whether the compiler spreads work, also over a single device."""
        return self.mesh.are_all_axes_auto

    @contextlib.contextmanager
    def activations(self) -> Iterator[None]:
        """While a model is traced: what it calls dimensions of activations has axes.

        `flax.linen.with_logical_constraint(x, ("batch", "length", "embed"))` lays an
        activation so, in modules of NNX too. Rows of a batch, `batch`, are always cut
        as the batch is; of two names for one axis the first in `mesh.logical` has it.
        """
        table = {"batch": BATCH_AXES, **self.rules.logical}
        rules = tuple((name, self._axes(along)) for name, along in table.items())
        if self.mesh.size == 1:
            rules = ()  # The model is told what device it is for, and no more.
        with jax.set_mesh(self.mesh), spmd.logical_axis_rules(rules):
            yield

    def _axes(self, along: Any) -> tuple[str, ...] | None:
        """Those that there are, in the order of the mesh, as `Rules` has them."""
        named = axes_of(along)
        return tuple(axis for axis in self.mesh.shape if axis in named) or None

    def placements(
        self, params: Mapping[str, Any], names: Mapping[str, Names] | None = None
    ) -> dict[str, Placement]:
        """Parameter path -> where it goes.

        Args:
            params: path -> anything with a shape.
            names: path -> what the module calls its dimensions, of those that it does.

        Raises:
            ConfigError: rules that do not fit; everything that is wrong is named.
        """
        found: dict[str, Placement] = {}
        diagnostics: list[tuple[str, Diagnostic]] = []
        for path, array in params.items():
            try:
                named = (names or {}).get(path)
                found[path] = self.rules.place(path, array.shape, named)
            except ConfigError as error:
                diagnostics.extend(
                    (path, diagnostic) for diagnostic in error.diagnostics
                )
        if diagnostics:
            raise ConfigError(*_together(diagnostics))
        return found

    def params(
        self, params: Mapping[str, Any], names: Mapping[str, Names] | None = None
    ) -> dict[str, NamedSharding]:
        """Parameter path -> sharding; arguments as for `placements`."""
        return {
            path: NamedSharding(self.mesh, _spec(placement))
            for path, placement in self.placements(params, names).items()
        }

    def warnings(
        self, params: Mapping[str, Any], names: Mapping[str, Names] | None = None
    ) -> list[Diagnostic]:
        """What is no fault, and not as it may have been meant: see `mesh.warnings`.

        Args:
            params: path -> anything with a shape and a dtype.
            names: as for `placements`.
        """
        placed = self.placements(params, names)
        order = [] if is_local(self.mesh) else [order_warning(self.mesh)]
        return [*order, *placement_warnings(placed, params, self.rules)]

    def like_params(
        self,
        tree: Any,
        params: Mapping[str, Any],
        shardings: Mapping[str, NamedSharding],
    ) -> Any:
        """Shardings of a tree that holds copies of the parameters, as optimizers' do.

        A leaf that stands under a parameter's path and has its shape goes where the
        parameter goes; counters and factored statistics stay whole.
        """

        def sharding(path: tuple[Any, ...], leaf: Any) -> NamedSharding:
            name = str(getattr(path[-1], "key", "")) if path else ""
            like = params.get(name)
            same = like is not None and like.shape == leaf.shape
            return shardings[name] if same else self.replicated

        return jax.tree_util.tree_map_with_path(sharding, tree)


def _spec(placement: Placement) -> PartitionSpec:
    return PartitionSpec(
        *(axes[0] if len(axes) == 1 else axes or None for axes in placement.axes)
    )


def _together(diagnostics: Iterable[tuple[str, Diagnostic]]) -> list[Diagnostic]:
    """One fault for all layers of a model that have the same one."""
    alike: dict[tuple[str, str], list[tuple[str, Diagnostic]]] = {}
    for path, diagnostic in diagnostics:
        key = diagnostic.where, diagnostic.problem.replace(path, "")
        alike.setdefault(key, []).append((path, diagnostic))
    told = []
    for (path, first), *more in alike.values():
        problem = first.problem
        if more:
            problem = problem.replace(path, f"{path} (and of {len(more)} more)")
        told.append(dataclasses.replace(first, problem=problem))
    return told
