"""How fast a step can be at best: by arithmetic, by memory, by the network."""

import dataclasses
from collections.abc import Sequence

from specflow.preflight.hlo import Collective
from specflow.runtime.chips import Topology

__all__ = ["Roofline", "roofline"]


@dataclasses.dataclass(frozen=True)
class Roofline:
    """The least seconds that a step takes, were each the only thing to wait for."""

    compute: float
    hbm: float
    ici: float
    dcn: float
    mfu: float
    """Share of the peak that the model's own FLOPs can reach: an upper bound."""

    @property
    def by(self) -> str:
        """What bounds it: the field with the most seconds."""
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
    """The bounds of one step.

    Everything overlaps perfectly, every product runs at the peak, and what is sent
    leaves over all links at once: no step is faster, and most are slower.

    Args:
        topology: the chips.
        flops: of all chips, with what is computed again.
        model_flops: of all chips, without.
        moved: bytes between the memory and the cores of each chip.
        collectives: of each chip.

    Source: Williams, Waterman and Patterson, Roofline, 2009.

    >>> from specflow.runtime.chips import parse
    >>> found = roofline(parse("v5e:2x2"), flops=197e12 * 4, model_flops=197e12 * 3,
    ...                  moved=819e9 / 2)
    >>> found.compute, found.hbm, found.by, found.mfu
    (1.0, 0.5, 'compute', 0.75)
    """
    chip, peak = topology.chip, topology.size * topology.chip.flops
    sent = {True: 0.0, False: 0.0}
    for one in collectives:
        # Between slices, what is exchanged is sent and received.
        sent[topology.slices > 1 and one.kind == "send"] += one.sent
    seconds = {
        "compute": flops / peak,
        "hbm": moved / chip.hbm_bandwidth,
        "ici": sent[False] / chip.ici_bandwidth,
        "dcn": sent[True] / chip.dcn_bandwidth,
    }
    longest = max(seconds.values())
    return Roofline(**seconds, mfu=model_flops / (peak * longest) if longest else 0.0)
