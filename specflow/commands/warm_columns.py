"""The fitted columns of a table with which a warm start begins."""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from specflow.columns import FittedColumns
from specflow.config.sections.images import ImagesConfig
from specflow.diagnostics.errors import DataError, Diagnostic
from specflow.lifecycle import build_warm_start, warm_columns
from specflow.output import RunDirectory
from specflow.output.run.config_changes import Change, changes
from specflow.runtime.filesystem import expanded

if TYPE_CHECKING:
    from specflow.compose import Composed

__all__ = ["columns_to_start", "report_start"]

_COLUMN = "data.columns."
_OTHERS = ("data.features", "data.joined", "data.missing")
"""Keys beside declared columns that decide what features mean."""
_OF_IMAGES = tuple(
    f"data.{name}" for name in ("size", "channels", "resize", "scale", "mean", "std")
)
"""Keys of data=images that decide what features mean."""
_DEEPEST = 3
"""Number of folders between a run and its checkpoints or exports."""


def columns_to_start(composed: "Composed") -> FittedColumns | None:
    """Reads the columns that restored parameters were trained with.

    Features have to mean the same as they did: the scale of a number and the index of a
    category are part of the weights. Labels may be others, for another task; those that
    are declared as before keep their classes.

    Args:
        composed: the experiment.

    Returns:
        The columns, with the labels that are kept; None if training starts without
        a warm start, or from a run that had no table.

    Raises:
        CheckpointError: there is no checkpoint.
        DataError: columns are declared otherwise, and `data.refit` is false.
    """
    config = composed.config
    source: Any = config.warm_start  # A path alone is a section by now.
    settings = build_warm_start(source)
    columns = None if settings is None else warm_columns(settings)
    if settings is None or columns is None or config.data.refit:
        return columns
    label = f"'{settings.path}'"
    problems = [
        _feature_as_label(name, composed, label)
        for name in config.data.labels
        if name in columns.sources
    ]
    # The names of its folders declare the classes of data=images.
    kept = {} if isinstance(config.data, ImagesConfig) else dict(columns.labels)
    run = _run_of(expanded(settings.path, "warm_start.path").absolute())
    if run is not None:
        labels = {*columns.labels, *config.data.labels}
        new = yaml.safe_load(composed.yaml())
        for key, changed in _changes(run.load_config(), new).items():
            if (name := key.removeprefix(_COLUMN)) in labels and name != key:
                kept.pop(name, None)
            else:
                problems.append(_changed(key, changed, composed, label))
    if problems:
        raise DataError(*problems)
    kept = {name: each for name, each in kept.items() if name in config.data.labels}
    return dataclasses.replace(columns, labels=kept)


def report_start(composed: "Composed", columns: FittedColumns) -> None:
    """Prints which columns are those of the run that the warm start restores."""
    source: Any = composed.config.warm_start
    kept = ", ".join([*columns.columns, *columns.labels])
    print(f"data: columns as fitted by '{source.path}': {kept}", file=sys.stderr)


def _run_of(path: Path) -> RunDirectory | None:
    """The run of a checkpoint or an export, if it is inside its run."""
    for folder in (path, *path.parents[:_DEEPEST]):
        if (run := RunDirectory(folder)).config.is_file():
            return run
    return None


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, list[Change]]:
    """What decides the meaning of features, and differs: `data.columns.age`, ..."""
    found: dict[str, list[Change]] = {}
    before, after = old.get("data", {}), new["data"]
    kinds = before.get("name"), after.get("name")
    if kinds == ("images", "images"):
        both = changes({"data": before}, {"data": after})
        return {each.key: [each] for each in both if each.key in _OF_IMAGES}
    if kinds != ("table", "table"):
        return found
    for change in changes({"data": before}, {"data": after}):
        key = change.key
        for name in {**before["columns"], **after["columns"]}:
            if key == f"{_COLUMN}{name}" or key.startswith(f"{_COLUMN}{name}."):
                found.setdefault(f"{_COLUMN}{name}", []).append(change)
        if key in _OTHERS:
            found[key] = [change]
    return found


def _changed(
    key: str, changed: Sequence[Change], composed: "Composed", label: str
) -> Diagnostic:
    if all(change.old == "absent" for change in changed):
        problem = f"is not declared in the run of {label}"
    elif all(change.new == "absent" for change in changed):
        problem = f"is declared in the run of {label} alone"
    else:
        parts = [
            f"{change.key[len(key) + 1 :]} was {change.old} and is {change.new}".strip()
            for change in changed
        ]
        problem = f"differs from the run of {label}: {'; '.join(parts)}"
    origins = [composed.origins.get(change.key, "") for change in changed]
    return Diagnostic(
        key,
        problem,
        expected="the columns with which the weights of warm_start were trained",
        hint="Restore the value, or fit the columns anew: data.refit=true.",
        origin=next(filter(None, origins), ""),
        code="table-changed",
    )


def _feature_as_label(name: str, composed: "Composed", label: str) -> Diagnostic:
    return Diagnostic(
        "data.labels",
        f"{name!r} is a column of features of {label}, which warm_start restores",
        expected="another column of labels",
        hint="Or fit the columns anew, without it: data.refit=true.",
        origin=composed.origins.get("data.labels", ""),
        code="table-changed",
    )
