"""Whether the installed entry points are those of pyproject.toml."""

import importlib.metadata
import tomllib
from collections.abc import Iterable
from pathlib import Path

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def outdated(
    installed: Iterable[importlib.metadata.EntryPoint] | None = None,
) -> str | None:
    """Returns why kinds of plugins would be missing in what is generated.

    An editable installation keeps the entry points of the day it was made.

    Args:
        installed: entry points of the installed distribution; None: looks them up.
    """
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    if installed is None:
        distribution = importlib.metadata.distribution(project["name"])
        installed = distribution.entry_points
    declared = {
        (group, name, value)
        for group, values in project["entry-points"].items()
        for name, value in values.items()
    }
    known = {(one.group, one.name, one.value) for one in installed}
    known = {one for one in known if one[0] in project["entry-points"]}
    if declared == known:
        return None
    names = ", ".join(sorted({f"{one[0]}: {one[1]}" for one in declared ^ known}))
    return (
        "error: the installed specflow has other entry points than pyproject.toml "
        f"({names}), and kinds would be missing. Run pip install -e . first."
    )
