"""The checkpoint that a user names: `best`, `latest`, a step or a tag."""

from typing import TypeAlias

from specflow.diagnostics.errors import CheckpointError, ConfigError, Diagnostic
from specflow.output.checkpoint import checkpoint_errors
from specflow.output.checkpoint.best_checkpoint import BestTracker
from specflow.output.checkpoint.checkpoint_directory import CheckpointDirectory
from specflow.output.checkpoint.checkpoint_tags import (
    is_tag,
    tagged_steps,
    unknown_tag,
)

__all__ = ["CheckpointStep", "chosen_step"]

CheckpointStep: TypeAlias = int | str | None
"""Selects a checkpoint: by its step or tag, the `best`, or the newest (`latest`,
None)."""


def chosen_step(
    directory: CheckpointDirectory, step: CheckpointStep, tracker: BestTracker | None
) -> int | None:
    """Returns the step of the checkpoint that a user names.

    Args:
        directory: the checkpoints of a run.
        step: a step, which need not exist; `best`, `latest` or a tag.
        tracker: ranks the checkpoints. If None, none is the best.

    Returns:
        None for the newest undamaged checkpoint.

    Raises:
        CheckpointError: no checkpoint has the tag, or there is no best one.
        ConfigError: it is neither a step nor a valid name.
    """
    if step is None or step == "latest":
        return None
    if isinstance(step, int) and not isinstance(step, bool) and step >= 0:
        return step
    if step == "best":
        steps = directory.steps()
        best = None if tracker is None else tracker.best(steps)
        if best is not None:
            return best.step
        metric = None if tracker is None else tracker.order.metric
        raise CheckpointError(checkpoint_errors.no_best(directory.path, metric, steps))
    if isinstance(step, str) and is_tag(step):
        tags = tagged_steps(directory)
        if step in tags:
            return tags[step]
        raise CheckpointError(unknown_tag(directory, step, tags))
    raise ConfigError(
        Diagnostic(
            "checkpoint_step",
            f"got {step!r:.60}",
            expected="a step, best, latest or a tag",
            code="checkpoint-path",
        )
    )
