"""Composition from the config of a run: changes since the run was written."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specflow.compose.read.documents import load
from specflow.compose.read.override_grammar import format_value
from specflow.diagnostics.errors import Diagnostic
from specflow.runtime.distribution import version_of
from specflow.runtime.plain_tree import settings, value_at

if TYPE_CHECKING:
    from specflow.compose.overrides import Composed

__all__ = ["RUN_CONFIG", "notes", "since"]

RUN_CONFIG = "config.yaml"
"""File name of the resolved config in a run directory, with every default."""
_MANIFEST = "manifest.json"


def since(
    diagnostics: list[Diagnostic], run: str, alone: Callable[[], Collection[Diagnostic]]
) -> list[Diagnostic]:
    """Marks problems of a run's own config as fields that changed since it was written.

    Args:
        diagnostics: of the config composed from the run and the command's overrides.
        run: its directory.
        alone: returns the problems of the run without the command's overrides:
            versions do not explain a problem that an override causes.

    Returns:
        All diagnostics, preceded by one that names the version that wrote the run.
    """
    diagnostics = _without_guesses(
        [_gone(diagnostic, run) for diagnostic in diagnostics]
    )
    mine = (
        {(diagnostic.where, diagnostic.code) for diagnostic in alone()}
        if diagnostics
        else set()
    )
    count = sum(
        (diagnostic.where, diagnostic.code) in mine
        and diagnostic.code != "plugin-missing"
        for diagnostic in diagnostics
    )
    if not count:
        return diagnostics
    wrote, here = _packages(run).get("specflow"), version_of("specflow")
    wrote_by = f"specflow {wrote}" if wrote else "an unknown version of specflow"
    now = f"; specflow {here}" if here else "; this version"
    now = ", which" if wrote == here else now
    values = "one of its values" if count == 1 else f"{count} of its values"
    return [
        Diagnostic(
            "run",
            f"{run} was written by {wrote_by}{now} does not accept {values}",
            hint="Override each on the command line: key=value, or ~key to remove it.",
            origin=f"override run={run}",
            code="run-version",
        ),
        *diagnostics,
    ]


def _gone(diagnostic: Diagnostic, run: str) -> Diagnostic:
    """Adds to an unknown name the package that provided it, if the run records it."""
    section = diagnostic.where.removesuffix(".name")
    package = _noted(run, "plugins").get(section)
    if diagnostic.code != "unknown-name" or package is None or version_of(package):
        return diagnostic
    version = _packages(run).get(package, "of an unknown version")
    return Diagnostic(
        diagnostic.where,
        f"{diagnostic.problem}, which came with {package} {version}",
        expected="that package to be installed",
        hint="Install it if you trust it.",
        origin=diagnostic.origin,
        code="plugin-missing",
    )


def _without_guesses(diagnostics: list[Diagnostic]) -> list[Diagnostic]:
    """Drops problems of sections whose kind is missing: their fields are unknown."""
    gone = tuple(
        diagnostic.where.removesuffix("name")
        for diagnostic in diagnostics
        if diagnostic.code == "plugin-missing"
    )
    return [
        diagnostic
        for diagnostic in diagnostics
        if diagnostic.code == "plugin-missing" or not diagnostic.where.startswith(gone)
    ]


def notes(composed: "Composed") -> Iterator[str]:
    """Yields the differences between the run and now: packages, new fields.

    Args:
        composed: an experiment composed from a run.
    """
    run = str(composed.run)
    former = _packages(run)
    differing = [
        f"{name} {there} (installed: {here or 'none'})"
        for name, there in sorted(former.items())
        if (here := version_of(name)) != there
    ]
    if differing:
        yield f"{run} was made with {'; '.join(differing)}"
    added = [f"{key}={format_value(value)}" for key, value in _added(run, composed)]
    if added:
        yield f"{run} predates these fields, which keep their defaults: " + ", ".join(
            added
        )


def _added(run: str, composed: "Composed") -> Iterator[tuple[str, Any]]:
    """Yields the fields that the sections of a run did not have."""
    raw = load(Path(run) / RUN_CONFIG, run).content
    for path, value in settings(composed.tree):
        key, section = ".".join(path), value_at(raw, path[:-1])
        if composed.origins[key] != "default" or not isinstance(section, Mapping):
            continue
        here = value_at(composed.tree, path[:-1])
        if path[-1] not in section and section.get("name") == here.get("name"):
            yield key, value


def _packages(run: str) -> dict[str, str]:
    """Returns package -> version of a run, as far as its manifest records them."""
    return _noted(run, "packages")


def _noted(run: str, key: str) -> dict[str, str]:
    """Returns a table of texts in a run's manifest; empty if it has none."""
    try:
        manifest = json.loads((Path(run) / _MANIFEST).read_text(encoding="utf-8-sig"))
        pairs = dict(manifest[key]).items()
        return {str(name): str(text) for name, text in pairs if name and text}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
