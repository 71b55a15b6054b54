"""`mesh`: axes of the device mesh, and rules that shard parameters over them."""

import re
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
from specflow.config.broken_rules import Broken, refuse

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
"""Mesh axes over which batches are sharded."""

COORDINATOR = "SPECFLOW_COORDINATOR"
COUNT = "SPECFLOW_PROCESS_COUNT"
INDEX = "SPECFLOW_PROCESS_INDEX"
"""Environment variables that `specflow launch` sets for each process."""

_NAMES = get_args(AxisName)
_PAIR = re.compile(r"(\w+)[:=](\S+)")
"""A pair in braces without the space that YAML wants after its colon."""


class _OneError:
    """Validates axes like Pydantic's union, with a single error."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._checked)

    def _checked(self, value: Any) -> Any:
        names = value if isinstance(value, list | tuple) else [value]
        if value is not None and not all(name in _NAMES for name in names):
            expected = ", ".join(map(repr, _NAMES))
            raise PydanticKnownError("literal_error", {"expected": expected})
        return value


Along: TypeAlias = Annotated[AxisName | list[AxisName] | None, _OneError()]
"""Mesh axes of an array dimension: one, several, or null for a replicated dimension."""


def axes_of(along: Any) -> tuple[str, ...]:
    """Mesh axes as a tuple.

    >>> axes_of("fsdp"), axes_of(["fsdp", "tensor"]), axes_of(None)
    (('fsdp',), ('fsdp', 'tensor'), ())
    """
    if along is None:
        return ()
    return (along,) if isinstance(along, str) else tuple(along)


_SIZE = "1 or more, or -1 for all remaining devices"


class AxesConfig(Config):
    """Number of devices along each mesh axis; one axis may be -1, for all that
    remain.
    """

    data: int = Field(default=1, ge=-1)
    """Data parallelism: replicas of the model, each with a shard of the batch."""
    fsdp: int = Field(default=1, ge=-1)
    """Fully sharded data parallelism: shards of the parameters and of the batch."""
    tensor: int = Field(default=1, ge=-1)
    """Tensor parallelism: shards of each layer."""
    sequence: int = Field(default=1, ge=-1)
    """Sequence parallelism: shards of each sequence."""
    expert: int = Field(default=1, ge=-1)
    """Expert parallelism: groups of experts."""

    @model_validator(mode="after")
    def _sizes(self) -> Self:
        sizes = self.sizes()
        free = [name for name, size in sizes.items() if size == -1]
        diagnostics = {name: _SIZE for name, size in sizes.items() if size == 0}
        if len(free) > 1:
            expected = f"at most one axis of -1; {' and '.join(free)} are"
            diagnostics |= dict.fromkeys(free, expected)
        refuse(
            "AxesConfig",
            (
                ((name,), sizes[name], expected)
                for name, expected in diagnostics.items()
            ),
        )
        return self

    def sizes(self) -> dict[str, int]:
        """Mesh axis -> size, in mesh order."""
        return {name: getattr(self, name) for name in type(self).model_fields}


class RuleConfig(Config):
    """Sharding rule of parameters; the first rule that matches applies.

    Set `dims`, `along` or `logical`, or none of them to replicate the parameters.
    """

    path: str = "**"
    """Glob of parameter paths: `*` matches one name, `**` any number of names."""
    dims: list[Along] | None = None
    """Mesh axis of each dimension, or several; null replicates the dimension."""
    along: Along = None
    """Mesh axis that shards the largest dimension that it divides; or several axes,
    each on its own dimension if possible. Dimensions whose name `mesh.logical` maps to
    null are skipped."""
    logical: bool = False
    """Shard by the names of dimensions, as in `mesh.logical`; matches parameters whose
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
            if expected := _repeated(named):
                diagnostics.append(((name,), ways[name], expected))
        refuse("RuleConfig", diagnostics)
        return self


class ProcessesConfig(Config):
    """Processes of a distributed run; each is started with the same config.

    Without `coordinator` and `count`, a TPU pod or Slurm determines them.
    """

    coordinator: Annotated[str, Field(pattern=r"^.+:\d+$")] | None = None
    """`host:port` of process 0, which the others connect to."""
    count: PositiveInt | None = None
    """Number of processes."""
    index: NonNegativeInt | None = None
    """Index of this process, from 0; null: SPECFLOW_PROCESS_INDEX, so that all
    processes share one config."""
    timeout: PositiveFloat = 300.0
    """Seconds to wait for the other processes at the start."""

    @model_validator(mode="after")
    def _both(self) -> Self:
        diagnostics = []
        if self.coordinator is None and self.count is not None:
            expected = "host:port of process 0, with mesh.processes.count"
            diagnostics.append((("coordinator",), None, expected))
        if self.count is None and self.coordinator is not None:
            expected = "the number of processes, with mesh.processes.coordinator"
            diagnostics.append((("count",), None, expected))
        refuse("ProcessesConfig", diagnostics)
        return self


class MeshConfig(Config):
    """Device mesh with named axes, and rules that shard parameters over it."""

    axes: AxesConfig = Field(default_factory=partial(AxesConfig, data=-1))
    """Number of devices along each axis."""
    slices: PositiveInt | None = None
    """Number of device slices connected by the data-centre network; `data` spans
    slices, so that only gradients cross the network. null: as the devices report."""
    logical: dict[str, Along] = {}
    """Name of a dimension -> mesh axes, null to replicate it: for parameters of
    `logical` rules, and for activations that a model constrains."""
    rules: list[RuleConfig] = Field(default_factory=lambda: [RuleConfig(logical=True)])
    """Sharding rules of parameters, in order; the first match applies, and parameters
    without a match are replicated."""
    cpu: Literal["tuned", "plain"] = "tuned"
    """On CPU, `tuned` compiles training with convolutions without XLA's slow paths and
    dispatches it step by step, and computes gradients of max-pooling by masks, to the
    same bits; `plain` compiles as on any other device."""
    pretend_devices: PositiveInt | None = None
    """Number of virtual CPU devices, over all processes, to try meshes on one
    machine."""
    processes: ProcessesConfig | None = None
    """Processes of the mesh; null: this process, unless a TPU pod, Slurm or `specflow
    launch` sets others."""

    @model_validator(mode="after")
    def _sound(self) -> Self:
        refuse("MeshConfig", self._diagnostics())
        return self

    def _diagnostics(self) -> Iterator[Broken | tuple[tuple[str, ...], Any, str]]:
        if "batch" in self.logical:
            expected = "no entry: batches are sharded the same way on every mesh"
            yield ("logical", "batch"), self.logical["batch"], expected
        for name, along in self.logical.items():
            if pair := _PAIR.fullmatch(name):
                expected, hint = "a name and its axes", f"Write {pair[1]}: {pair[2]}."
                yield Broken(("logical", name), along, expected, hint=hint)
            if expected := _repeated(axes_of(along)):
                yield ("logical", name), along, expected
        if self.slices and self.axes.data != -1 and self.axes.data % self.slices:
            expected = (
                f"a divisor of mesh.axes.data ({self.axes.data}), which spans them"
            )
            yield ("slices",), self.slices, expected


def _repeated(axes: Any) -> str:
    """Expectation for an array with a repeated mesh axis; empty if none repeats."""
    repeated = [axis for axis, count in Counter(axes).items() if count > 1]
    if not repeated:
        return ""
    return f"{', '.join(repeated)} once: a mesh axis shards one dimension"
