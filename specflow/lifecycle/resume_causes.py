"""Likely causes of a difference between a resumed and an uninterrupted run.

Each is derived from what the runs recorded: whether two fresh runs are equal, which
batch was read, by how much a loss differs, and which attributes of the user's objects
changed while training.
"""

import math

from specflow.lifecycle.run_trace import RunTrace

__all__ = [
    "of_batch",
    "of_end",
    "of_evaluation",
    "of_fresh_runs",
    "of_host_state",
    "of_loss",
    "of_state",
]

_ROUNDING = 1e-5
"""Relative difference of two metrics up to which the order of additions explains it."""


def of_fresh_runs(kind: str, step: int, whole: RunTrace, resumed: RunTrace) -> str:
    """Returns the likely cause of a difference between two fresh runs.

    Args:
        kind: kind of the first difference: `batch`, `row`, ...
        step: its step.
        whole: one run.
        resumed: the other one, before it was interrupted.
    """
    seeds = [run.host_state.get("seed") for run in (whole, resumed)]
    if seeds[0] != seeds[1]:
        return (
            f"the experiment has no seed: one run drew {seeds[0]}, the other "
            f"{seeds[1]}. Set RunConfig(seed=...)."
        )
    if kind == "batch":
        return (
            "the data depends on the time or on a global random state. Give the data "
            "a generator of its own with a fixed seed: numpy.random.default_rng(0)."
        )
    if _is_rounding(step, whole, resumed):
        return _OF_XLA
    if step == 1:
        return (
            "a seed that depends on the time or on a global random state, in the model "
            "or its initial values; the batches are equal. Derive random numbers from "
            "the rngs that the model receives."
        )
    return (
        "the model or the optimizer depends on the time, on a global random state or "
        "on a variable outside the state; the batches are equal."
    )


def of_batch(step: int, instead: int | None, whole: RunTrace, resumed: RunTrace) -> str:
    """Returns the likely cause of another batch after a resume.

    Args:
        step: the step.
        instead: step at which the uninterrupted run read that batch; None: at none.
        whole: the uninterrupted run.
        resumed: the other one.
    """
    if changed := _changed("the training data", whole):
        return (
            f"an iterator without state: {changed}, which no checkpoint holds. Let "
            "each row depend on its number alone, or give the iterator get_state and "
            "set_state."
        )
    start = resumed.start_step
    if instead == step - start:
        return (
            "the input began again at its first batch: an iterator without state, or "
            "RunConfig(resume_input='restart'). Let input_fn return it from its start, "
            "or give it get_state and set_state."
        )
    if instead is not None:
        return (
            f"the input is {abs(instead - step)} batches "
            f"{'ahead' if instead > step else 'behind'}: its get_state and set_state "
            "do not restore the position, or input_fn returns an iterator that was "
            "read from before."
        )
    if changed := _changed("a hook", whole):
        return (
            f"a hook: {changed}, which no checkpoint holds. Give it get_state and "
            "set_state."
        )
    return (
        "an iterator without state: the data depends on how often it was read, "
        "through a random generator or a counter that no checkpoint holds. Derive it "
        "from the numbers of the rows, or give the iterator get_state and set_state."
    )


def of_loss(step: int, whole: RunTrace, resumed: RunTrace) -> str:
    """Returns the likely cause of another loss of the same batch."""
    if step == resumed.start_step + 1 and not _is_rounding(step, whole, resumed):
        return (
            "the model computes with something outside its state: a Python attribute, "
            "a global variable or a callback. The checkpoint was restored, and the "
            "first step after it differs. Keep it in a variable of the model."
        )
    if _is_rounding(step, whole, resumed):
        return _OF_XLA
    return of_state()


def of_state() -> str:
    """Returns the likely cause of another state after equal losses."""
    return (
        "the update computes with something outside the state: a global variable or a "
        "callback in the optimizer or the model. Keep it in the state of the "
        "optimizer, or in a variable of the model."
    )


def of_evaluation(*, is_missing: bool) -> str:
    """Returns the likely cause of another evaluation of the same state.

    Args:
        is_missing: one run did not evaluate at this step.
    """
    if is_missing:
        return "evaluations are triggered by time. Trigger them by a number of steps."
    return (
        "the evaluation data, or a metric, depends on how often it was read: a random "
        "generator or a counter outside the state."
    )


def of_end(whole: RunTrace) -> str:
    """Returns the likely cause of another last step.

    Args:
        whole: the uninterrupted run.
    """
    if changed := _changed("a hook", whole):
        return (
            f"a hook: {changed}, which no checkpoint holds. Give it get_state and "
            "set_state, or count with the step that after_step receives."
        )
    return (
        "a hook or an input that ends training after a number of calls, and not at a "
        "step."
    )


def of_host_state() -> str:
    """Returns the likely cause of another state of a hook or of the input."""
    return (
        "its set_state does not restore all that get_state returns, or it changes "
        "otherwise than step by step."
    )


_OF_XLA = (
    "the order of additions: the losses differ by rounding alone. On GPUs set "
    "XLA_FLAGS=--xla_gpu_deterministic_ops=true."
)


def _is_rounding(step: int, whole: RunTrace, resumed: RunTrace) -> bool:
    one, other = (run.metrics.get((step, "train"), {}) for run in (whole, resumed))
    return one.keys() == other.keys() and all(
        math.isclose(one[name], other[name], rel_tol=_ROUNDING)
        for name in one
        if None not in (one[name], other[name])
    )


def _changed(role: str, run: RunTrace) -> str:
    """Names an object of the user's whose attributes training changes.

    Args:
        role: role of the object: `a hook`, `the training data`.
        run: the run that recorded it.

    Returns:
        An empty text if there is none.
    """
    for name, described in run.objects.items():
        before, after = described["before"], described["after"]
        changed = [key for key, value in after.items() if value != before.get(key)]
        if name.startswith(role) and changed:
            kind = name.partition(", ")[2]
            return f"training changes {', '.join(changed)} of {kind}"
    return ""
