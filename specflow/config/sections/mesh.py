"""`mesh`: the axes of the device mesh and what is laid along them."""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any, Literal, Self, TypeAlias, get_args

from pydantic import (
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticKnownError, core_schema

from specflow.config.base import Config
from specflow.config.broken_rules import refuse

__all__ = [
    "BATCH_AXES",
    "COORDINATOR",
    "COUNT",
    "INDEX",
    "Along",
    "AxesConfig",
    "AxisName",
    "MeshConfig",
    "ProcessesConfig",
    "RuleConfig",
    "axes_of",
]

AxisName: TypeAlias = Literal["data", "fsdp", "tensor", "sequence", "expert"]

BATCH_AXES = ("data", "fsdp")
"""The axes over which a batch is cut."""

COORDINATOR = "SPECFLOW_COORDINATOR"
COUNT = "SPECFLOW_PROCESS_COUNT"
INDEX = "SPECFLOW_PROCESS_INDEX"
"""What `specflow launch` tells each process that it starts, in its environment."""

_NAMES = get_args(AxisName)


class _OneError:
    """Checks axes as Pydantic's union would, but says once what is wrong."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._checked)

    def _checked(self, value: Any) -> Any:
        names = value if isinstance(value, list | tuple) else [value]
        if value is not None and not all(name in _NAMES for name in names):
            expected = ", ".join(map(repr, _NAMES))
            raise PydanticKnownError("literal_error", {"expected": expected})
        return value


Along: TypeAlias = Annotated[AxisName | list[AxisName] | None, _OneError()]
"""What a dimension is laid along: an axis, several of them, or null for none."""


def axes_of(along: Any) -> tuple[str, ...]:
    """The axes that are meant, as a tuple.

    >>> axes_of("fsdp"), axes_of(["fsdp", "tensor"]), axes_of(None)
    (('fsdp',), ('fsdp', 'tensor'), ())
    """
    if along is None:
        return ()
    return (along,) if isinstance(along, str) else tuple(along)


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
        diagnostics = {name: _SIZE for name, size in sizes.items() if size == 0}
        if len(free) > 1:
            told = f"one axis of -1, the rest, at most; {' and '.join(free)} are"
            diagnostics |= dict.fromkeys(free, told)
        refuse(
            "AxesConfig",
            (((name,), sizes[name], told) for name, told in diagnostics.items()),
        )
        return self

    def sizes(self) -> dict[str, int]:
        """Axis name -> size, in mesh order."""
        return {name: getattr(self, name) for name in type(self).model_fields}


class RuleConfig(Config):
    """Which parameters go along which axes; the first rule that matches wins.

    Give `dims`, `along` or `logical`, or none of them: such parameters are kept whole
    on every device.
    """

    path: str = "**"
    """Glob of parameter paths: `*` is one name, `**` any number of them."""
    dims: list[Along] | None = None
    """Axis of each dimension, or several, null for none."""
    along: Along = None
    """Axis to lay along the largest dimension that it divides, or several, each along a
    dimension of its own if it can be. Dimensions whose name `mesh.logical` maps to null
    are passed over."""
    logical: bool = False
    """By the names of its dimensions, as `mesh.logical` says; matches parameters whose
    dimensions have names."""

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        ways = {"dims": self.dims, "along": self.along, "logical": self.logical or None}
        given = [name for name, value in ways.items() if value is not None]
        diagnostics = [
            ((name,), ways[name], f"{' or '.join(given)}, not both")
            for name in given[1:]
        ]
        axes = [axis for dim in self.dims or [] for axis in axes_of(dim)]
        for name, named in (("dims", axes), ("along", axes_of(self.along))):
            if told := _told_twice(named):
                diagnostics.append(((name,), ways[name], told))
        refuse("RuleConfig", diagnostics)
        return self


class ProcessesConfig(Config):
    """Several processes that train together; each is started with the same config.

    Without `coordinator` and `count` they are as a TPU pod or Slurm says.
    """

    coordinator: Annotated[str, Field(pattern=r"^.+:\d+$")] | None = None
    """`host:port` of the first process, where the others find it."""
    count: PositiveInt | None = None
    """All processes."""
    index: NonNegativeInt | None = None
    """Which one this is, from 0; null: as SPECFLOW_PROCESS_INDEX says, so that one
    config serves all."""
    timeout: PositiveFloat = 300.0
    """Seconds to wait for the others at the start."""

    @model_validator(mode="after")
    def _both(self) -> Self:
        diagnostics = []
        if self.coordinator is None and self.count is not None:
            told = "host:port of the first of these mesh.processes.count processes"
            diagnostics.append((("coordinator",), None, told))
        if self.count is None and self.coordinator is not None:
            told = "how many processes meet at mesh.processes.coordinator"
            diagnostics.append((("count",), None, told))
        refuse("ProcessesConfig", diagnostics)
        return self


class MeshConfig(Config):
    """The devices as a grid with named axes, and rules that lay parameters on it."""

    axes: AxesConfig = Field(default_factory=partial(AxesConfig, data=-1))
    """Devices along each axis."""
    slices: PositiveInt | None = None
    """Groups of devices that are joined by the data-centre network; `data` spans them,
    so that gradients alone travel between them. Null: as the devices say."""
    logical: dict[str, Along] = {}
    """Name of a dimension -> the axes that it goes along, null for none: of parameters
    that a rule lays by names, and of activations that a model constrains."""
    rules: list[RuleConfig] = Field(default_factory=lambda: [RuleConfig(logical=True)])
    """Ordered rules for parameters, the first that matches wins; what none matches is
    kept whole on every device."""
    cpu: Literal["tuned", "plain"] = "tuned"
    """On CPU: compile programs that convolve around what is slow in XLA there, and step
    them; or leave them as they are on any other device."""
    pretend_devices: PositiveInt | None = None
    """Pretend that the CPU is this many devices, in all processes together: for trying
    meshes out on a laptop."""
    processes: ProcessesConfig | None = None
    """Processes that make up the mesh; null: this one alone, unless a TPU pod, Slurm or
    `specflow launch` says otherwise."""

    @model_validator(mode="after")
    def _sound(self) -> Self:
        refuse("MeshConfig", self._diagnostics())
        return self

    def _diagnostics(self) -> Iterator[tuple[tuple[str, ...], Any, str]]:
        if "batch" in self.logical:
            told = "no entry: the rows of a batch are cut the same way on every mesh"
            yield ("logical", "batch"), self.logical["batch"], told
        for name, along in self.logical.items():
            if told := _told_twice(axes_of(along)):
                yield ("logical", name), along, told
        if self.slices and self.axes.data != -1 and self.axes.data % self.slices:
            told = f"a divisor of mesh.axes.data ({self.axes.data}), which spans them"
            yield ("slices",), self.slices, told


def _told_twice(axes: Any) -> str:
    """What is expected instead, where an axis is named twice for one array."""
    twice = [axis for axis, count in Counter(axes).items() if count > 1]
    return f"{', '.join(twice)} once: an axis cuts one dimension" if twice else ""
