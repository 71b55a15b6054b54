"""`new`: a new project from templates, which loads no JAX."""

import argparse

__all__ = ["new"]


def new(arguments: argparse.Namespace) -> int:
    """Writes a new project and prints its files and the commands to try."""
    import shlex
    from pathlib import Path

    from specflow.scaffold.new_project import write_project

    project = write_project(arguments.path)
    if arguments.report == "json":
        from specflow.diagnostics.rendering import document

        files = [file.as_posix() for file in project.files]
        print(document(0, path=str(project.folder), files=files))
        return 0
    print(f"{project.folder}:")
    for file in project.files:
        print(f"  {file}")
    print("try:")
    if project.folder.resolve() != Path.cwd():
        print(f"  cd {shlex.quote(str(project.folder))}")
    print(f"  specflow train experiment={project.package}")
    print("  python -m pytest")
    return 0
