"""Refusal of what the files of a sweep may not decide by themselves."""

import dataclasses
import os
from collections.abc import Callable
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from specflow.compose.check.foreign_files import is_outside, set_by_file
from specflow.compose.check.hydra_guard import hydra_diagnostics
from specflow.compose.check.sweep_storage import STORAGE
from specflow.compose.read.config_folders import Folders
from specflow.compose.read.defaults_list import defaults_list
from specflow.compose.read.override_grammar import Request, read
from specflow.diagnostics.errors import ConfigError, Diagnostic
from specflow.sweep.trials import Params, trials

__all__ = ["check_jobs", "check_params"]

_TYPED_ONLY = ("run", "trust")
"""Arguments of a command, which no file gives."""


def check_params(params: Params, request: Request, folders: Folders) -> None:
    """Refuses overrides of a file that only the command line may give.

    Args:
        params: overrides in `hydra.sweeper.params`.
        request: overrides of the command line.
        folders: config folders.

    Raises:
        ConfigError: `trust`, `run`, an `output.dir` outside the working directory, or
            a database as `sweep.storage`.
    """
    diagnostics: list[Diagnostic] = []
    for line in params.lines:
        key, _, value = line.lstrip("+").partition("=")
        origin = params.origins.get(line, "")
        if key in _TYPED_ONLY:
            problem, hint = "is read from the command line only", f"Type {line}."
            diagnostics.append(
                Diagnostic(key, problem, hint=hint, origin=origin, code="reserved")
            )
        elif _leads_outside(key, value):
            trusted = request.trusted_folders
            diagnostics += set_by_file(value, origin, folders, trusted, key)
    if diagnostics:
        raise ConfigError(*diagnostics)


def check_jobs(
    config: DictConfig,
    request: Request,
    folders: Folders,
    compose: Callable[[list[str]], Any],
    *,
    typed: tuple[Override, ...],
) -> None:
    """Refuses untrusted code and settings in Hydra's own section, before it runs any.

    A swept choice may be a file with such a section, so each is composed.

    Args:
        config: config that Hydra composed for the sweep.
        request: overrides of the sweep.
        folders: config folders.
        compose: composes the config of these choices, with Hydra's own section.
        typed: overrides of Hydra's section on the command line.

    Raises:
        ConfigError: something is refused; all at once.
    """
    keys = [override.key_or_group for override in typed]
    swept = any(override.is_sweep_override() for override in request.choices)
    diagnostics: dict[Diagnostic, None] = {}
    for words in _choices(request, folders):
        chosen, _ = read(words, folders)
        files = defaults_list(chosen.choices, folders).files
        of_job = compose(words) if swept else config
        found = hydra_diagnostics(of_job, files, folders, request, typed=keys)
        diagnostics.update(dict.fromkeys(found))
    if diagnostics:
        raise ConfigError(*diagnostics)


def _leads_outside(key: str, value: str) -> bool:
    if key == STORAGE:
        return "://" in value
    paths = (part.strip("'\" ") for part in value.split(","))
    return key == "output.dir" and any(is_outside(path, os.getcwd()) for path in paths)


def _choices(request: Request, folders: Folders) -> list[list[str]]:
    """Returns the choices of each job, as overrides."""
    try:
        return trials(dataclasses.replace(request, values=()), folders)
    except ConfigError:  # A sweeper of a plugin may take what a grid does not.
        return [[str(one.input_line) for one in request.singles().choices]]
