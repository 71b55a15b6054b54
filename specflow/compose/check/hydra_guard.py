"""Check of the section `hydra`, which can name code to run."""

from collections.abc import Iterable, Iterator
from typing import Any

from hydra.core.plugins import Plugins
from omegaconf import DictConfig, OmegaConf

from specflow.compose.check.foreign_files import Merged, hydra_settings
from specflow.compose.check.targets import resolve
from specflow.compose.read.config_folders import Folders
from specflow.compose.read.documents import load, mark_of
from specflow.compose.read.override_grammar import Request
from specflow.config.base import TARGET
from specflow.diagnostics.errors import ConfigError, Diagnostic
from specflow.runtime.plain_tree import leaves

__all__ = ["hydra_diagnostics"]

Path = tuple[str, ...]

_PLUGINS = ("sweeper", "launcher")
"""Parts of Hydra that run a sweep."""
_LOGGING = ("hydra_logging", "job_logging")
_CLASSES = frozenset(
    {"logging.FileHandler", "logging.NullHandler", "logging.StreamHandler"}
)
_STREAMS = frozenset({"ext://sys.stdout", "ext://sys.stderr"})


def hydra_diagnostics(
    config: DictConfig,
    files: Merged,
    folders: Folders,
    request: Request,
    *,
    typed: Iterable[str],
) -> list[Diagnostic]:
    """Refuses untrusted code and settings in Hydra's own section.

    Args:
        config: config that Hydra composed for a sweep, with its own section.
        files: the files that it was composed of.
        folders: config folders, to report the origin.
        request: overrides of the sweep, to report the origin.
        typed: keys of Hydra that the command line sets, not a file.

    Returns:
        A callback, a target of a plugin or a log that is not trusted, or what a file of
        unknown origin sets: the environment, or a folder outside.
    """
    lines = {one.key_or_group: f"override {one.input_line}" for one in request.hydra}
    diagnostics = [
        Diagnostic(
            ".".join(path),
            problem,
            expected,
            origin=_origin(path, folders, lines),
            code="target-untrusted",
        )
        for path, problem, expected in _strangers(config.hydra, request.trust)
    ]
    trusted = request.trusted_folders
    return diagnostics + hydra_settings(config, files, folders, typed, trusted)


def _strangers(node: DictConfig, trust: Path) -> Iterator[tuple[Path, str, str]]:
    """Yields (path, problem, expected) of everything that is refused."""
    written: Any = OmegaConf.to_container(node, resolve=False)
    callbacks = written.get("callbacks")
    for name in callbacks if isinstance(callbacks, dict) else [""] * bool(callbacks):
        path = ("hydra", "callbacks", *([name] if name else []))
        yield path, "would run code of its own", "no callbacks"
    for part in _PLUGINS:
        name = (written[part] or {}).get(TARGET)
        if name not in Plugins.instance().class_name_to_class:
            yield ("hydra", part, TARGET), f"got {name!r}", "a plugin of Hydra"
        plain = OmegaConf.to_container(node[part], resolve=True) if node[part] else {}
        for path, value in _settings(plain, ("hydra", part)):
            if path[-1] != TARGET or path == ("hydra", part, TARGET):
                continue
            refusal = resolve("", value, trust=trust)
            if isinstance(refusal, Diagnostic):
                expected = f"{refusal.expected}. {refusal.hint}".strip()
                yield path, refusal.problem, expected
    for part in _LOGGING:
        for path, value in _settings(written[part], ("hydra", part)):
            if not _is_harmless(path[-1], value):
                expected = f"one of {', '.join(sorted({*_CLASSES, *_STREAMS}))}"
                yield path, f"got {value!r}", expected


def _is_harmless(key: str, value: Any) -> bool:
    """Returns whether a setting of `logging.config` names no code."""
    if key == "class":
        return value in _CLASSES
    if not isinstance(value, str):
        return key != "()"
    # An interpolation may hide a section; only a file name may contain one.
    hidden = value.startswith("${") and key != "filename"
    named = value.startswith("ext://") and value not in _STREAMS
    return not (key == "()" or hidden or named)


def _settings(node: Any, above: Path) -> Iterator[tuple[Path, Any]]:
    """Yields (path, value) of every leaf below a path."""
    for path, value in leaves(node):
        yield (*above, *map(str, path)), value


def _origin(path: Path, folders: Folders, lines: dict[str, str]) -> str:
    """Returns the origin of a path: an override, or the first file that sets it."""
    for length in range(len(path), 0, -1):
        if (key := ".".join(path[:length])) in lines:
            return lines[key]
    for file in folders.files():
        shown = folders.shown(file)
        try:
            mark = mark_of(load(file, shown).node, path)
        except ConfigError:
            continue
        if mark is not None:
            return f"{shown}:{mark.line + 1}:{mark.column + 1}"
    return ""
