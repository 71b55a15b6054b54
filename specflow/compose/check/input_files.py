"""Files of data that a config names, reported beside the errors of the config."""

import os
from collections.abc import Iterator
from typing import Any

from specflow.compose.provenance import Origins
from specflow.compose.section_types import Slot
from specflow.config.base import Config
from specflow.config.experiment import ExperimentConfig
from specflow.config.sections.data_sources import NpzConfig, TextConfig
from specflow.diagnostics.errors import Diagnostic
from specflow.runtime.filesystem import absence_hint

__all__ = ["missing_inputs"]

_INPUTS: tuple[tuple[type[Config], str, str], ...] = (
    (NpzConfig, "train", "file"),
    (NpzConfig, "eval", "file"),
    (TextConfig, "root", "folder"),
    (TextConfig, "tokenizer", "file"),
)
"""(section, field, what it names)."""


def missing_inputs(
    tree: dict[str, Any], origins: Origins, folder: str
) -> Iterator[Diagnostic]:
    """Yields an error for each file and folder of `data` that does not exist.

    A valid config leaves that to the data, which is read after it; an invalid one would
    hide it until its own errors are fixed.

    Args:
        tree: plain values, as composed.
        origins: origins of its values.
        folder: folder from which relative paths are resolved.
    """
    slot = Slot.of_field(ExperimentConfig.model_fields["data"])
    yield from _missing(slot, ("data",), tree.get("data"), origins, folder)


def _missing(
    slot: Slot, where: tuple[str, ...], written: Any, origins: Origins, folder: str
) -> Iterator[Diagnostic]:
    """Yields the errors of data, or of each part of a mixture."""
    section = slot.section(written)
    if section is None or not isinstance(written, dict):
        return
    parts = slot.child("parts", written)
    if parts is not None and isinstance(written.get("parts"), dict):
        for name, part in written["parts"].items():
            if (of_part := parts.child(name, None)) is not None:
                yield from _missing(
                    of_part, (*where, "parts", str(name)), part, origins, folder
                )
    for kind, key, what in _INPUTS:
        value = written.get(key)
        if not issubclass(section, kind) or not isinstance(value, str):
            continue
        path = os.path.join(folder, os.path.expanduser(value))
        exists = os.path.isfile(path) if what == "file" else os.path.isdir(path)
        if not exists and value != "stdlib":
            origin = origins.nearest((*where, key))
            yield Diagnostic(
                ".".join((*where, key)),
                f"there is no {what} {value!r}",
                hint=absence_hint(os.path.expanduser(value)),
                origin=origin.exact if origin else "",
                code="missing-file",
            )
