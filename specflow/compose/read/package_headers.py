"""Package headers: the comment that tells Hydra where to merge a file."""

import re
from collections.abc import Collection

from hydra.plugins.config_source import ConfigSource

from specflow.compose.read.config_folders import Folders
from specflow.compose.read.documents import text_of
from specflow.config.experiment import ExperimentConfig
from specflow.diagnostics.errors import Diagnostic

__all__ = ["header_diagnostic", "stray_header"]


def header_diagnostic(config: str, folders: Folders) -> Diagnostic | None:
    """Reports a file that is merged outside every section, or returns None.

    Args:
        config: such as `experiment/mine`.
        folders: config folders.
    """
    group, file = config.rpartition("/")[0], folders.file(config)
    if not group or file is None:
        return None
    shown = folders.shown(file)
    text = text_of(file, shown)
    try:
        header = ConfigSource._get_header_dict(text)["package"]
    except ValueError:
        header = None
    package = (header or "_group_").replace("_group_", group.replace("/", "."))
    if package.split(".")[0] in ("_global_", "hydra", *ExperimentConfig.model_fields):
        return None
    problem = f"is merged into {package}, which is not a section"
    if header is None:
        problem = f"has no package header, so it {problem}"
    lines = text.splitlines()
    late = [place for place, line in enumerate(lines, 1) if "@package" in line]
    hint = ""
    if header is None and late and any(lines[: late[0] - 1]):
        hint = (
            f"Line {late[0]} is ignored: Hydra reads the header from the first lines."
        )
    elif header is None and late:
        hint = f"Line {late[0]} is {lines[late[0] - 1].strip()!r}."
    return Diagnostic(
        shown,
        problem,
        expected='its first line to be "# @package _global_"',
        hint=hint,
        origin=f"{shown}:1:1",
        code="package",
    )


def stray_header(
    config: str, text: str, keys: Collection[object], shown: str
) -> Diagnostic | None:
    """Reports a choice that is merged at the root by mistake, or returns None.

    A choice may set several sections, with a header; one without a key of the root
    belongs into its own section.

    Args:
        config: such as `model/mine`.
        text: of its file.
        keys: of the file's root.
        shown: its name in messages.
    """
    group = config.rpartition("/")[0]
    header = re.search(r"(?m)^\s*#\s*@package\s+_global_\s*$", text)
    if header is None or group not in ExperimentConfig.model_fields:
        return None
    own = {*keys} - {"defaults"}
    if not own or own - {"name"} & {*ExperimentConfig.model_fields}:
        return None
    line = text.count(
        "\n", 0, header.start() + len(header[0]) - len(header[0].lstrip())
    )
    return Diagnostic(
        shown,
        "is merged at the root by its package header, where none of its keys exists",
        hint=f"Remove the package header: a choice of {group} is merged into {group}.",
        origin=f"{shown}:{line + 1}:1",
        code="package",
    )
