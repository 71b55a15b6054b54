"""Paths as users write them."""

import os
from pathlib import Path

from specflow.diagnostics.errors import ConfigError, Diagnostic, did_you_mean, nearest

__all__ = [
    "absence_hint",
    "check_output_file",
    "check_output_folder",
    "expanded",
    "is_file",
    "is_folder",
]


def expanded(path: str | os.PathLike[str], where: str = "path") -> Path:
    """Expands `~` and `~user` at the start of a user's path.

    Args:
        path: as the user wrote it; `./~x` is a file of that name.
        where: key or option of the path, for messages.

    Returns:
        The path; expanding it again changes nothing.

    Raises:
        ConfigError: the user or the home folder is unknown.

    >>> expanded("~/runs/x") == Path.home() / "runs/x", str(expanded("runs/~x"))
    (True, 'runs/~x')
    """
    written = os.fspath(path)
    full = os.path.expanduser(written)
    if written.startswith("~") and full == written:
        user = written[1:].partition(os.sep)[0]
        raise ConfigError(
            Diagnostic(
                where,
                f"'{written}': there is no user {user}"
                if user
                else f"'{written}': no home folder is known for this user",
                expected="a path",
                hint=f"A file whose name begins with ~ is written './{written}'."
                if user
                else "Set HOME, or write the whole path.",
                code="home-unknown",
            )
        )
    result = Path(full)
    # Path drops the ./ that distinguishes such a name from a home.
    return result.absolute() if str(result).startswith("~") else result


def is_file(path: Path) -> bool:
    r"""Returns whether a file exists; False for a name that no file can have.

    >>> is_file(Path(__file__)), is_file(Path("x" * 5000)), is_file(Path("\0"))
    (True, False, False)
    """
    try:
        return path.is_file()
    except (OSError, ValueError):  # Too long, or with a null character.
        return False


def is_folder(path: Path) -> bool:
    """Returns whether a folder exists; False for a name that no folder can have."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def absence_hint(path: str | os.PathLike[str]) -> str:
    """Returns a hint for a missing path: a similar name, or the base of the path.

    >>> absence_hint("/nowhere/a.npz // as before")
    'Did you mean /nowhere/a.npz?'
    >>> absence_hint("nowhere/a.npz")
    'Relative paths start from the working directory.'
    >>> absence_hint("/nowhere/a.npz")
    ''
    """
    written = Path(path)
    # A comment of another language, which is text to YAML.
    bare, comment, _ = os.fspath(path).partition(" // ")
    if comment:
        return did_you_mean(bare.rstrip())
    try:  # Stems are compared: a common suffix alone is no similarity.
        stems = [path.stem for path in written.parent.glob(f"*{written.suffix}")]
    except (OSError, ValueError):
        stems = []
    if (near := nearest(written.stem, stems)) is not None:
        return did_you_mean(f"{near}{written.suffix}")
    if written.is_absolute():
        return ""
    return "Relative paths start from the working directory."


def check_output_file(path: str | os.PathLike[str], where: str) -> None:
    """Raises for an output file that is a folder, or whose folder is missing.

    A path with a separator at its end names a folder.

    Args:
        path: as the user wrote it.
        where: key or option of the path, for messages.

    Raises:
        ConfigError: it is a folder, or its folder does not exist.
    """
    file = expanded(path, where)
    names_folder = os.fspath(path).endswith(("/", os.sep))
    # `os.path` reports an unreadable path as absent; writing it raises the reason.
    if names_folder or os.path.isdir(file):
        problem = f"'{path}' is a folder"
    elif os.path.exists(file) or os.path.isdir(
        folder := os.path.dirname(os.path.realpath(file))
    ):
        return
    else:
        folder = os.path.dirname(file) if not file.is_symlink() else folder
        what = "is a file" if os.path.exists(folder) else "does not exist"
        problem = f"'{path}' cannot be written: the folder '{folder}' {what}"
    raise ConfigError(
        Diagnostic(
            where,
            problem,
            expected="a file in an existing folder",
            hint="Create the folder first, or choose another file.",
            origin="command line" if where.startswith("--") else "",
            code="output-path",
        )
    )


def check_output_folder(
    path: str | os.PathLike[str], where: str, code: str = "output-path"
) -> None:
    """Raises for an output folder that is a file, or inside a file.

    Args:
        path: as the user wrote it; it and its parents need not exist.
        where: key or option of the path, for messages.
        code: of the diagnostic.

    Raises:
        ConfigError: it is a file, or inside one.

    >>> check_output_folder("nowhere/deep", "output.dir")
    """
    folder = expanded(path, where)
    paths = (folder, *folder.absolute().parents)
    existing = next(path for path in paths if os.path.exists(path))
    if os.path.isdir(existing):
        return
    inside = "" if existing == folder else f" is inside '{existing}', which"
    raise ConfigError(
        Diagnostic(
            where,
            f"'{path}'{inside} is a file",
            expected="a directory",
            hint=f"Choose another {where}.",
            origin="command line" if where.startswith("--") else "",
            code=code,
        )
    )
