"""`checkpoints`: lists and tags the checkpoints of a run; loads no JAX."""

import argparse
from typing import TYPE_CHECKING

from specflow.cli.command import usage
from specflow.cli.experiments import reporting
from specflow.diagnostics.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["checkpoints"]


def checkpoints(arguments: argparse.Namespace) -> int:
    """Lists the checkpoints of a run, or tags one."""
    from specflow.output.checkpoint import checkpoint_errors
    from specflow.output.checkpoint.checkpoint_directory import located
    from specflow.output.checkpoint.checkpoint_listing import (
        as_table,
        checkpoint_entries,
    )
    from specflow.output.checkpoint.retention import recorded_best

    _check_options(arguments)
    folder, _ = located(_run(arguments), key="run")
    with reporting(arguments, None) as fields:
        _change_tags(folder, arguments)
        entries = checkpoint_entries(folder, verify=arguments.verify)
        best = recorded_best(folder)
        fields["directory"] = str(folder)
        fields["checkpoints"] = [entry.to_plain() for entry in entries]
        print(as_table(entries, metric=None if best is None else best.metric))
    damaged = [entry for entry in entries if entry.damage]
    if arguments.verify and damaged:
        raise CheckpointError(
            *(checkpoint_errors.damaged(e.path, e.damage) for e in damaged)
        )
    return 0


def _change_tags(folder: "Path", arguments: argparse.Namespace) -> None:
    from specflow.output.checkpoint.best_checkpoint import BestTracker
    from specflow.output.checkpoint.checkpoint_directory import CheckpointDirectory
    from specflow.output.checkpoint.checkpoint_tags import remove_tag, set_tag
    from specflow.output.checkpoint.retention import recorded_best
    from specflow.output.checkpoint.step_choice import chosen_step

    directory = CheckpointDirectory(folder)
    if arguments.untag is not None:
        remove_tag(directory, arguments.untag)
    if arguments.tag is not None:
        best = recorded_best(folder)
        tracker = None if best is None else BestTracker(directory, best)
        step = chosen_step(directory, arguments.step, tracker)
        step = directory.newest() if step is None else step
        set_tag(directory, step, arguments.tag, move=arguments.move)


def _check_options(arguments: argparse.Namespace) -> None:
    """Refuses options that only change what `--tag` does.

    Raises:
        ConfigError: one is given without `--tag`.
    """
    alone = {"--step": arguments.step is not None, "--move": arguments.move}
    if arguments.tag is None and any(alone.values()):
        raise ConfigError(
            *(
                usage(name, "is given without --tag", "--tag NAME, the name to set")
                for name, is_given in alone.items()
                if is_given
            )
        )


def _run(arguments: argparse.Namespace) -> str:
    """The directory of a run.

    Raises:
        ConfigError: it is missing, or something else is given.
    """
    expected = "run=DIR, a run directory or the model_dir of an estimator"
    words = [word for word in arguments.overrides if not word.startswith("trust=")]
    if not words:
        raise ConfigError(usage("run", "is missing", expected))
    first, *others = words
    others += [] if first.startswith("run=") or "=" not in first else [first]
    if others:
        raise ConfigError(usage(others[0], "is no override of this command", expected))
    return first.removeprefix("run=")
