"""Resolution of relative paths in a config: from the folder of the command's start.

A config keeps its paths as written. For a job of a sweep that changes its folder, and
for a command that uses the config of a run (`run=DIR`) in another folder, they are made
absolute here, in every section.
"""

import dataclasses
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from specflow.compose.provenance import Origins
from specflow.config.base import UserPath
from specflow.config.experiment import ExperimentConfig
from specflow.diagnostics.errors import Diagnostic
from specflow.runtime.plain_tree import value_at

if TYPE_CHECKING:
    from specflow.compose.overrides import Composed

__all__ = ["from_start", "recorded_start", "with_places"]

_MANIFEST = "manifest.json"
(_IS_PATH,) = UserPath.__metadata__  # type: ignore[attr-defined]


def recorded_start(run: str | Path) -> str | None:
    """Returns the folder in which a run was started, by its manifest, or None."""
    try:
        manifest = json.loads((Path(run) / _MANIFEST).read_text(encoding="utf-8-sig"))
        folder = manifest["started_in"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return folder if isinstance(folder, str) and os.path.isabs(folder) else None


def from_start(
    config: ExperimentConfig,
    origins: Origins,
    *,
    folder: str,
    run_config: str = "",
    run_folder: str | None = None,
) -> ExperimentConfig:
    """Makes every relative path valid in the working directory.

    Args:
        config: validated, its targets not bound.
        origins: origins of its values.
        folder: folder in which the command was started.
        run_config: origin of the values that a run has recorded.
        run_folder: folder in which that run was started: its paths are resolved from
            there, or from `folder` if they do not exist (a project that was moved).

    Returns:
        The same object if no path changes.
    """
    here = os.getcwd()
    if run_folder is None and os.path.realpath(folder) == os.path.realpath(here):
        return config  # Every path is written from here.

    def anchored(path: tuple[str, ...], written: str) -> str:
        if written.startswith("~") or os.path.isabs(written):
            return written
        start = folder
        if run_folder is not None and origins.leaf(path).source == run_config:
            there = os.path.join(run_folder, written)
            start = run_folder if os.path.exists(there) else folder
        same = os.path.realpath(start) == os.path.realpath(here)
        return written if same else os.path.abspath(os.path.join(start, written))

    return _anchored(config, (), anchored, is_path=False)


def with_places(diagnostic: Diagnostic, composed: "Composed") -> Diagnostic:
    """Adds to a run's relative path that does not exist both folders tried."""
    if diagnostic.code != "missing-file" or composed.started_in is None:
        return diagnostic
    written = value_at(composed.tree, diagnostic.where.split("."))
    recorded = not composed.origins.get(diagnostic.where, "").startswith("override ")
    if not (recorded and isinstance(written, str)) or os.path.isabs(written):
        return diagnostic
    if os.path.realpath(composed.started_in) == os.path.realpath(os.getcwd()):
        return diagnostic
    places = (
        f"A relative path of a run is resolved from {composed.started_in}, where it "
        f"was started, or from the working directory, {os.getcwd()}; it exists in "
        f"neither. Override it: {diagnostic.where}=..."
    )
    return dataclasses.replace(diagnostic, hint=places)


def _anchored(
    value: Any,
    path: tuple[str, ...],
    anchored: Callable[[tuple[str, ...], str], str],
    *,
    is_path: bool,
) -> Any:
    if isinstance(value, BaseModel):
        changed = {}
        for name, field in type(value).model_fields.items():
            former = getattr(value, name)
            if former == field.default:
                continue  # A default of the code is not a written path: `stdlib`.
            inner = (*path, field.alias or name)
            new = _anchored(former, inner, anchored, is_path=_takes_paths(field))
            if new is not former:
                changed[name] = new
        return value.model_copy(update=changed) if changed else value
    if isinstance(value, str):
        return anchored(path, value) if is_path else value
    if isinstance(value, dict):
        pairs = {
            key: _anchored(one, (*path, str(key)), anchored, is_path=is_path)
            for key, one in value.items()
        }
        return pairs if any(pairs[key] is not value[key] for key in pairs) else value
    if isinstance(value, list):
        items = [
            _anchored(one, (*path, str(place)), anchored, is_path=is_path)
            for place, one in enumerate(value)
        ]
        same = all(new is old for new, old in zip(items, value, strict=True))
        return value if same else items
    return value


def _takes_paths(field: FieldInfo) -> bool:
    return _IS_PATH in [*field.metadata, *_marks(field.annotation)]


def _marks(annotation: Any) -> Iterator[Any]:
    """Yields the `Annotated` marks of a type and of its members, recursively."""
    if get_origin(annotation) is Annotated:
        yield from annotation.__metadata__
    if get_origin(annotation) in (Annotated, Union, UnionType, list, dict):
        for member in get_args(annotation):
            yield from _marks(member)
