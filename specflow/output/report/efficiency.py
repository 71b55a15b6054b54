"""Goodput and MFU: shares of a run's time and of its chips' peak used to train."""

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
"""Names of the stopwatch -> names here."""


@dataclasses.dataclass(frozen=True, slots=True)
class Efficiency:
    """Use of the time and of the chips.

    MFU (model FLOPs utilization) is the share of the chips' peak that the model's own
    operations use. Source: Chowdhery et al., PaLM, 2022, appendix B. Goodput is the
    share of the run's time spent in training steps.
    """

    total_s: float
    """Seconds of the whole run."""
    shares: dict[str, float]
    """Activity -> share of the time; `idle` is the time that no activity accounts for,
    such as startup."""
    flops_per_step: float | None
    """Floating-point operations of a training step of the model, on all devices; None:
    no step was run."""
    flops_per_s: float | None
    """FLOPs per second of the training steps."""
    mfu: float | None
    """Share of the chips' bf16 peak; None: the peak of the chip is unknown."""
    chips: str
    """Number and name of the chips."""
    unknown: tuple[str, ...] = ()
    """Operations that could not be counted."""

    def facts(self) -> dict[str, str]:
        """Formats rows for the table at the end of a run."""
        spent = ", ".join(
            f"{name} {share:.0%}"
            for name, share in self.shares.items()
            if share >= 0.005
        )
        rows = {
            "goodput": f"{self.shares['step']:.0%} of {self.total_s:,.1f} s: {spent}"
        }
        if self.flops_per_s is None:
            return rows
        speed = f"{_scaled(self.flops_per_s)}FLOP/s on {self.chips}"
        source = "FLOPs counted in the program of a step"
        if self.unknown:
            source += f", except {', '.join(self.unknown)}"
        if self.mfu is None:
            rows["model speed"] = f"{speed}, whose peak is unknown; {source}"
        else:
            rows["MFU"] = f"{self.mfu:.1%}: {speed}; {source}"
        return rows

    def plain(self) -> dict[str, Any]:
        """Returns the same numbers, for `result.json`."""
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
    """Computes goodput and MFU of a run.

    Args:
        timing: seconds by name, from the stopwatch of a program.
        total_s: seconds of the whole run.
        steps: training steps of this run.
        flops: FLOPs of one step, with `total` and `unknown`; None if no step was run.
        kind: `device_kind` of the devices.
        devices: number of devices that train.

    >>> result = efficiency(
    ...     {"train": 6.0, "compile": 3.0}, total_s=10.0, steps=0, flops=None,
    ...     kind="cpu", devices=1,
    ... )
    >>> print(result.facts()["goodput"])
    60% of 10.0 s: step 60%, compile 30%, idle 10%
    """
    spent = {activity: timing.get(name, 0.0) for name, activity in _NAMES.items()}
    spent["idle"] = max(0.0, total_s - sum(spent.values()))
    duration_s = max(total_s, 1e-9)
    per_s, mfu, chip = None, None, chip_of(kind)
    if flops is not None and steps and spent["step"]:
        per_s = flops.total * steps / spent["step"]
        if chip is not None:
            mfu = per_s / (chip.flops * devices)
    return Efficiency(
        total_s=total_s,
        shares={name: seconds / duration_s for name, seconds in spent.items()},
        flops_per_step=None if flops is None else flops.total,
        flops_per_s=per_s,
        mfu=mfu,
        chips=f"{devices} x {chip.name if chip else kind}",
        unknown=() if flops is None else tuple(flops.unknown),
    )


def _scaled(number: float) -> str:
    """Formats a number with an SI prefix.

    >>> _scaled(1_234_000_000.0), _scaled(12.0)
    ('1.23 G', '12 ')
    """
    for prefix in ("", "k", "M", "G", "T", "P"):
        if number < 1_000:
            return f"{number:.3g} {prefix}"
        number /= 1_000
    return f"{number:.3g} E"
