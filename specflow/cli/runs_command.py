"""`runs`: lists the runs below a folder; loads no JAX."""

import argparse

from specflow.diagnostics.errors import ConfigError, Diagnostic

__all__ = ["runs"]


def runs(arguments: argparse.Namespace) -> int:
    """Lists the runs below a folder, the newest first."""
    from specflow.reports.run_listing import as_csv, as_table, run_entries
    from specflow.runtime.filesystem import expanded

    folder = expanded(arguments.directory, "DIR")
    entries = run_entries(folder) if folder.is_dir() else []
    if not entries:
        problem = "holds no run" if folder.is_dir() else "is no directory"
        raise ConfigError(
            Diagnostic(
                "DIR",
                f"'{arguments.directory}' {problem}",
                expected="a folder with run directories below it",
                hint="" if arguments.directory == "runs" else "runs is the default.",
                origin="command line",
                code="run-missing",
            )
        )
    format = getattr(arguments, "format", None)
    if arguments.report == "json":
        from specflow.diagnostics.rendering import document
        from specflow.output.json_values import to_plain

        print(document(0, runs=to_plain([entry.to_plain() for entry in entries])))
    elif format == "csv":
        print(as_csv(entries), end="")
    else:
        print(as_table(entries, folder))
    return 0
