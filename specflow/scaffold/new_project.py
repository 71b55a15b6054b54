"""A new project, written from the templates beside this module."""

import dataclasses
import importlib.machinery
import keyword
import os
import re
import shutil
import string
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from specflow.diagnostics.errors import ConfigError, Diagnostic
from specflow.output.files import reported
from specflow.runtime.filesystem import check_output_folder, expanded

__all__ = ["NewProject", "package_name", "write_project"]

_TEMPLATES = Path(__file__).parent / "templates"
_SUFFIX = "-tpl"
"""End of a template's name, so that no tool takes it for Python or YAML."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_LONGEST = 40
"""Length of a name, in characters; longer ones do not fit the lines of the code."""
_OTHER_FOLDERS = ("conf", "data", "runs", "tests")
"""Folders of a project beside its package."""
_LARGEST_COPY = 64 << 20
"""Bytes up to which a table, or all images, are copied into the project."""
_VALUES = ("false", "inf", "nan", "no", "null", "off", "on", "true", "yes")
"""Words that are no text in YAML or in an override."""


@dataclasses.dataclass(frozen=True, slots=True)
class NewProject:
    """A project that was written."""

    folder: Path
    package: str
    """Name of its package and of its experiment."""
    files: tuple[Path, ...]
    """Files relative to the folder, in the order of their names."""
    notes: tuple[str, ...] = ()
    """What was decided about a table or images."""


def write_project(
    path: str, *, table: str | None = None, labels: str | None = None
) -> NewProject:
    """Writes a new project: a config, a test, and a package or a table.

    Args:
        path: folder of the project, which is missing or empty; its last part is the
            name of the project.
        table: file of rows to train on, with columns whose kinds are inferred, or
            folder with a folder of images for each class; None: the project has a
            package with a model and a data function.
        labels: column of labels of the table; None: the last one.

    Raises:
        ConfigError: the folder is not empty, or the name is unusable; all at once.
        DataError: the table cannot be read, or nothing can be learned from it.
        OutputError: a file cannot be written.
    """
    folder = expanded(path, "NAME")
    name = folder.resolve().name
    diagnostics = [*_name_diagnostics(name), *_folder_diagnostics(folder, path)]
    if diagnostics:
        raise ConfigError(*diagnostics)
    package = package_name(name)
    values = {"name": name, "package": package}
    if table is None:
        return NewProject(folder, package, _write(folder, "code", values))
    if expanded(table, "--from").is_dir():
        files, notes = _with_images(folder, values, table, labels)
    else:
        files, notes = _with_table(folder, values, table, labels)
    return NewProject(folder, package, files, notes)


def _with_table(
    folder: Path, values: dict[str, str], table: str, labels: str | None
) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Writes the project of a table; returns its files and notes."""
    from specflow.data.table.proposed_columns import proposed_table
    from specflow.scaffold.table_experiment import table_values

    proposed = proposed_table(table, labels, key="--from")
    source = expanded(table, "--from")
    size = source.stat().st_size
    shown, copied = _place(source, size)
    values |= table_values(proposed, file=shown, copied=bool(copied))
    files = _write(folder, "table", values)
    if copied:
        with reported(folder / copied, setting="folder"):
            (folder / copied).parent.mkdir(exist_ok=True)
            shutil.copyfile(source, folder / copied)
        files = tuple(sorted((*files, copied)))
    notes = (
        _copy_note(table, shown, size, copied),
        f"{proposed.task} of {proposed.label.name}"
        + ("" if labels else ", the last column; --labels names another"),
        *proposed.notes,
    )
    return files, notes


