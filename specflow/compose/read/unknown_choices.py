"""Choices and groups that do not exist, and what was meant by them."""

import re
from collections.abc import Iterable
from typing import Any

from hydra.core.override_parser.types import Glob, Override, Sweep

from specflow.compose.read.config_folders import Folders
from specflow.diagnostics.errors import Diagnostic, did_you_mean, nearest

__all__ = [
    "choice_diagnostic",
    "group_diagnostic",
    "misspelled_group",
    "nearest_choice",
    "no_such_choice",
    "no_such_group",
]


def choice_diagnostic(
    override: Override, folders: Folders
) -> tuple[Diagnostic | None, str | None]:
    """Reports an unknown choice; also returns the nearest override, if not a sweep."""
    group = override.key_or_group
    for choice in _chosen(override):
        if choice is not None and folders.file(f"{group}/{choice}"):
            continue
        choices = folders.choices(group)
        if choice is None and not override.is_delete():
            expected = f"one of {', '.join(choices)}"
            origin = f"override {override.input_line}"
            hint = f"~{group} removes the group."
            return Diagnostic(
                group, "got null", expected, hint, origin, "unknown-choice"
            ), None
        if choice is None:
            continue
        line = str(override.input_line)
        near = nearest_choice(choice, choices)
        single = near and isinstance(override.value(), str)
        meant = f"{override.get_key_element()}={near}" if single else None
        asked = f"override {line}"
        return no_such_choice(group, choice, choices, asked, folders=folders), meant
    return None, None


def misspelled_group(override: Override, folders: Folders) -> str | None:
    """Returns the group that a misspelled key means, if its value is a choice."""
    key, value = override.key_or_group, override.value()
    if "." in key or not isinstance(value, str) or override.is_delete():
        return None
    group = nearest(key, folders.groups())
    return group if group and value in folders.choices(group) else None


def group_diagnostic(override: Override, near: str) -> Diagnostic:
    """Reports a key that is neither a field nor a group, but resembles one."""
    return Diagnostic(
        override.key_or_group,
        "no such field or group",
        hint=did_you_mean(near),
        origin=f"override {override.input_line}",
        code="unknown-choice",
    )


def no_such_group(group: str, folders: Folders, origin: str) -> Diagnostic:
    """Reports a choice in a group that does not exist."""
    groups = folders.groups()
    near = did_you_mean(nearest(group, groups))
    return Diagnostic(
        group,
        "no such group",
        hint=f"{near} Groups: {', '.join(groups)}.".strip(),
        origin=origin,
        code="unknown-choice",
    )


def no_such_choice(
    group: str,
    choice: str,
    choices: list[str],
    origin: str,
    candidates: Iterable[str] | None = None,
    *,
    folders: Folders | None = None,
) -> Diagnostic:
    """Reports a choice that its config group does not have.

    Args:
        group: the config group.
        choice: the name that was given.
        choices: the choices of the group, which the message lists.
        origin: the file and line, or the override, that gave the name.
        candidates: choices that the hint may suggest; by default all.
        folders: config folders, to find a file of another suffix.
    """
    near = nearest_choice(choice, choices if candidates is None else candidates)
    unread = folders.unread(f"{group}/{choice}") if folders else None
    advice = did_you_mean(near, prefix=f"{group}=")
    if folders and unread and near not in (choice, unread.stem):
        advice = f"Rename {folders.shown(unread)}: configs end in .yaml."
    if folders and choice != near and (misplaced := folders.misplaced(group, choice)):
        advice = misplaced
    hint = f"{advice} Choices: {', '.join(choices)}."
    return Diagnostic(
        group,
        f"no choice named {choice!r}",
        hint=hint.strip(),
        origin=origin,
        code="unknown-choice",
    )


def nearest_choice(choice: object, choices: Iterable[str]) -> str | None:
    """Returns the choice that a misspelled name, or a path of its file, means, or None.

    >>> nearest_choice("adam.yaml", ["adam", "adamax"])
    'adam'
    """
    name = str(choice).rpartition("/")[2]
    return nearest(re.sub(r"\.ya?ml$", "", name), choices)


def _chosen(override: Override) -> list[Any]:
    if isinstance(override.value(), Glob):
        return []  # Patterns select the choices that match.
    if override.is_sweep_override():
        return [text.strip("'\"") for text in override.sweep_string_iterator()]
    value = override.value()
    if isinstance(value, Sweep):
        return []
    return value if isinstance(value, list) else [value]
