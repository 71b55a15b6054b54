"""Warm start: initial values taken from another run's checkpoint."""

import dataclasses
import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from specflow.encoding import without_mark
from specflow.errors import CheckpointError, ConfigError, Fault
from specflow.filesystem import expanded
from specflow.output import Checkpointer, located
from specflow.typing import describe

__all__ = ["Vocabulary", "WarmStartSettings", "warm_values"]


@dataclasses.dataclass(frozen=True, slots=True)
class Vocabulary:
    """Two lists of tokens: rows of a parameter are moved by token from old to new."""

    new: str | Path
    """File with a token a line, as this model numbers them."""
    old: str | Path
    """The same, as the checkpoint numbers them."""


@dataclasses.dataclass(frozen=True)
class WarmStartSettings:
    """Where initial values come from, when the model's own directory has no checkpoint.

    Args:
        path: a model directory, its `checkpoints`, one checkpoint in there, or an
            export.
        vars_to_warm_start: regular expressions, matched at the start of a parameter's
            path; one or several. `.*` takes all parameters, None only those that have a
            vocabulary.
        state: `params`: parameters only; `full`: also the optimizer's state and the
            model's other state, as far as they are the same.
        renames: path of a parameter here -> its path in the checkpoint.
        vocabularies: path of a parameter -> how its rows are numbered.

    Raises:
        ConfigError: the path is empty or no path; what should be an expression is none.
    """

    path: str | Path
    vars_to_warm_start: str | list[str] | None = ".*"
    state: Literal["params", "full"] = "params"
    renames: Mapping[str, str] = dataclasses.field(default_factory=dict)
    vocabularies: Mapping[str, Vocabulary] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.path, str | Path) or not str(self.path):
            raise ConfigError(
                Fault("warm_start_from", f"got {self.path!r:.60}", code="warm-start",
                      expected="a model directory, a checkpoint or an export")
            )  # fmt: skip
        wrong = [one for one in self.patterns() if not _is_expression(one)]
        if wrong:
            raise ConfigError(
                Fault("WarmStartSettings.vars_to_warm_start", f"got {wrong[0]!r:.60}",
                      expected="a regular expression, several, or None",
                      code="warm-start")
            )  # fmt: skip
        if self.state not in ("params", "full"):
            raise ConfigError(
                Fault("WarmStartSettings.state", f"got {self.state!r:.60}",
                      expected="'params' or 'full'", code="warm-start")
            )  # fmt: skip

    def patterns(self) -> list[str]:
        """The expressions as a list."""
        wanted = self.vars_to_warm_start
        if isinstance(wanted, Iterable) and not isinstance(wanted, str):
            return list(wanted)
        return [] if wanted is None else [wanted]


