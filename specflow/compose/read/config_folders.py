"""Config folders: the user's own, the shipped one, those of plugins."""

import dataclasses
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from specflow.diagnostics.errors import ConfigError, Diagnostic
from specflow.runtime.entry_points import brought_folders
from specflow.runtime.filesystem import expanded, is_file

__all__ = ["Folders", "about_file", "folders", "shipped"]

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_PACKAGE = Path(__file__).resolve().parents[2]


def shipped(package: Path = _PACKAGE) -> Path:
    """Returns the folder of configs that ships with specflow.

    Args:
        package: the installed package; a wheel has `conf/` inside it, a checkout (and
            so an editable install) next to it.

    Raises:
        ConfigError: neither exists: the installation is incomplete.
    """
    for folder in (package / "conf", package.parent / "conf"):
        if (folder / "config.yaml").is_file():
            return folder
    raise ConfigError(
        Diagnostic(
            "conf",
            f"found neither in {package} nor next to it",
            hint="The installation is incomplete; install specflow again.",
            code="installation",
        )
    )


def about_file(file: Path) -> str:
    """Returns the first sentence of the comment at the head of a config, or nothing.

    >>> about_file(shipped() / "mesh/single.yaml")
    'A single device, even if the machine has more: the reference for comparisons.'
    """
    lines: list[str] = []
    for line in file.read_text(encoding="utf-8-sig", errors="replace").splitlines():
        comment = line.removeprefix("#").strip()
        if (line and not line.startswith("#")) or (lines and not comment):
            break
        if comment and not comment.startswith(("@", "yaml-language-server:")):
            lines.append(comment)
    sentence, *_ = _SENTENCE_END.split(" ".join(lines), maxsplit=1)
    return sentence


@dataclasses.dataclass(frozen=True)
class Folders:
    """Folders of configs in the order in which they are searched.

    The folders of installed packages follow: they add choices to existing groups, and
    are searched only for what no other folder has.

    >>> here = folders()
    >>> here.choices("mesh")
    ['data', 'fsdp', 'fsdp_tensor', 'hybrid', 'single', 'tensor']
    >>> here.shown(here.file("mesh/fsdp"))
    'conf/mesh/fsdp.yaml'
    """

    paths: tuple[Path, ...]

    def file(self, config: str) -> Path | None:
        """Returns the file of a config such as `mesh/fsdp`; the first folder wins."""
        for folder in self.paths:
            if is_file(file := folder / f"{config}.yaml"):
                return file
        group, _, _ = config.rpartition("/")
        if not self.is_group(group):
            return None
        candidates = (folder / f"{config}.yaml" for folder in brought_folders())
        files = [file for file in candidates if is_file(file)]
        if len(files) > 1:
            raise ConfigError(_twice(config, files))
        return files[0] if files else None

    def unread(self, config: str) -> Path | None:
        """Returns the file of a config whose suffix is another than `.yaml`."""
        stem = re.sub(r"\.ya?ml$", "", config)
        files = (
            folder / f"{stem}{suffix}"
            for folder in self.paths
            for suffix in (".yml", ".YAML", ".YML")
        )
        # Some file systems do not distinguish capitals.
        return next((file for file in files if is_file(file)), None)

    def misplaced(self, group: str, choice: str) -> str:
        """Says where the file of a choice is, if not in its group's folder."""
        if "/" in choice or choice.endswith(".yaml"):
            return ""
        for folder in self.paths[:-1]:
            if is_file(file := folder / f"{choice}.yaml"):
                if folder.name == group:
                    above = self.shown(folder.parent)
                    return f"Name the folder above: --config-dir {above}."
                return f"Move {self.shown(file)} to {self.shown(folder)}/{group}/."
            for near in (f"{group}s", f"{group}_config", group.capitalize()):
                if near != group and is_file(folder / near / f"{choice}.yaml"):
                    shown = self.shown(folder)
                    return f"Rename the folder {shown}/{near} to {shown}/{group}."
        return ""

    def is_group(self, name: str) -> bool:
        """Returns whether a name is a config group (a folder of choices): `mesh`."""
        return bool(name) and any(
            _has(folder, f"{name}/{files}")
            for folder in self.paths
            for files in ("*.yaml", "*/*.yaml")
        )

    def files(self) -> Iterator[Path]:
        """Yields every config of every folder."""
        for folder in (*self.paths, *brought_folders()):
            yield from sorted(folder.rglob("*.yaml"))

    def groups(self) -> list[str]:
        """Returns every config group, sorted."""
        files = (path for folder in self.paths for path in folder.glob("*/*.yaml"))
        return sorted({path.parent.name for path in files})

    def choices(self, group: str) -> list[str]:
        """Returns the choices of a group, sorted."""
        if not self.is_group(group):
            return []
        brought = brought_folders()
        files = (
            path
            for folder in (*self.paths, *brought)
            for path in folder.glob(f"{group}/*.yaml")
        )
        return sorted({path.stem for path in files})

    def shown(self, file: Path) -> str:
        """Returns the name of a file in messages.

        It is relative to `conf/`, to the current directory, or to a plugin's package.
        """
        ours = self.paths[-1]
        if file.is_relative_to(ours):
            return str(Path("conf") / file.relative_to(ours))
        here = Path.cwd()
        if file.is_relative_to(here):
            return str(file.relative_to(here))
        if any(file.is_relative_to(folder) for folder in self.paths):
            return str(file)
        for folder, root in brought_folders().items():
            if file.is_relative_to(folder):
                return str(file.relative_to(root))
        return str(file)


def folders(own: Sequence[str | Path] = ()) -> Folders:
    """Returns the user's own folders, in order, followed by the shipped one.

    Raises:
        ConfigError: a folder does not exist.
    """
    paths = [expanded(folder, "--config-dir").absolute() for folder in own]
    missing = [
        given for given, path in zip(own, paths, strict=True) if not path.is_dir()
    ]
    if missing:
        raise ConfigError(
            *(
                Diagnostic(
                    "--config-dir",
                    f"no such folder: {folder}",
                    expected="a folder of configs, with experiment/mine.yaml in it",
                    origin="command line",
                    code="missing-file",
                )
                for folder in missing
            )
        )
    return Folders((*paths, shipped()))


def _has(folder: Path, pattern: str) -> bool:
    """Returns whether a folder has such a file; False for names that none can have."""
    try:
        return any(folder.glob(pattern))
    except (OSError, ValueError, NotImplementedError, RecursionError):
        return False


def _twice(config: str, files: Sequence[Path]) -> Diagnostic:
    return Diagnostic(
        config,
        f"is provided by several packages: {' and '.join(map(str, files))}",
        expected="one package per config",
        hint="Uninstall one of them, or add your own file in --config-dir.",
        code="plugin-twice",
    )
