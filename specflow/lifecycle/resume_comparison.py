"""Comparison of a resumed run with an uninterrupted one, bit for bit."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from specflow.diagnostics.errors import Diagnostic
from specflow.lifecycle import resume_causes
from specflow.lifecycle.run_trace import BatchDigests, RunTrace

__all__ = ["ComparedPart", "ResumeComparison", "compare_runs"]

Kind = Literal["batch", "row", "evaluation", "end", "array", "host state"]

_PARTS = {"params": "parameters", "state": "model state", "opt_state": "optimizer"}


@dataclasses.dataclass(frozen=True, slots=True)
class ComparedPart:
    """One part of two runs."""

    name: str
    count: str
    """Number of values compared, with their unit: `24 steps`."""
    differs: str = ""
    """The first difference; empty if all are equal."""


@dataclasses.dataclass(frozen=True, slots=True)
class ResumeComparison:
    """Result of a comparison."""

    parts: tuple[ComparedPart, ...]
    difference: Diagnostic | None
    """The first difference with its likely cause; None if the runs are equal."""

    def to_plain(self) -> dict[str, Any]:
        """Plain values for JSON."""
        parts = [dataclasses.asdict(part) for part in self.parts]
        return {"equal": self.difference is None, "parts": parts}


@dataclasses.dataclass(frozen=True, slots=True)
class _Difference:
    kind: Kind
    step: int
    problem: str
    cause: Callable[[], str]


def compare_runs(whole: RunTrace, resumed: RunTrace) -> ResumeComparison:
    """Compares batches, metrics and the last state of two runs.

    Up to the step from which `resumed` resumed, both are fresh runs: a difference there
    is none of the resume.

    Args:
        whole: the uninterrupted run.
        resumed: the run that was interrupted and resumed.
    """
    batches = _first_batch(whole, resumed)
    rows = _first_metrics(whole, resumed, "train")
    evaluations = _first_metrics(whole, resumed, "eval")
    end = _other_end(whole, resumed)
    state = list(_other_arrays(whole, resumed)) if end is None else []
    host_state = _other_host_state(whole, resumed) if end is None else None
    steps = f"{len(whole.batches)} steps"
    evaluated = len(whole.steps_of("eval"))
    parts = [
        _part("batches", steps, batches),
        _part("log rows", f"{len(whole.steps_of('train'))} rows", rows),
        _part("evaluations", str(evaluated), evaluations),
        _part("last step", f"step {whole.last_step}", end),
    ]
    for prefix, name in _PARTS.items():
        names = [path for path in whole.arrays if path.startswith(f"{prefix}/")]
        first = next((each for part, each in state if part == prefix), None)
        if names:
            parts.append(_part(name, f"{len(names)} arrays", first))
    parts.append(_part("host state", f"{len(whole.host_state)} parts", host_state))
    # At one step: the batch is read before its loss is reported and its state saved.
    found = [batches, rows, evaluations, end, *(each for _, each in state), host_state]
    first = min(
        (each for each in found if each is not None),
        key=lambda each: each.step,
        default=None,
    )
    difference = None
    if first is not None:
        difference = _diagnostic(first, whole, resumed)
    return ResumeComparison(tuple(parts), difference)


def _part(name: str, count: str, difference: _Difference | None) -> ComparedPart:
    if difference is None:
        return ComparedPart(name, count)
    return ComparedPart(name, count, f"step {difference.step}: {difference.problem}")


def _diagnostic(
    difference: _Difference, whole: RunTrace, resumed: RunTrace
) -> Diagnostic:
    problem, cause = difference.problem, difference.cause
    if difference.step <= resumed.start_step:
        problem = f"two fresh runs differ, before any resume: {problem}"
        cause = resume_causes.of_fresh_runs(
            difference.kind, difference.step, whole, resumed
        )
        return Diagnostic(
            f"step {difference.step}",
            problem,
            hint=f"Likely cause: {cause}",
            code="not-deterministic",
        )
    return Diagnostic(
        f"step {difference.step}",
        problem,
        expected=f"what the uninterrupted run has; training resumed from step "
        f"{resumed.start_step}",
        hint=f"Likely cause: {cause()}",
        code="resume-differs",
    )


def _first_batch(whole: RunTrace, resumed: RunTrace) -> _Difference | None:
    for step in sorted(whole.batches.keys() & resumed.batches.keys()):
        one, other = whole.batches[step], resumed.batches[step]
        if one == other:
            continue
        instead = _step_of(whole, other)
        if instead is not None:
            relation = f"it is the batch of step {instead}"
        elif [each.get("rows") for each in one] == [each.get("rows") for each in other]:
            relation = "its rows are the same, in another order"
        else:
            relation = "it holds other rows"
        paths = ", ".join(_differing_arrays(one, other))
        return _Difference(
            "batch",
            step,
            f"the batch differs ({paths}): {relation}",
            functools.partial(resume_causes.of_batch, step, instead, whole, resumed),
        )
    return None


def _step_of(whole: RunTrace, batch: BatchDigests) -> int | None:
    """Step at which the uninterrupted run read a batch."""
    return next((step for step, each in whole.batches.items() if each == batch), None)


def _differing_arrays(one: BatchDigests, other: BatchDigests) -> list[str]:
    paths: dict[str, None] = {}
    for mine, theirs in zip(one, other, strict=False):
        here, there = mine.get("arrays", {}), theirs.get("arrays", {})
        for path in {**here, **there}:
            if here.get(path) != there.get(path):
                paths[path] = None
    return [*paths]


def _first_metrics(
    whole: RunTrace, resumed: RunTrace, split: str
) -> _Difference | None:
    is_training = split == "train"
    name = "log row" if is_training else "evaluation"
    end = min(whole.last_step, resumed.last_step)
    steps = {*whole.steps_of(split), *resumed.steps_of(split)}
    for step in sorted(step for step in steps if step <= end):
        one = whole.metrics.get((step, split))
        other = resumed.metrics.get((step, split))
        if one == other:
            continue
        if one is None or other is None:
            has, lacks = ("uninterrupted", "resumed")[:: 1 if other is None else -1]
            problem = f"the {has} run has an {name} here" if not is_training else ""
            problem = problem or f"the {has} run has a {name}"
            problem += f", and the {lacks} run has none"
        else:
            values = _values(one, other)
            problem = f"the {name} differs: {values}"
            if is_training:
                problem += "; the batches up to this step are equal"
        if is_training:
            return _Difference(
                "row",
                step,
                problem,
                functools.partial(resume_causes.of_loss, step, whole, resumed),
            )
        is_missing = one is None or other is None
        return _Difference(
            "evaluation",
            step,
            problem,
            functools.partial(resume_causes.of_evaluation, is_missing=is_missing),
        )
    return None


def _values(one: dict[str, Any], other: dict[str, Any]) -> str:
    names = [name for name in {**one, **other} if one.get(name) != other.get(name)]
    shown = [
        f"{name} {other.get(name)} instead of {one.get(name)}" for name in names[:1]
    ]
    return ", ".join([*shown, *names[1:]])


def _other_end(whole: RunTrace, resumed: RunTrace) -> _Difference | None:
    if whole.last_step == resumed.last_step:
        return None
    return _Difference(
        "end",
        min(whole.last_step, resumed.last_step) + 1,
        f"the resumed run ended at step {resumed.last_step}, the uninterrupted one at "
        f"step {whole.last_step}",
        functools.partial(resume_causes.of_end, whole),
    )


def _other_arrays(
    whole: RunTrace, resumed: RunTrace
) -> Iterator[tuple[str, _Difference]]:
    """Yields the prefix of each part whose arrays differ, and the difference."""
    names = [*_PARTS, ""]
    for prefix in names:
        paths = {
            path: None
            for path in (*whole.arrays, *resumed.arrays)
            if (path.partition("/")[0] == prefix if prefix else "/" not in path)
        }
        differing = [
            path for path in paths if whole.arrays.get(path) != resumed.arrays.get(path)
        ]
        if differing:
            yield (
                prefix,
                _Difference(
                    "array",
                    # The state after this step, after all that the step reports.
                    whole.last_step,
                    f"{_listed(differing)} of the checkpoint differs; the batches and "
                    "losses up to this step are equal",
                    resume_causes.of_state,
                ),
            )


def _other_host_state(whole: RunTrace, resumed: RunTrace) -> _Difference | None:
    names = {**whole.host_state, **resumed.host_state}
    differing = [
        name
        for name in names
        if whole.host_state.get(name) != resumed.host_state.get(name)
    ]
    if not differing:
        return None
    return _Difference(
        "host state",
        whole.last_step,
        f"the saved state of {_listed(differing)} differs; all before it is equal",
        resume_causes.of_host_state,
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{names[0]}{more}"
