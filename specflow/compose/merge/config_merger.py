"""Merging of config layers: files in the order of the defaults list, then overrides."""

import contextlib
import copy
import dataclasses
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override

from specflow.compose.merge.component_changes import (
    DroppedField,
    selected_components,
    stale_fields,
)
from specflow.compose.merge.interpolations import Resolution
from specflow.compose.merge.merging import merge
from specflow.compose.provenance import Origin, Origins
from specflow.compose.read.defaults_entries import defaults_key
from specflow.compose.read.defaults_list import first_line
from specflow.compose.read.defaults_places import DefaultsEntry, read_defaults
from specflow.compose.read.documents import Document, load
from specflow.compose.read.override_grammar import (
    escape_interpolation,
    format_value,
    needs_resolving,
)
from specflow.compose.read.valid_blocks import read_valid_blocks
from specflow.compose.section_types import Slot
from specflow.config.base import TARGET
from specflow.config.experiment import ExperimentConfig
from specflow.diagnostics.errors import Diagnostic, did_you_mean, nearest
from specflow.runtime.plain_tree import leaves, value_at

__all__ = ["ConfigMerger"]

_HYDRA = "hydra"
"""Keys of a file that only Hydra reads."""
_WARM_START = "warm_start"
"""Section that may be given as a string, its `path`."""


@dataclasses.dataclass(frozen=True)
class Emptied:
    """A section in whose place a file set null or another value, as it was before."""

    values: dict[Any, Any]
    origins: dict[tuple[str, ...], tuple[Origin, bool]]
    by: Any
    """What the file set."""
    origin: Origin
    """Where the file set it."""


