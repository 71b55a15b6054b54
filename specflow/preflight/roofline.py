"""Lower bounds of the step time: by arithmetic, memory and network."""

import dataclasses
from collections.abc import Sequence

from specflow.preflight.hlo import Collective
from specflow.runtime.topologies import Topology

__all__ = ["Roofline", "roofline"]


@dataclasses.dataclass(frozen=True)
class Roofline:
    """Lower bounds of the step time in seconds, each by one resource alone."""

    compute: float
    hbm: float
    ici: float
    """By the links within a slice or node: NVLink or PCIe between GPUs."""
    dcn: float
    """By the network between slices or nodes."""
    mfu: float
    """Upper bound of the model FLOPs utilization."""

    @property
    def by(self) -> str:
        """Name of the largest bound."""
        fields = ("compute", "hbm", "ici", "dcn")
        return max(fields, key=lambda name: getattr(self, name))


def roofline(
    topology: Topology,
    *,
    flops: float,
    model_flops: float,
    moved: float,
    collectives: Sequence[Collective] = (),
) -> Roofline:
    """Computes the bounds of one step.

    They assume perfect overlap, peak FLOP/s, and sending over all links at once: no
    step is faster, and most are slower.

    Args:
        topology: the chips.
        flops: of all chips, including rematerialization.
        model_flops: of all chips, without rematerialization.
        moved: bytes between memory and cores of each chip.
        collectives: of each chip.

    Source: Williams, Waterman and Patterson, Roofline, 2009.

    >>> from specflow.runtime.topologies import parse
    >>> bounds = roofline(parse("v5e:2x2"), flops=197e12 * 4, model_flops=197e12 * 3,
    ...                  moved=819e9 / 2)
    >>> bounds.compute, bounds.hbm, bounds.by, bounds.mfu
    (1.0, 0.5, 'compute', 0.75)
    """
    chip, peak = topology.chip, topology.size * topology.chip.flops
    sent = {True: 0.0, False: 0.0}
    for collective in collectives:
        sent[True] += collective.sent_between
        # Between slices of TPUs, collectives are sends and receives.
        is_between = topology.slices > 1 and collective.kind == "send"
        sent[is_between] += collective.sent_within
    seconds = {
        "compute": flops / peak,
        "hbm": moved / chip.hbm_bandwidth,
        "ici": sent[False] / chip.ici_bandwidth,
        "dcn": sent[True] / chip.dcn_bandwidth,
    }
    longest = max(seconds.values())
    return Roofline(**seconds, mfu=model_flops / (peak * longest) if longest else 0.0)
