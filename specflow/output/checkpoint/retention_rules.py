"""Rules of retention: each names the checkpoints that it keeps, and why."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, Self

from specflow.config.sections.output import BestConfig
from specflow.output.checkpoint.best_checkpoint import BestTracker
from specflow.output.json_values import JsonObject

__all__ = [
    "BestSteps",
    "MarkedSteps",
    "MultiplesOf",
    "NamedSteps",
    "Newest",
    "NewestUndamaged",
    "Policies",
    "Rule",
    "TaggedSteps",
]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """Checkpoints to keep, as every checkpoint records it.

    >>> Policies.of(Policies(keep=2, best=BestConfig()).to_plain()).best.metric
    'loss'
    """

    keep: int = 3
    """Number of newest checkpoints; 0: all."""
    keep_every_steps: int | None = None
    """Multiples of this step; None: none."""
    keep_every_s: float = math.inf
    """Period (seconds) of which one checkpoint is kept."""
    best: BestConfig | None = None
    """Criterion of the best checkpoints; None: none."""

    def to_plain(self) -> JsonObject:
        """The policies as plain JSON values."""
        is_finite = math.isfinite(self.keep_every_s)
        return {
            "keep": self.keep,
            "keep_every_steps": self.keep_every_steps,
            "keep_every_s": self.keep_every_s if is_finite else None,
            "best": None if self.best is None else self.best.model_dump(),
        }

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Self:
        """The policies that a checkpoint records; the default of what is missing."""
        best = plain.get("best")
        period_s = plain.get("keep_every_s")
        return cls(
            keep=plain.get("keep", 3),
            keep_every_steps=plain.get("keep_every_steps"),
            keep_every_s=math.inf if period_s is None else period_s,
            best=None if best is None else BestConfig(**best),
        )


class Rule(Protocol):
    """Names the checkpoints that must not be removed."""

    def reasons(self, steps: Sequence[int]) -> dict[int, str]:
        """Step -> reason, of those of these checkpoints (ascending) that are kept."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Newest:
    """Keeps the newest checkpoints.

    >>> Newest(2).reasons([10, 20, 30])
    {20: 'newest 2', 30: 'newest 2'}
    >>> Newest(0).reasons([10, 20])
    {10: 'all are kept', 20: 'all are kept'}
    """

    keep: int
    """Their number; 0: all."""

    def reasons(self, steps: Sequence[int]) -> dict[int, str]:
        reason = f"newest {self.keep}" if self.keep else "all are kept"
        return dict.fromkeys(sorted(steps)[-self.keep :], reason)


@dataclasses.dataclass(frozen=True, slots=True)
class NewestUndamaged:
    """Keeps the checkpoint that training would resume from, whatever the other rules.

    >>> NewestUndamaged(lambda step: step == 30).reasons([10, 20, 30])
    {20: 'latest'}
    """

    is_damaged: Callable[[int], bool]
    """Step -> whether its checkpoint is damaged."""

    def reasons(self, steps: Sequence[int]) -> dict[int, str]:
        for step in sorted(steps, reverse=True):
            if not self.is_damaged(step):
                return {step: "latest"}
        return {}


@dataclasses.dataclass(frozen=True, slots=True)
class MultiplesOf:
    """Keeps every step that is a multiple of a number.

    >>> MultiplesOf(20).reasons([10, 20, 30, 40])
    {20: 'every 20 steps', 40: 'every 20 steps'}
    """

    every: int

    def reasons(self, steps: Sequence[int]) -> dict[int, str]:
        multiples = (step for step in steps if step % self.every == 0)
        return dict.fromkeys(multiples, f"every {self.every} steps")


@dataclasses.dataclass(frozen=True, slots=True)
class NamedSteps:
    """Keeps the steps that a function returns."""

    named: Callable[[], Sequence[int]]
    reason: str

    def reasons(self, steps: Sequence[int]) -> dict[int, str]:
        named = {*self.named()}
        return dict.fromkeys((step for step in steps if step in named), self.reason)


@dataclasses.dataclass(frozen=True, slots=True)
class BestSteps:
    """Keeps the best checkpoints by a metric."""

    tracker: BestTracker

    def reasons(self, steps: Sequence[int]) -> dict[int, str]:
        best = f"best {self.tracker.order.metric}"
        return {
            step: best if place == 1 else f"{best} #{place}"
            for place, step in enumerate(self.tracker.kept(steps), 1)
        }


@dataclasses.dataclass(frozen=True, slots=True)
class MarkedSteps:
    """Keeps the checkpoints that are marked as the ones of their period."""

    is_marked: Callable[[int], bool]
    """Step -> whether its checkpoint is marked."""

    def reasons(self, steps: Sequence[int]) -> dict[int, str]:
        return dict.fromkeys(filter(self.is_marked, steps), "one per period")


@dataclasses.dataclass(frozen=True, slots=True)
class TaggedSteps:
    """Keeps the checkpoints that have a tag."""

    tags_of: Callable[[int], Sequence[str]]
    """Step -> its tags."""

    def reasons(self, steps: Sequence[int]) -> dict[int, str]:
        tags = {step: self.tags_of(step) for step in steps}
        return {
            step: f"tag {', '.join(names)}" for step, names in tags.items() if names
        }