@dataclasses.dataclass
class ConfigMerger:
    """Merges config layers into one tree, and tracks the origin of each value.

    >>> merger = ConfigMerger()
    >>> _ = merger.merge_value(("optimizer",), {"schedule": {"name": "cosine"}})
    >>> _ = merger.merge_value(("optimizer", "schedule"), {"final": 0.1})
    >>> merger.tree
    {'optimizer': {'schedule': {'name': 'cosine', 'final': 0.1}}}
    """

    tree: dict[Any, Any] = dataclasses.field(default_factory=dict)
    origins: Origins = dataclasses.field(default_factory=Origins)
    defaults_entries: list[DefaultsEntry] = dataclasses.field(default_factory=list)
    """Entries of the files' defaults lists."""
    diagnostics: list[Diagnostic] = dataclasses.field(default_factory=list)
    unreadable_paths: set[tuple[str, ...]] = dataclasses.field(default_factory=set)
    """Paths whose values could not be read, in a file that is not valid YAML."""
    guessed_places: set[str] = dataclasses.field(default_factory=set)
    """`file:line` of lines that are not valid YAML, and were read as repaired."""
    unknown_groups: set[str] = dataclasses.field(default_factory=set)
    """Groups with a choice that does not exist, and no close match."""
    command_line_files: set[str] = dataclasses.field(default_factory=set)
    """Files selected on the command line. Their fields are kept even if another file
    selects a different component."""
    dropped: list[DroppedField] = dataclasses.field(default_factory=list)
    """Fields of files that a later layer invalidated."""
    sweep_options: list[str] = dataclasses.field(default_factory=list)
    """Notes about options of sweeps in files."""
    emptied: dict[str, Emptied] = dataclasses.field(default_factory=dict)
    """Section -> what it was before a file replaced it by a value that is none."""
    _missing_items: list[tuple[tuple[str, ...], int]] = dataclasses.field(
        default_factory=list
    )
    """(path of an item beyond the end of its list, length of the list)."""

    def copy(self) -> "ConfigMerger":
        """Returns a merger with the same layers, apart from this one."""
        mutable = {
            field.name: copy.copy(getattr(self, field.name))
            for field in dataclasses.fields(self)
        }
        # What is merged later changes these inside.
        mutable["tree"], mutable["emptied"] = copy.deepcopy((self.tree, self.emptied))
        mutable["origins"] = self.origins.copy()
        return ConfigMerger(**mutable)

    def merge_value(self, path: tuple[str, ...], value: Any) -> set[tuple[str, ...]]:
        """Merges a value into the tree; returns the lists that had an item merged."""
        for key in reversed(path):
            value = {key: value}
        merged = merge(self.tree, value)
        self._missing_items += merged.missing
        return merged.lists

    def merge_file(self, file: Path, shown: str, package: str = "") -> None:
        """Merges a file at its package; reports blocks that are not valid YAML.

        Raises:
            ConfigError: the file cannot be read.
        """
        blocks = read_valid_blocks(file, shown)
        document, path = blocks.document, tuple(package.split(".")) if package else ()
        self.diagnostics += blocks.diagnostics
        self.unreadable_paths |= {
            (*path, key) if key else path for key in blocks.skipped_keys
        }
        self.guessed_places |= blocks.guessed_places
        if blocks.skipped_keys & {"", "defaults"}:
            self.unknown_groups.add(package.split(".")[0])
        self.defaults_entries += read_defaults(document.node, shown)
        # A section `hydra` configures Hydra only at the root.
        listed = defaults_key(document.content, at_root=not path) or "defaults"
        document = document.without((listed,) if path else (listed, _HYDRA))
        self._merge_document(document, shown, path)

    def merge_data(self, file: Path, shown: str) -> None:
        """Merges a file of literal values: `${` in it starts no interpolation.

        Raises:
            ConfigError: the file cannot be read, or is not a YAML mapping.
        """
        document = load(file, shown)
        escaped = dataclasses.replace(document, content=_escaped(document.content))
        self._merge_document(escaped, shown, ())

    def apply_overrides(self, overrides: Iterable[Override]) -> None:
        """Applies the overrides of a command to the config, in order.

        The overrides form one layer: a component that one of them selects applies to
        all, in any order.
        """
        with self._merging_layer(lambda origin: not origin.line):
            for override in overrides:
                self._apply_override(override)

    def remove(self, key: str) -> None:
        """Removes a section and its origins."""
        self.tree.pop(key, None)
        self.origins.remove((key,))

    def restore_emptied(self) -> Iterator[tuple[str, "Emptied"]]:
        """Restores the sections that a file has emptied, and yields each.

        A section of another component may replace what the file set; a part of one may
        not.
        """
        for key, emptied in self.emptied.items():
            now = self.tree.get(key)
            if isinstance(now, dict) and now.keys() & {"name", TARGET}:
                continue
            self.tree[key] = emptied.values
            self.merge_value((key,), now if isinstance(now, dict) else {})
            self.origins.restore(emptied.origins)
            yield key, emptied

    def resolve(self) -> dict[Any, Any]:
        """Resolves the interpolations of the tree; reports those that fail."""
        if not any(needs_resolving(value) for _, value in leaves(self.tree)):
            return self.tree
        resolution = Resolution(self.tree)
        for path, error in resolution.failed:
            if error is None:
                self._add_diagnostic(path, "missing")
            else:
                self._add_diagnostic(path, "interpolation", error)
        return resolution.values

    def _merge_document(
        self, document: Document, shown: str, path: tuple[str, ...]
    ) -> None:
        if not path:
            self._note_emptied(document, shown)
        with self._merging_layer(
            lambda origin: origin.source in {shown, *self.command_line_files}
        ):
            lists = self.merge_value(path, _expand_shorthand(document.content, path))
            self.origins.record_file(document.node, shown, path, lists)
            self._report_missing_items()

    def _note_emptied(self, document: Document, shown: str) -> None:
        """Remembers the sections that a file replaces by a value that is none."""
        for key, _ in document.node.value:
            name = key.value
            field, old = ExperimentConfig.model_fields.get(name), self.tree.get(name)
            if field is None or name not in document.content:
                continue
            by, nullable = document.content[name], Slot.of_field(field).nullable
            if not isinstance(old, dict) or isinstance(by, dict) or nullable:
                continue
            mark = key.start_mark
            self.emptied[name] = Emptied(
                copy.deepcopy(old),
                self.origins.copy_below((name,)),
                by,
                Origin(shown, mark.line + 1, mark.column + 1),
            )

    def _apply_override(self, override: Override) -> None:
        line, path = str(override.input_line), _path(override.key_or_group)
        if override.is_delete():
            self._delete(path, line, override.value())
        else:
            value: Any = _with_text_keys(override.value())
            if path == (_WARM_START,) and isinstance(value, str):
                path = (_WARM_START, "path")
            self._report_replaced(path)
            lists = self.merge_value(path, value)
            self.origins.record_value(path, value, line, lists)
            self._report_missing_items()

    def _report_replaced(self, path: tuple[str, ...]) -> None:
        """Reports a section that is no mapping, before one of its keys replaces it."""
        old = self.tree.get(path[0])
        if len(path) < 2 or path[0] not in ExperimentConfig.model_fields:
            return
        if old is None or isinstance(old, dict) or path[0] in self.emptied:
            return
        origin = self.origins.nearest(path[:1])
        self.diagnostics.append(
            Diagnostic(
                path[0],
                f"got {old}",
                expected="a section: keys with values",
                origin=origin.exact if origin else "",
                code="type",
            )
        )

    @contextlib.contextmanager
    def _merging_layer(self, is_from_layer: Callable[[Origin], bool]) -> Iterator[None]:
        """Merges a layer in its block, then drops the fields that it invalidates."""
        before = selected_components(self.tree)
        yield
        for path, dropped in [
            *stale_fields(self.tree, self.origins, before, is_from_layer)
        ]:
            *parent, key = path
            del value_at(self.tree, parent)[key]
            self.origins.remove(path)
            if dropped is not None:
                self.dropped.append(dropped)

    def _report_missing_items(self) -> None:
        """Reports items that the layer sets beyond the end of their lists."""
        for path, count in self._missing_items:
            origin, (*section, _) = self.origins.nearest(path), path
            expected = (
                f"one of the {count} items, 0 to {count - 1}"
                if count > 1
                else ("the only item, 0" if count else "no item, as the list is empty")
            )
            self.diagnostics.append(
                Diagnostic(
                    ".".join(path),
                    "no such item",
                    expected=expected,
                    hint=f"Set the whole list with {'.'.join(section)}=[...].",
                    origin=origin.exact if origin else "",
                    code="unknown-key",
                )
            )
        self._missing_items.clear()

    def _delete(self, path: tuple[str, ...], line: str, value: Any = None) -> None:
        """Deletes a path; `~key=value` deletes it only if it has that value."""
        *parent, name = path
        section = value_at(self.tree, parent)
        if isinstance(section, dict) and name in section:
            if value is not None and value != section[name]:
                self.diagnostics.append(
                    Diagnostic(
                        ".".join(path),
                        f"is {format_value(section[name])} and not "
                        f"{format_value(value)}, so it is not deleted",
                        hint=f"~{'.'.join(path)} deletes it whatever its value.",
                        origin=f"override {line}",
                        code="deletion",
                    )
                )
                return
            del section[name]
            self.origins.delete(path, line)
            return
        known = sorted(map(str, section)) if isinstance(section, dict) else []
        prefix = "".join(f"{key}." for key in parent)
        suggestion = did_you_mean(nearest(name, known), prefix=prefix)
        existing = f"Keys here: {', '.join(known)}." if known else ""
        self.diagnostics.append(
            Diagnostic(
                ".".join(path),
                "nothing to delete here",
                hint=f"{suggestion} {existing}".strip(),
                origin=f"override {line}",
                code="unknown-key",
            )
        )

    def _add_diagnostic(
        self, path: tuple[str, ...], code: str, error: Exception | None = None
    ) -> None:
        origin, where = self.origins.nearest(path), ".".join(path)
        problem = f"cannot be resolved: {first_line(error)}" if error else ""
        self.diagnostics.append(
            Diagnostic(
                where,
                problem or "has no value yet",
                hint="" if error else f"Set it: {where}=...",
                origin=origin.exact if origin else "",
                code=code,
            )
        )


def _expand_shorthand(content: dict[Any, Any], path: tuple[str, ...]) -> dict[Any, Any]:
    """Expands the string shorthand of a section."""
    value = None if path else content.get(_WARM_START)
    if not isinstance(value, str):
        return content
    return {**content, _WARM_START: {"path": value}}


def _with_text_keys(value: Any) -> Any:
    """Turns keys that are whole numbers into text, as Hydra's grammar quotes no key."""
    if isinstance(value, dict):
        return {
            str(key) if type(key) is int else key: _with_text_keys(inner)
            for key, inner in value.items()
        }
    return [*map(_with_text_keys, value)] if isinstance(value, list) else value


def _path(key: str) -> tuple[str, ...]:
    return tuple(key.split("."))


def _escaped(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _escaped(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_escaped(inner) for inner in value]
    return escape_interpolation(value) if isinstance(value, str) else value
