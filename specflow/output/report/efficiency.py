"""How much of a run's time trained, and how much of its chips' speed that used."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from specflow.runtime.chips import chip_of

__all__ = ["Efficiency", "efficiency"]

_NAMES = {
    "train": "step",
    "compile": "compile",
    "input": "input wait",
    "eval": "eval",
    "checkpoint": "checkpoint",
    "export": "export",
}
"""Names of the stopwatch -> what they are called here, where more time goes first."""


@dataclasses.dataclass(frozen=True, slots=True)
class Efficiency:
    """What came of the time and of the chips.

    Source of MFU, the share of the peak that the model's own operations take: Chowdhery
    et al., PaLM, 2022, appendix B; of goodput: the share of a run that trains.
    """

    total_s: float
    """Seconds of the whole run."""
    shares: dict[str, float]
    """What the time went into -> share of it; `idle` is what nobody counted, such as
    starting up."""
    flops_per_step: float | None
    """Floating-point operations of a step of the model, on all devices; None: no step
    was taken."""
    flops_per_s: float | None
    """The same by the time of the steps."""
    mfu: float | None
    """Share of what the chips can do in bf16; None: nobody knows of such a chip."""
    chips: str
    """How many of which."""
    unknown: tuple[str, ...] = ()
    """What could not be counted."""

    def facts(self) -> dict[str, str]:
        """Rows for the table at the end of a run."""
        spent = ", ".join(
            f"{name} {share:.0%}"
            for name, share in self.shares.items()
            if share >= 0.005
        )
        found = {
            "goodput": f"{self.shares['step']:.0%} of {self.total_s:,.1f} s: {spent}"
        }
        if self.flops_per_s is None:
            return found
        speed = f"{_scaled(self.flops_per_s)}FLOP/s on {self.chips}"
        source = "FLOPs counted in the program of a step"
        if self.unknown:
            source += f", but for {', '.join(self.unknown)}"
        if self.mfu is None:
            found["model speed"] = f"{speed}, whose peak is not known; {source}"
        else:
            found["MFU"] = f"{self.mfu:.1%}: {speed}; {source}"
        return found

    def plain(self) -> dict[str, Any]:
        """The same numbers, for `result.json`."""
        return {**dataclasses.asdict(self), "unknown": list(self.unknown)}


def efficiency(
    timing: Mapping[str, float],
    *,
    total_s: float,
    steps: int,
    flops: Any,
    kind: str,
    devices: int,
) -> Efficiency:
    """What came of a run.

    Args:
        timing: seconds by name, as the stopwatch of a program has them.
        total_s: seconds of the whole run.
        steps: training steps of this run.
        flops: of one step, with `total` and `unknown`; None if there was none.
        kind: `device_kind` of the devices.
        devices: how many train.

    >>> found = efficiency(
    ...     {"train": 6.0, "compile": 3.0}, total_s=10.0, steps=0, flops=None,
    ...     kind="cpu", devices=1,
    ... )
    >>> print(found.facts()["goodput"])
    60% of 10.0 s: step 60%, compile 30%, idle 10%
    """
    spent = {said: timing.get(name, 0.0) for name, said in _NAMES.items()}
    spent["idle"] = max(0.0, total_s - sum(spent.values()))
    whole = max(total_s, 1e-9)
    per_s, mfu, chip = None, None, chip_of(kind)
    if flops is not None and steps and spent["step"]:
        per_s = flops.total * steps / spent["step"]
        if chip is not None:
            mfu = per_s / (chip.flops * devices)
    return Efficiency(
        total_s=total_s,
        shares={name: seconds / whole for name, seconds in spent.items()},
        flops_per_step=None if flops is None else flops.total,
        flops_per_s=per_s,
        mfu=mfu,
        chips=f"{devices} x {chip.name if chip else kind}",
        unknown=() if flops is None else tuple(flops.unknown),
    )


def _scaled(number: float) -> str:
    """A number with the prefix of its size.

    >>> _scaled(1_234_000_000.0), _scaled(12.0)
    ('1.23 G', '12 ')
    """
    for prefix in ("", "k", "M", "G", "T", "P"):
        if number < 1_000:
            return f"{number:.3g} {prefix}"
        number /= 1_000
    return f"{number:.3g} E"
