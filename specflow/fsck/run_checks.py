"""Checks of run directories, and of sweeps: of every run below a folder."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from specflow.fsck.checkpoint_checks import check_checkpoints, good_steps
from specflow.fsck.document_checks import (
    Document,
    Seals,
    check_config,
    check_record,
    read_document,
)
from specflow.fsck.event_checks import check_events
from specflow.fsck.export_checks import check_exports, is_export_name
from specflow.fsck.row_checks import check_metrics, check_rows
from specflow.fsck.verdicts import Finding, Remove, Verdict
from specflow.output.run.lock import holder

__all__ = ["QUARANTINE", "check_run", "check_tables"]

QUARANTINE = "damaged"
"""Folder of a run to which a repair moves what is damaged."""

_TEMPORARY = re.compile(r"\..+\.(\d+)\.tmp|.+\.(?:tmp|partial)")
_ROWS = (".jsonl", ".csv", ".parquet")
_NO_ROWS = ("checkpoints", "params", "export", "profile", QUARANTINE)
"""Folders with neither rows nor events of a run."""
_EARLIER = re.compile(r"(manifest|origins|result)\.\d+\.json")


def check_tables(folder: Path) -> Iterator[Finding]:
    """Checks the tables of trials in the folder of a sweep."""
    for path in sorted(folder.glob("trials*.json")):
        yield read_document(path).finding
    for path in sorted(folder.glob("trials*.csv")):
        yield check_rows(path)


def check_run(run: Path) -> Iterator[Finding]:
    """Checks everything in a run directory.

    Args:
        run: the directory; also a `model_dir` of a run made in Python.
    """
    names = ("manifest.json", "result.json")
    documents = {
        name: read_document(run / name, can_go=name == "result.json")
        for name in names
        if (run / name).exists()
    }
    contents = {name: document.content for name, document in documents.items()}
    seals = Seals(run, contents)
    checked: set[Path] = set()
    holding = holder(run / ".lock")
    if holding not in (None, str(os.getpid())):  # A repair holds it, too.
        note = f"held by process {holding}, which writes this run now"
        yield Finding(run / ".lock", reason=note)

    def once(finding: Finding) -> Iterator[Finding]:
        checked.add(finding.path)
        yield seals.checked(finding)

    yield from _check_documents(run, documents, once)
    steps = [*check_checkpoints(run / "checkpoints")]
    yield from steps
    yield from check_checkpoints(run / "params")
    good = good_steps(steps, run / "checkpoints")
    # The result lists the rows; without it the run resumes from a checkpoint.
    newest = None if "result.json" in documents or not good else good[-1]
    for path in sorted(run.glob("eval*/metrics.jsonl")):
        yield from once(check_metrics(path, newest=newest))
    yield from _check_files(run, newest, once)
    yield from check_exports(run / "export")
    for path in seals.paths():
        if path not in checked:
            yield seals.checked(Finding(path))
    yield from _check_leftovers(run)


def _check_documents(
    run: Path,
    documents: dict[str, Document],
    once: Callable[[Finding], Iterator[Finding]],
) -> Iterator[Finding]:
    of_configs = ("config.yaml", "manifest.json", "origins.json")
    is_of_config = any((run / name).exists() for name in of_configs)
    if is_of_config:
        yield from once(check_config(run))
    if (run / "estimator.json").exists():
        yield from once(check_record(run / "estimator.json"))
    if is_of_config:
        for name in ("origins.json", "manifest.json"):
            document = documents.get(name) or read_document(run / name)
            yield from once(document.finding)
    if "result.json" in documents:
        yield from once(documents["result.json"].finding)
    for path in sorted(run.glob("*.json")):
        if _EARLIER.fullmatch(path.name):
            yield from once(read_document(path).finding)


def _check_files(
    run: Path, newest: int | None, once: Callable[[Finding], Iterator[Finding]]
) -> Iterator[Finding]:
    """Checks the rows, predictions and TensorBoard events of a run."""
    for parent, folders, files in os.walk(run):
        place = Path(parent)
        if place == run:
            folders[:] = [name for name in folders if name not in _NO_ROWS]
        folders.sort()
        for name in sorted(files):
            path = place / name
            if "tfevents" in name:
                yield from once(check_events(path))
            elif place != run or _TEMPORARY.fullmatch(name):
                continue
            elif name == "metrics.jsonl":
                yield from once(check_metrics(path, newest=newest, in_order=True))
            elif path.suffix in _ROWS:
                yield from once(check_rows(path))


def _check_leftovers(run: Path) -> Iterator[Finding]:
    """Finds temporary files of processes that have ended."""
    for parent, folders, files in os.walk(run):
        folders[:] = sorted(
            name
            for name in folders
            if not name.endswith(".partial")
            and not name.startswith(("temp-", "deleting-"))
            and not is_export_name(name)
            and not (Path(parent) == run and name == QUARANTINE)
        )
        for name in sorted(files):
            match = _TEMPORARY.fullmatch(name)
            if match is None:
                continue
            path = Path(parent, name)
            if match[1] and _is_alive(int(match[1])):
                yield Finding(path, reason=f"process {match[1]} is writing it")
            else:
                reason = "is a temporary file"
                yield Finding(path, Verdict.LEFTOVER, reason, Remove())


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
