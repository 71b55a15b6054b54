"""Runs notebooks, each in a fresh kernel and an empty folder, as their readers would.

`python -m tests.docs.notebooks [NAME ...]` runs those whose names contain a NAME, or
all of them, and stores their outputs in the form of `tidy`.
"""

import asyncio
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

__all__ = ["NOTEBOOKS", "execute", "tidy"]

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PROGRESS = re.compile(r"^(step|evaluat\w+|predict\w+|batch|row)\w* [\d,]+.*\n?", re.M)
"""Lines of progress on standard error: they depend on the speed of the machine."""
METADATA = {
    "kernelspec": {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    },
    "language_info": {"name": "python"},
}
"""Metadata of every notebook, independent of who ran it."""


def execute(
    path: Path,
    folder: Path,
    *,
    timeout_s: int = 300,
) -> Any:
    """Returns the notebook with the outputs of a fresh run.

    Args:
        path: the notebook; the file is not touched.
        folder: an empty folder; the notebook runs in `folder/reader`.
        timeout_s: limit of each cell, in seconds.

    Raises:
        CellExecutionError: a cell raises.
    """
    cwd, tools = folder / "reader", folder / "tools"
    cwd.mkdir()
    tools.mkdir()
    # `specflow` on the command line is this checkout's, installed or not.
    command = tools / "specflow"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m specflow "$@"\n')
    command.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(tools), os.environ.get("PATH", "")]),
        "PYTHONPATH": str(ROOT),
        "JAX_PLATFORMS": "cpu",
        "IPYTHONDIR": str(folder / "ipython"),
    }
    environment.pop("MPLBACKEND", None)  # The kernel draws into the notebook.
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=timeout_s,
        resources={"metadata": {"path": str(cwd)}},
        # Kernels warn about TCP on a loopback, which is private here.
        extra_arguments=["--log-level=ERROR"],
    )
    asyncio.run(client.async_execute(env=environment))
    return tidy(notebook)


def tidy(notebook: Any) -> Any:
    """Removes outputs that differ from run to run or are of no use to a reader."""
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({})
        if "outputs" in cell:
            cell.outputs = _joined(cell.outputs)
        for output in cell.get("outputs", ()):
            if "metadata" in output:
                output.metadata = nbformat.from_dict({})
            # `<Figure size 640x480 with 1 Axes>` adds nothing to the picture.
            if "image/png" in output.get("data", {}):
                output.data.pop("text/plain", None)
    return notebook


def _joined(outputs: list[Any]) -> list[Any]:
    """Joins the pieces of each stream, which depend on time, and drops progress."""
    joined: list[Any] = []
    for output in outputs:
        if joined and "name" in output and joined[-1].get("name") == output.name:
            joined[-1].text += output.text
        else:
            joined.append(output)
    for output in joined:
        if output.get("name") == "stderr":
            output.text = PROGRESS.sub("", output.text)
    return [output for output in joined if output.get("text", "output")]


def main(names: list[str]) -> None:
    """Runs notebooks and stores their outputs."""
    for path in NOTEBOOKS:
        if names and not any(name in path.name for name in names):
            continue
        with tempfile.TemporaryDirectory() as folder:
            notebook = execute(path, Path(folder))
        nbformat.validate(notebook)
        nbformat.write(notebook, path)
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main(sys.argv[1:])