def _with_images(
    folder: Path, values: dict[str, str], root: str, labels: str | None
) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Writes the project of a folder of classes of images."""
    from specflow.scaffold.images_experiment import images_values, proposed_images

    if labels is not None:
        raise ConfigError(
            Diagnostic(
                "--labels",
                f"is given, and {root} is a folder, whose folders are the classes",
                expected="--labels with a table alone",
                origin="command line",
                code="usage",
            )
        )
    source = expanded(root, "--from")
    proposed = proposed_images(root, source, key="--from")
    images = proposed.folder.images
    size = sum((source / image).stat().st_size for image in images)
    shown, copied = _place(source, size)
    values |= images_values(proposed, root=shown, copied=bool(copied))
    files = _write(folder, "images", values)
    if copied:
        for image in images:
            with reported(folder / copied / image, setting="folder"):
                (folder / copied / image).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source / image, folder / copied / image)
        files = tuple(sorted((*files, copied)))
    notes = (
        _copy_note(root, shown, size, copied),
        f"classification of {len(images):,} images of {len(proposed.classes)} classes, "
        "by their folders",
        *proposed.notes,
    )
    return files, notes


def _place(source: Path, size: int) -> tuple[str, Path | None]:
    """Path of the data as the experiment has it, and that of the copy, if small."""
    if size > _LARGEST_COPY:
        return str(source.resolve()), None
    copied = Path("data", source.resolve().name)
    return copied.as_posix(), copied


def _copy_note(given: str, shown: str, size: int, copied: Path | None) -> str:
    if copied:
        return f"{given} is copied to {shown}; the project reads the copy"
    return (
        f"{given} has {size >> 20:,} MiB and is not copied: the project reads {shown}"
    )


def package_name(name: str) -> str:
    """Returns the name of the package of a project.

    >>> package_name("Wine-Quality")
    'wine_quality'
    """
    return name.replace("-", "_").lower()


def _write(folder: Path, kind: str, values: Mapping[str, str]) -> tuple[Path, ...]:
    """Writes the files of all projects and those of one kind, and returns them."""
    files = []
    for part in (_TEMPLATES / "common", _TEMPLATES / kind):
        for template in sorted(part.rglob(f"*{_SUFFIX}")):
            text = string.Template(template.read_text(encoding="utf-8"))
            file = _file_of(template.relative_to(part), values["package"])
            with reported(folder / file, setting="folder"):
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                (folder / file).write_text(text.substitute(values), encoding="utf-8")
            files.append(file)
    return tuple(sorted(files))


def _file_of(template: Path, package: str) -> Path:
    """The file of a template; `package` in its path is the name of the package."""
    parts = [
        part.replace("package", package).replace("gitignore", ".gitignore")
        for part in (*template.parent.parts, template.name.removesuffix(_SUFFIX))
    ]
    return Path(*parts)


def _name_diagnostics(name: str) -> Iterator[Diagnostic]:
    package, problem, hint = package_name(name), "", ""
    if not _NAME.fullmatch(name):
        problem = "is no name of a Python package"
        usable = re.sub(r"^[^a-z]+|_+$", "", re.sub(r"[^a-z0-9]+", "_", name.lower()))
        hint = f"Try {usable}." if usable and not _taken(usable) else ""
    elif len(name) > _LONGEST:
        problem = f"has {len(name)} characters"
    elif taken := _taken(package):
        problem, hint = f"is the name of {taken}", f"Try my_{package}."
    if problem:
        yield Diagnostic(
            "NAME",
            f"'{name}' {problem}",
            expected="letters, digits, - and _, first a letter; "
            f"at most {_LONGEST} characters",
            hint=hint,
            origin="command line",
            code="project-name",
        )


def _taken(package: str) -> str:
    """What has the name of a package already; empty: nothing."""
    if keyword.iskeyword(package):
        return "a keyword of Python"
    if package in sys.stdlib_module_names:
        return "a module of Python's standard library"
    if package in _VALUES:
        return "a value in YAML"
    if package in _OTHER_FOLDERS:
        return "another folder of the project"
    # The project's folder is searched first, so its package would hide the other one.
    here = ("", os.getcwd())
    places = [place for place in sys.path if place not in here]
    if importlib.machinery.PathFinder.find_spec(package, places) is not None:
        return "an installed package"
    return ""


def _folder_diagnostics(folder: Path, path: str) -> Iterator[Diagnostic]:
    try:
        check_output_folder(path, "NAME", "project-folder")
        entries = sorted(os.listdir(folder)) if folder.is_dir() else []
    except ConfigError as error:
        yield from error.diagnostics
        return
    if entries:
        shown = ", ".join(entries[:3]) + ", ..." * (len(entries) > 3)
        yield Diagnostic(
            "NAME",
            f"'{path}' is not empty ({shown})",
            expected="a new or an empty directory",
            hint="Nothing was written.",
            origin="command line",
            code="project-folder",
        )
