"""`fsck`: verification and repair of run directories, which loads no JAX."""

import argparse
import os
from typing import TYPE_CHECKING

from specflow.cli.command import usage
from specflow.diagnostics.errors import ConfigError, Diagnostic

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["fsck"]

_DAMAGED = 1


def fsck(arguments: argparse.Namespace) -> int:
    """Verifies a run, or every run of a sweep; the status is 1 where one is damaged."""
    folder = _folder(arguments)
    from specflow.fsck import check_report, repairs
    from specflow.fsck.run_checks import check_run, check_tables
    from specflow.output.report.progress import Progress
    from specflow.output.run.runs_below import runs_below

    runs = runs_below(folder)
    if not runs:
        problem = "holds no run" if folder.is_dir() else "is no directory"
        raise ConfigError(
            Diagnostic(
                "run",
                f"'{folder}' {problem}",
                expected="a run directory, a model_dir, or a folder with some below it",
                origin=f"override run={folder}",
                code="run-missing",
            )
        )
    repairing = arguments.repair and not arguments.dry_run
    progress = Progress(None, unit="object", is_transient=True)
    every = [] if runs == [folder] else [*check_tables(folder)]
    objects = check_report.as_plain(folder, folder, every)
    actions: list[str] = []
    try:
        for run in runs:
            with repairs.locked(run, when=repairing):
                findings = []
                for finding in check_run(run):
                    findings.append(finding)
                    progress.update(len(every) + len(findings))
                every += findings
                objects += check_report.as_plain(folder, run, findings)
                todo = [each for each in findings if each.repair is not None]
                prefix = "" if run == folder else f"{run.relative_to(folder)}: "
                actions += [prefix + repairs.action_text(run, each) for each in todo]
                if repairing:
                    repairs.repair_run(run, todo)
    finally:
        progress.close()
    damaged = check_report.is_damaged(every, repaired=repairing)
    status = _DAMAGED if damaged else 0
    if arguments.report == "json":
        from specflow.diagnostics.rendering import document

        counts = check_report.counts(every)
        facts = {"objects": objects, "summary": counts, "repaired": repairing}
        print(document(status, run=str(folder), **facts))
        return status
    print(check_report.as_text(folder, every))
    print(f"\n{check_report.summary(every)}")
    if actions and not arguments.repair:
        print(f"specflow fsck run={folder} --repair would:")
    elif actions:
        print("repaired:" if repairing else "--repair would:")
    for action in actions:
        print(f"  {action}")
    return status


def _folder(arguments: argparse.Namespace) -> "Path":
    """The folder of `run=DIR`, which must be given, and nothing else.

    Raises:
        ConfigError: it is missing, or something else is given.
    """
    from specflow.runtime.filesystem import expanded

    words = [word for word in arguments.overrides if not word.startswith("trust=")]
    folders = [word.removeprefix("run=") for word in words if word.startswith("run=")]
    others = [word for word in words if not word.startswith("run=")]
    diagnostics = []
    if len(folders) != 1:
        bare = (word for word in others if os.path.isdir(word))
        diagnostics.append(
            Diagnostic(
                "run",
                "is missing" if not folders else "is given more than once",
                expected="run=DIR, a run directory or a folder of runs",
                hint=next((f"Did you mean run={word}?" for word in bare), ""),
                origin="command line",
                code="missing",
            )
        )
    elif others:
        diagnostics.append(usage(others[0], "is no argument of fsck", "run=DIR alone"))
    if arguments.dry_run and not arguments.repair:
        diagnostics.append(usage("--dry-run", "is given without --repair"))
    if diagnostics:
        raise ConfigError(*diagnostics)
    return expanded(folders[0].strip("'\""), "run")
