"""Components with schemas of their own; JAX is imported when one is built."""

from typing import Literal

from pydantic import PositiveInt

from specflow import Component


class TinyResnetConfig(Component):
    """Residual network for small images."""

    name: Literal["tiny_resnet"] = "tiny_resnet"
    width: PositiveInt = 8
    """Channels of each block."""
    blocks: PositiveInt = 1
    """Number of residual blocks."""
    outputs: PositiveInt = 10
    """Number of classes."""

    def build(self, *, rngs, inputs):
        from specflow_sample.nets import TinyResnet  # Loads Flax.

        channels = inputs["image"].shape[-1]
        return TinyResnet(channels, self.width, self.blocks, self.outputs, rngs=rngs)


class TableConfig(Component):
    """Reporter that writes evaluations as a text table."""

    name: Literal["table"] = "table"
    columns: list[str] = ["loss"]
    """Metrics, one for each column."""

    def build(self, *, directory):
        from specflow_sample.reporters import Table

        return Table(directory / "table.txt", self.columns)
