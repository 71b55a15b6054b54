"""Tags: names that the user gives to checkpoints, which are then kept permanently.

A tag is an empty file `<step>/tags/<name>`. It moves with its checkpoint, and is set,
moved and removed by one operation of the file system, also while training writes.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from specflow.diagnostics.errors import (
    CheckpointError,
    ConfigError,
    Diagnostic,
    did_you_mean,
    nearest,
)
from specflow.output.checkpoint import checkpoint_errors
from specflow.output.checkpoint.checkpoint_directory import CheckpointDirectory
from specflow.output.files import reported

__all__ = ["is_tag", "remove_tag", "set_tag", "tagged_steps", "tags_of", "unknown_tag"]

FOLDER = "tags"
_RESERVED = ("best", "latest")
_NAME = re.compile(r"(?![0-9]+$)[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")


def is_tag(text: str) -> bool:
    """Returns whether a text is a valid tag: no number, and neither best nor latest.

    >>> [is_tag(text) for text in ("baseline", "v1.0", "500", "best", "a/b", "")]
    [True, True, False, False, False, False]
    """
    return _NAME.fullmatch(text) is not None and text not in _RESERVED


def tags_of(path: Path) -> list[str]:
    """Tags of the checkpoint in a folder, sorted."""
    try:
        return sorted(name for name in os.listdir(path / FOLDER) if is_tag(name))
    except OSError:
        return []


def tagged_steps(directory: CheckpointDirectory) -> dict[str, int]:
    """Tag -> step, of all complete checkpoints."""
    return {
        tag: step
        for step in directory.steps()
        for tag in tags_of(directory.step_path(step))
    }


def set_tag(
    directory: CheckpointDirectory,
    step: int | None,
    name: str,
    *,
    move: bool = False,
) -> None:
    """Tags a checkpoint; nothing happens if it has the tag already.

    Args:
        directory: the checkpoints of a run.
        step: step of the checkpoint. If None, there is no checkpoint.
        name: letters, digits, `.`, `_` and `-`; no number, neither best nor latest.
        move: move the tag if another checkpoint has it.

    Raises:
        ConfigError: the name is invalid, or another checkpoint has it.
        CheckpointError: there is no checkpoint of the step.
        OutputError: the tag cannot be written.
    """
    if not is_tag(name):
        raise ConfigError(
            Diagnostic(
                "tag",
                f"got {name!r:.60}",
                expected="a name of letters, digits, '.', '_' and '-' that is no "
                "number, and neither best nor latest",
                code="checkpoint-tag",
            )
        )
    steps = directory.steps()
    if step is None or step not in steps:
        missing = checkpoint_errors.missing(directory.path, step, steps)
        raise CheckpointError(missing)
    owner = tagged_steps(directory).get(name)
    if owner == step:
        return
    if owner is not None and not move:
        raise ConfigError(
            Diagnostic(
                "tag",
                f"{name!r} is the checkpoint of step {owner}",
                hint=f"--move moves it to step {step}; in Python, move=True.",
                code="checkpoint-tag",
            )
        )
    target = directory.step_path(step) / FOLDER / name
    with reported(target):
        try:
            target.parent.mkdir(exist_ok=True)
            if owner is None:
                target.touch()
            else:
                (directory.step_path(owner) / FOLDER / name).rename(target)
        except FileNotFoundError:  # Training has just removed it.
            missing = checkpoint_errors.missing(directory.path, step, directory.steps())
            raise CheckpointError(missing) from None


def remove_tag(directory: CheckpointDirectory, name: str) -> int:
    """Removes a tag, and returns the step that had it.

    Raises:
        CheckpointError: no checkpoint has the tag.
        OutputError: it cannot be removed.
    """
    tags = tagged_steps(directory)
    if name not in tags:
        raise CheckpointError(unknown_tag(directory, name, tags))
    file = directory.step_path(tags[name]) / FOLDER / name
    with reported(file):
        file.unlink(missing_ok=True)
    return tags[name]


def unknown_tag(
    directory: CheckpointDirectory, name: str, tags: Mapping[str, int]
) -> Diagnostic:
    """Reports that no checkpoint has a tag; names the steps and tags that exist."""
    steps = directory.steps()
    if not steps:
        return checkpoint_errors.missing(directory.path, None, steps)
    near = did_you_mean(nearest(name, [*tags, *_RESERVED]))
    listed = ", ".join(f"{tag} (step {step})" for tag, step in sorted(tags.items()))
    known = f"Tags: {listed}." if tags else "There are no tags."
    return Diagnostic(
        str(directory.path),
        f"no checkpoint has the tag {name!r}",
        expected="a step, best, latest or a tag",
        hint=f"{near} {known} Steps: {', '.join(map(str, steps))}.".strip(),
        code="checkpoint-missing",
    )
