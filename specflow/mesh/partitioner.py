"""Shardings of everything that a step touches: parameters by rule, batches by row."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from specflow.config.mesh import BATCH_AXES, RuleConfig
from specflow.errors import ConfigError
from specflow.mesh.rules import Placement, place

__all__ = ["Partitioner"]


class Partitioner:
    """Lays arrays on a mesh.

    Args:
        mesh: the devices.
        rules: what to do with parameters, in order; without a match they stay whole.
    """

    def __init__(self, mesh: Mesh, rules: Sequence[RuleConfig] = ()):
        self.mesh = mesh
        self.rules = tuple(rules)

    @property
    def replicated(self) -> NamedSharding:
        """The whole array on every device."""
        return NamedSharding(self.mesh, PartitionSpec())

    def rows(self, axis: int = 0) -> NamedSharding:
        """Batches: cut along `axis` over the data and fsdp axes."""
        return NamedSharding(self.mesh, PartitionSpec(*(None,) * axis, BATCH_AXES))

    def placements(self, params: Mapping[str, Any]) -> dict[str, Placement]:
        """Parameter path -> where it goes.

        Args:
            params: path -> anything with a shape.

        Raises:
            ConfigError: rules that do not fit; every such parameter is named.
        """
        found, faults = {}, []
        for path, array in params.items():
            try:
                found[path] = place(path, array.shape, self.rules, self.mesh.shape)
            except ConfigError as error:
                faults.extend(error.faults)
        if faults:
            raise ConfigError(*faults)
        return found

    def params(self, params: Mapping[str, Any]) -> dict[str, NamedSharding]:
        """Parameter path -> sharding."""
        return {
            path: NamedSharding(self.mesh, PartitionSpec(*placement.axes))
            for path, placement in self.placements(params).items()
        }

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
