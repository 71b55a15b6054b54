"""`mesh`: the axes of the device mesh and what is laid along them."""

from functools import partial
from typing import Literal, Self

from pydantic import Field, PositiveInt, model_validator

from specflow.config.base import Config, refuse

__all__ = ["BATCH_AXES", "AxesConfig", "MeshConfig", "RuleConfig"]

AxisName = Literal["data", "fsdp", "tensor", "sequence", "expert"]

BATCH_AXES = ("data", "fsdp")
"""The axes over which a batch is cut."""

_SIZE = "1 or more, or -1 for the rest"


class AxesConfig(Config):
    """How many devices lie along each axis; one may be -1 and takes what is left."""

    data: int = Field(default=1, ge=-1)
    """Copies of the model, each with its part of the batch."""
    fsdp: int = Field(default=1, ge=-1)
    """Parts of the parameters, each with its part of the batch."""
    tensor: int = Field(default=1, ge=-1)
    """Parts of each layer."""
    sequence: int = Field(default=1, ge=-1)
    """Parts of each sequence."""
    expert: int = Field(default=1, ge=-1)
    """Groups of experts."""

    @model_validator(mode="after")
    def _sizes(self) -> Self:
        sizes = self.sizes()
        free = [name for name, size in sizes.items() if size == -1]
        faults = {name: _SIZE for name, size in sizes.items() if size == 0}
        if len(free) > 1:
            told = f"one axis of -1, the rest, at most; {' and '.join(free)} are"
            faults |= dict.fromkeys(free, told)
        refuse(
            "AxesConfig",
            (((name,), sizes[name], told) for name, told in faults.items()),
        )
        return self

    def sizes(self) -> dict[str, int]:
        """Axis name -> size, in mesh order."""
        return {name: getattr(self, name) for name in type(self).model_fields}


class RuleConfig(Config):
    """Which parameters go along which axes; the first rule whose path matches wins.

    Give `dims` (an axis or null per dimension) or `along` (the largest dimension that
    the axis divides), or neither: such parameters are kept whole on every device.
    """

    path: str
    """Glob of parameter paths: `*` is one name, `**` any number of them."""
    dims: list[AxisName | None] | None = None
    """Axis of each dimension, null for none."""
    along: AxisName | None = None
    """Axis to lay along the largest dimension that it divides."""

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if self.dims is not None and self.along is not None:
            refuse("RuleConfig", [(("along",), self.along, "dims or along, not both")])
        return self


class MeshConfig(Config):
    """The devices as a grid with named axes, and rules that lay parameters on it."""

    axes: AxesConfig = Field(default_factory=partial(AxesConfig, data=-1))
    """Devices along each axis."""
    rules: list[RuleConfig] = []
    """Ordered rules for parameters; what none names is kept whole on every device."""
    cpu: Literal["tuned", "plain"] = "tuned"
    """On CPU: compile programs that convolve around what is slow in XLA there, and step
    them; or leave them as they are on any other device."""
    pretend_devices: PositiveInt | None = None
    """Pretend that the CPU is this many devices: for trying meshes out on a laptop."""
