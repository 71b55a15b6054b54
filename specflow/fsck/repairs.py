"""Repair of a run directory: removes what is incomplete, sets aside what is damaged."""

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from specflow.fsck.document_checks import read_document
from specflow.fsck.run_checks import QUARANTINE
from specflow.fsck.verdicts import Finding, Remove, Rewrite
from specflow.output.files import replacing, reported, write_text
from specflow.output.json_values import to_json
from specflow.output.run.lock import Lock
from specflow.runtime.file_digests import seals, signed

__all__ = ["action_text", "locked", "repair_run"]


@contextlib.contextmanager
def locked(run: Path, *, when: bool) -> Iterator[None]:
    """Holds the lock of a run, so that no process writes it meanwhile.

    Args:
        run: the run directory.
        when: False: does nothing.

    Raises:
        OutputError: another process holds it.
    """
    if not when:
        yield
        return
    file = run / ".lock"
    existed = file.exists()
    lock = Lock(file)
    try:
        yield
    finally:
        lock.release()
        if not existed:  # A run made in Python has no lock.
            file.unlink(missing_ok=True)


def action_text(run: Path, finding: Finding) -> str:
    """Describes the repair of a finding, in the imperative.

    Args:
        run: the run directory.
        finding: one with a repair.
    """
    name = finding.path.relative_to(run)
    if isinstance(finding.repair, Remove):
        return f"remove {name}"
    if isinstance(finding.repair, Rewrite):
        dropped = finding.path.stat().st_size
        dropped -= sum(stop - start for start, stop in finding.repair.spans)
        copy = f", and copy it to {QUARANTINE}/" if finding.repair.keeps_copy else ""
        return f"drop {dropped} bytes of {name} that cannot be read{copy}"
    return f"move {name} to {QUARANTINE}/"


def repair_run(run: Path, findings: Sequence[Finding]) -> None:
    """Makes the repairs of findings, in this order.

    Nothing that can be read is deleted: what is damaged is moved to `damaged/`, of a
    file of rows or events a copy, beside which the readable ones stay. Digests in
    `result.json` follow.

    Args:
        run: the run directory; locked by the caller.
        findings: those with a repair, from a check made under the lock.

    Raises:
        OutputError: a file cannot be changed.
    """
    changed = []
    for finding in findings:
        path = finding.path
        with reported(path):
            if isinstance(finding.repair, Remove):
                _remove(path)
            elif isinstance(finding.repair, Rewrite):
                if finding.repair.keeps_copy:
                    shutil.copy2(path, _free(run, path))
                _rewrite(path, finding.repair)
            else:
                path.rename(_free(run, path))
        changed.append(path)
    _seal_again(run, changed)


def _remove(path: Path) -> None:
    if not path.is_dir() or path.is_symlink():
        path.unlink(missing_ok=True)
        return
    # Only folders whose names mark them as incomplete: an interrupted removal leaves
    # one that the next repair removes.
    shutil.rmtree(path)


def _rewrite(path: Path, repair: Rewrite) -> None:
    content = path.read_bytes()
    with replacing(path) as temporary:
        kept = b"".join(content[start:stop] for start, stop in repair.spans)
        temporary.write_bytes(kept)


def _free(run: Path, path: Path) -> Path:
    """Returns a free path in the quarantine, and creates its parent."""
    target = run / QUARANTINE / path.relative_to(run)
    target.parent.mkdir(parents=True, exist_ok=True)
    free, number = target, 1
    while os.path.lexists(free):
        free = target.with_name(f"{target.name}.{number}")
        number += 1
    return free


def _seal_again(run: Path, changed: Sequence[Path]) -> None:
    """Updates the sizes and digests in the result after files were changed."""
    file = run / "result.json"
    if not file.exists():
        return
    content = dict(read_document(file).content)
    sealed = content.get("files", {})
    names = {path.relative_to(run).as_posix() for path in changed}
    if names & sealed.keys():
        others = {name: seal for name, seal in sealed.items() if name not in names}
        content["files"] = others | seals(
            run, [run / name for name in sealed if name in names]
        )
        write_text(file, to_json(signed(content)))
