"""Memory of each chip that a program can use."""

import dataclasses
import math
import os
from collections.abc import Mapping

from specflow.diagnostics.errors import ConfigError, Diagnostic
from specflow.runtime.topologies import Topology

__all__ = ["FRACTION", "MemoryLimit", "memory_limit"]

FRACTION = "XLA_PYTHON_CLIENT_MEM_FRACTION"
"""Environment variable: share of a GPU's memory that JAX takes."""
_NAMES = ("XLA_CLIENT_MEM_FRACTION", FRACTION)
"""Its newer name, and that of all versions."""
_DEFAULT = 0.75
"""Share without it. Source: JAX's page on GPU memory allocation, 2026."""
_CONTEXT, _NCCL = 1 << 30, 1 << 30
"""Assumed upper bounds of what processes hold outside JAX's share: CUDA's context with
its loaded kernels, and NCCL's buffers if several GPUs exchange data. Processes without
an array show 0.4 to 0.6 GiB in public reports."""


@dataclasses.dataclass(frozen=True)
class MemoryLimit:
    """Memory of each chip that a program can use."""

    total: int
    """Bytes that the device reports."""
    fraction: float | None = None
    """Share of `total` that JAX takes; None: all of it."""
    is_set: bool = False
    """Whether the environment sets the share."""
    reserved: int = 0
    """Bytes that the program cannot have in any case."""

    @property
    def available(self) -> int:
        """Bytes available to a program.

        >>> MemoryLimit(total=80, fraction=0.75, reserved=2).available
        60
        >>> MemoryLimit(total=80, fraction=0.99, reserved=2).available
        78
        """
        most = self.total - self.reserved
        return (
            most
            if self.fraction is None
            else min(int(self.total * self.fraction), most)
        )

    def fraction_for(self, needs: int) -> float | None:
        """Returns the smallest share that suffices, in hundredths; None if none does.

        >>> limit = MemoryLimit(total=80, fraction=0.75, reserved=2)
        >>> limit.fraction_for(61), limit.fraction_for(79)
        (0.77, None)
        """
        if self.fraction is None or needs > self.total - self.reserved:
            return None
        share = math.ceil(100 * needs / self.total) / 100
        return share if int(self.total * share) <= self.total - self.reserved else None


def memory_limit(
    topology: Topology, environment: Mapping[str, str] = os.environ
) -> MemoryLimit:
    """Returns the limit of a topology's chips.

    Args:
        topology: the chips.
        environment: variables of the run, as JAX reads them on GPUs.

    Raises:
        ConfigError: the share of a GPU's memory is set to no number in (0, 1].

    >>> from specflow.runtime.topologies import parse
    >>> limit = memory_limit(parse("h100:8"), {FRACTION: ".9"})
    >>> round(limit.available / 2**30, 1)
    71.2
    """
    chip = topology.chip
    if not chip.is_gpu:
        return MemoryLimit(chip.usable)
    reserved = _CONTEXT + (_NCCL if topology.size > 1 else 0)
    if environment.get("XLA_PYTHON_CLIENT_ALLOCATOR", "").lower() == "platform":
        return MemoryLimit(chip.usable, reserved=reserved)
    given = [(name, environment[name]) for name in _NAMES if environment.get(name)]
    if not given:
        return MemoryLimit(chip.usable, _DEFAULT, reserved=reserved)
    name, text = given[0]
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if len(given) > 1 or not 0 < share <= 1:
        raise ConfigError(
            Diagnostic(
                name,
                f"is set, and so is {given[1][0]}"
                if len(given) > 1
                else f"got {text!r}",
                expected="one of them"
                if len(given) > 1
                else "a share of the GPU's memory, above 0 and at most 1",
                origin="environment",
                code="memory-fraction",
            )
        )
    return MemoryLimit(chip.usable, share, is_set=True, reserved=reserved)
