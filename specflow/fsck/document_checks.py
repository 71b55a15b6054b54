"""Checks of documents: JSON with a digest of its own, the config, sealed files."""

import dataclasses
import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from specflow.compose.draft import draft
from specflow.compose.read.config_folders import folders
from specflow.compose.read.override_grammar import format_value
from specflow.config.estimator_record import RecordConfig
from specflow.diagnostics.errors import ConfigError
from specflow.fsck.verdicts import Finding, SetAside, Verdict
from specflow.runtime.file_digests import file_digest, is_intact

__all__ = ["Document", "Seals", "check_config", "check_record", "read_document"]


@dataclasses.dataclass(frozen=True)
class Document:
    """A JSON document that was read, and the verdict on it."""

    finding: Finding
    content: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Empty unless the verdict is `ok`."""


def read_document(path: Path, *, can_go: bool = False) -> Document:
    """Reads a JSON object, and compares it with its digest if it has one.

    Args:
        path: the file.
        can_go: whether a damaged one is set aside by a repair.
    """

    def damaged(reason: str) -> Document:
        repair = SetAside() if can_go else None
        return Document(Finding(path, Verdict.DAMAGED, reason, repair))

    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return damaged("is missing")
    except (OSError, ValueError) as error:
        return damaged(_cannot_be_read(error, "JSON"))
    if not isinstance(content, dict):
        return damaged("is no JSON object")
    # A document that lists files always has a digest: its key may have changed.
    if ("digest" in content or "files" in content) and not is_intact(content):
        return damaged("changed since it was written")
    return Document(Finding(path), content)


class Seals:
    """Sizes and digests of files, as the manifest and the result of a run list them.

    Args:
        folder: the run.
        documents: file name -> content; later ones win.
    """

    def __init__(self, folder: Path, documents: Mapping[str, Mapping[str, Any]]):
        self._folder = folder
        self._seals = {
            name: (document, seal)
            for document, content in documents.items()
            for name, seal in content.get("files", {}).items()
        }

    def paths(self) -> list[Path]:
        """Returns the sealed files, whether they exist or not."""
        return [self._folder / name for name in self._seals]

    def checked(self, finding: Finding) -> Finding:
        """Returns the finding, or one of damage if the file's seal is broken.

        A last line that is torn is damage, too, where the seal has it complete.
        """
        name = finding.path.relative_to(self._folder).as_posix()
        sound = (Verdict.OK, Verdict.INCOMPLETE)
        if finding.verdict not in sound or name not in self._seals:
            return finding
        document, seal = self._seals[name]
        try:
            size = finding.path.stat().st_size
            if size < seal["bytes"]:
                reason = f"has {size} of the {seal['bytes']} bytes that {document} has"
            elif size > seal["bytes"] and not _is_appended_to(finding.path):
                reason = f"has {size} bytes, and {document} has {seal['bytes']}"
            elif file_digest(finding.path, seal["bytes"]) != seal["sha256"]:
                reason = f"changed since {document} was written"
            else:
                return finding
        except FileNotFoundError:
            reason = f"is missing, and {document} lists it"
        return Finding(finding.path, Verdict.DAMAGED, reason, finding.repair)


def _is_appended_to(path: Path) -> bool:
    """Returns whether a run appends to a file, even after it was listed."""
    return path.suffix == ".jsonl" or "tfevents" in path.name


def check_config(run: Path) -> Finding:
    """Composes the config of a run; imports nothing that it names."""
    import yaml

    path = run / "config.yaml"
    try:
        if not isinstance(yaml.safe_load(path.read_text(encoding="utf-8-sig")), dict):
            return Finding(path, Verdict.DAMAGED, "holds no config")
    except FileNotFoundError:
        return Finding(path, Verdict.DAMAGED, "is missing")
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        return Finding(path, Verdict.DAMAGED, _cannot_be_read(error, "YAML"))
    try:
        diagnostics = draft([f"run={format_value(str(run))}"], _folders()).diagnostics
    except ConfigError as error:
        diagnostics = error.diagnostics
    if diagnostics:
        first = diagnostics[0]
        reason = f"does not compose here: {first.where}: {first.problem}"
        return Finding(path, Verdict.OTHER_FORMAT, reason)
    return Finding(path)


def check_record(path: Path) -> Finding:
    """Checks the `estimator.json` of a run that was made in Python."""
    document = read_document(path)
    if document.finding.verdict is Verdict.OK:
        version = document.content.get("version")
        if isinstance(version, int) and version > 1:
            reason = f"has version {version}; expected version 1"
            return Finding(path, Verdict.OTHER_FORMAT, reason)
        try:
            RecordConfig.model_validate(document.content)
        except ValueError as error:
            reason = str(error).split("\n")[1:2] or [""]
            return Finding(path, Verdict.DAMAGED, f"has a wrong field: {reason[0]}")
    return document.finding


@functools.cache
def _folders() -> Any:
    return folders()


def _cannot_be_read(error: Exception, kind: str) -> str:
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror or error}"
    return f"is no {kind}"
