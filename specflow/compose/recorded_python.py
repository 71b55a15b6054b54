"""Runs made in Python: their parts, imported by the names in `estimator.json`.

The record is data: a name in it is resolved as a `_target_` is, inside the packages
that the user trusts on the command line or in the project file.
"""

import dataclasses
import functools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from specflow.compose.check.targets import claim, resolve
from specflow.compose.read.config_folders import folders
from specflow.compose.read.override_grammar import read
from specflow.compose.rerun import RUN_CONFIG
from specflow.config.estimator_record import RECORD, PartRecord, RecordConfig
from specflow.diagnostics.errors import ConfigError, Diagnostic
from specflow.runtime.filesystem import expanded

__all__ = ["RecordedRun", "recorded_run"]

_IN_PYTHON = "in Python, with Estimator(..., model_dir={!r})"


@dataclasses.dataclass(frozen=True)
class RecordedRun:
    """A run made in Python, with all parts imported."""

    directory: Path
    record: RecordConfig
    parts: dict[str, Callable[..., Any]]
    """`model_fn`, or `activation_fn` of a canned estimator; `model`, `eval_params`."""
    input_fn: Callable[..., Any]
    """Input function: that of the last evaluation, or the one on the command line."""
    eval_steps: int | None
    """Number of batches to evaluate; None for all."""


def recorded_run(
    lines: Iterable[str],
    *,
    input: str | None = None,
    config_dirs: Sequence[str | Path] = (),
) -> RecordedRun | None:
    """Returns the run that a command line names if it was made in Python.

    Args:
        lines: overrides, as on the command line.
        input: input function that replaces the recorded one, as `module:function` or
            `module.function`.
        config_dirs: the user's own config folders.

    Returns:
        None if the overrides name no such run.

    Raises:
        ConfigError: the record is corrupted, a part cannot be imported or is not
            trusted, or something is overridden.
    """
    request, diagnostics = read(lines, folders(config_dirs))
    if request.run is None:
        return None
    directory = expanded(request.run, "run")
    file = directory / RECORD
    if (directory / RUN_CONFIG).exists() or not file.is_file():
        return None
    record = _read(file)
    parts: dict[str, Callable[..., Any]] = {}
    diagnostics += claim(request.trust, request.trusted_by)
    diagnostics += [_overridden(str(one.input_line), file) for one in request.all()]
    diagnostics += [
        _unrecorded(key, problem, file) for key, problem in record.problems.items()
    ]
    if not diagnostics:
        for key, part, origin in _parts(record, input, str(file)):
            resolved = _resolved(key, part, request.trust, origin, file)
            if isinstance(resolved, Diagnostic):
                diagnostics.append(resolved)
            else:
                parts[key] = resolved
    if diagnostics:
        raise ConfigError(*diagnostics)
    is_recorded = input is None
    return RecordedRun(
        directory,
        record,
        parts,
        input_fn=parts.pop("input_fn" if is_recorded else "--input"),
        eval_steps=record.eval_steps if is_recorded else None,
    )


def _parts(
    record: RecordConfig, input: str | None, file: str
) -> Iterator[tuple[str, PartRecord, str]]:
    """Yields (argument, its record, origin) of each part to import."""
    if record.canned is None:
        missing = PartRecord(problem="is missing in the record")
        yield "model_fn", record.model_fn or missing, file
    elif record.canned.activation is not None:
        yield "activation_fn", record.canned.activation, file
    for key in ("model", "eval_params"):
        if (part := getattr(record, key)) is not None:
            yield key, part, file
    if input is not None:
        yield "--input", PartRecord(name=input.replace(":", ".")), "command line"
    else:
        missing = PartRecord(problem="is not known: this run was never evaluated")
        yield "input_fn", record.input_fn or missing, file


def _resolved(
    key: str, part: PartRecord, trust: Iterable[str], origin: str, file: Path
) -> Callable[..., Any] | Diagnostic:
    if part.problem:
        return _unrecorded(key, part.problem, file)
    resolved = resolve(key, part.name, trust=trust, origin=origin)
    if isinstance(resolved, Diagnostic):
        return resolved
    if part.is_called:
        try:
            return resolved(*part.args, **part.kwargs)
        except (TypeError, ValueError) as error:
            problem = f"{part.name} does not accept the recorded arguments: {error}"
            return Diagnostic(key, problem, origin=origin, code="run-python")
    if not (part.args or part.kwargs):
        return resolved
    return functools.partial(resolved, *part.args, **part.kwargs)


def _read(file: Path) -> RecordConfig:
    try:
        return RecordConfig(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        reason = str(error).split("\n")[0]
        raise ConfigError(
            Diagnostic(
                "run",
                f"{file} cannot be read: {reason}",
                expected="the record that an Estimator writes",
                hint="Evaluate it "
                + _IN_PYTHON.format(str(file.parent))
                + ", which writes it again.",
                code="run-python",
            )
        ) from None


def _unrecorded(key: str, problem: str, file: Path) -> Diagnostic:
    what, _, fix = problem.partition(". ")
    if key == "input_fn":
        fix = "Name one on the command line: --input my_module:my_input_fn"
    again = _IN_PYTHON.format(str(file.parent))
    return Diagnostic(
        key,
        what,
        expected="a name that can be imported"
        if key in RecordConfig.model_fields and key not in ("params", "mesh")
        else "a value that JSON can hold",
        hint=f"{fix}; or evaluate this run {again}.",
        origin=str(file),
        code="run-python",
    )


def _overridden(line: str, file: Path) -> Diagnostic:
    return Diagnostic(
        line.partition("=")[0],
        "cannot be overridden: the run was made in Python and has no config",
        expected="only run=DIR and trust=PACKAGE",
        hint=f"Evaluate it with other arguments {_IN_PYTHON.format(str(file.parent))}.",
        origin=f"override {line}",
        code="run-python",
    )
