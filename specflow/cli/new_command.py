"""`new`: a new project from templates, which loads no JAX."""

import argparse

from specflow.cli.command import usage
from specflow.diagnostics.errors import ConfigError

__all__ = ["new"]


def new(arguments: argparse.Namespace) -> int:
    """Writes a new project and prints its files and the commands to try."""
    import shlex
    from pathlib import Path

    from specflow.scaffold.new_project import write_project

    if arguments.labels is not None and arguments.table is None:
        problem = "is given without --from, whose file has the column"
        raise ConfigError(usage("--labels", problem))
    project = write_project(
        arguments.path, table=arguments.table, labels=arguments.labels
    )
    if arguments.report == "json":
        from specflow.diagnostics.rendering import document

        files = [file.as_posix() for file in project.files]
        notes = list(project.notes)
        print(document(0, path=str(project.folder), files=files, notes=notes))
        return 0
    print(f"{project.folder}:")
    for file in project.files:
        print(f"  {file}")
    for note in project.notes:
        print(note)
    print("try:")
    if project.folder.resolve() != Path.cwd():
        print(f"  cd {shlex.quote(str(project.folder))}")
    print(f"  specflow train experiment={project.package}")
    print("  pip install pytest")
    print("  python -m pytest")
    return 0