def _is_expression(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(re.compile(value))
    except re.error:
        return False


def warm_values(
    settings: WarmStartSettings, tree: Mapping[str, Any]
) -> dict[str, dict[str, np.ndarray]]:
    """The arrays that take the place of initial ones.

    Args:
        settings: which, and from where.
        tree: the initial state as nested dicts (`params`, ...); arrays may be abstract
            where no vocabulary needs their rows.

    Returns:
        Part of the state -> name -> array.

    Raises:
        CheckpointError: there is no checkpoint, or it lacks a parameter that was asked
            for or has it in another shape; a rename that names no parameter.
    """
    saved = _saved(expanded(settings.path, "WarmStartSettings.path"))
    params = tree["params"]
    wanted = [
        path
        for path in params
        if any(re.match(pattern, path) for pattern in settings.patterns())
        or path in settings.vocabularies
    ]
    for pattern in settings.patterns():
        if not any(re.match(pattern, path) for path in params):
            warnings.warn(f"warm start: {pattern!r} matches no parameter", stacklevel=2)
    faults = [
        Fault(f"renames[{name!r}]", "is no parameter that is warm started",
              expected=f"one of {', '.join(wanted[:8])}", code="warm-start")
        for name in settings.renames
        if name not in wanted
    ]  # fmt: skip
    found: dict[str, dict[str, np.ndarray]] = {"params": {}}
    for path in wanted:
        source = settings.renames.get(path, path)
        value = saved.get(f"params/{source}")
        if value is not None and path in settings.vocabularies:
            value = _by_token(value, np.asarray(params[path]), settings, path)
        if value is None or value.shape != tuple(params[path].shape):
            there = "absent" if value is None else describe(value)
            faults.append(
                Fault(path, f"is {there} in the checkpoint", code="warm-start",
                      expected=describe(params[path]))
            )  # fmt: skip
        else:
            found["params"][path] = value
    if faults:
        raise CheckpointError(*faults)
    if settings.state == "full":
        found |= _rest(saved, tree)
    return found


def _rest(
    saved: Mapping[str, np.ndarray], tree: Mapping[str, Any]
) -> dict[str, dict[str, np.ndarray]]:
    """What is no parameter, where the checkpoint has it in the same form."""
    return {
        part: {
            name: saved[f"{part}/{name}"]
            for name, array in tree[part].items()
            if getattr(saved.get(f"{part}/{name}"), "shape", None) == array.shape
        }
        for part in ("rest", "opt_state")
    }


def _saved(path: Path) -> dict[str, np.ndarray]:
    """The arrays of the newest checkpoint that a path means, or of an export."""
    from specflow.serving.load import MANIFEST, load_export  # Few start from exports.

    if (path / MANIFEST).is_file():
        weights = load_export(path, check=False).weights
        return {
            f"{part}/{name}": array
            for part in ("params", "rest")
            for name, array in weights.items()
        }
    folder, step = located(path)
    with Checkpointer(folder) as checkpointer:
        return checkpointer.arrays(step)


def _by_token(
    value: np.ndarray, initial: np.ndarray, settings: WarmStartSettings, path: str
) -> np.ndarray:
    """Initial rows, with those of known tokens from the checkpoint."""
    if value.shape[1:] != initial.shape[1:]:
        return value  # Whatever the tokens are, its rows do not fit.
    files = settings.vocabularies[path]
    old = _rows(files.old)
    mixed = initial.copy()
    for row, token in enumerate(_tokens(files.new)[: len(mixed)]):
        if old.get(token, len(value)) < len(value):
            mixed[row] = value[old[token]]
    return mixed


def _rows(path: str | Path) -> dict[str, int]:
    """Token -> row.

    Raises:
        ConfigError: a token stands in two lines; which row is meant is not known.
    """
    rows: dict[str, int] = {}
    for row, token in enumerate(_tokens(path)):
        if rows.setdefault(token, row) != row:
            raise ConfigError(
                Fault(str(path), f"lines {rows[token] + 1} and {row + 1} are both "
                      f"{token!r:.60}", code="warm-start",
                      expected="a vocabulary with every token once")
            )  # fmt: skip
    return rows


def _tokens(path: str | Path) -> list[str]:
    """Lines of a vocabulary file, ended by LF or CRLF alone.

    Tokens may be what Unicode calls a line separator. A byte-order mark at the start is
    no part of the first token.

    Source: tf.lookup.TextFileInitializer.
    """
    try:
        content = expanded(path, "vocabularies").read_bytes()
        lines = without_mark(content).split(b"\n")
        tokens = [line.removesuffix(b"\r").decode("utf-8") for line in lines]
    except OSError as error:
        raise _unreadable(path, str(error.strerror)) from error
    except UnicodeDecodeError as error:
        raise _unreadable(path, f"is not UTF-8 ({error.reason})") from error
    except UnicodeError as error:
        raise _unreadable(path, str(error)) from None
    return tokens if tokens[-1] else tokens[:-1]


def _unreadable(path: str | Path, reason: str) -> ConfigError:
    return ConfigError(
        Fault(str(path), f"cannot be read: {reason}", code="warm-start",
              expected="a vocabulary, a token a line")
    )  # fmt: skip
