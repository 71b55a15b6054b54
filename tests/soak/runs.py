"""Run directories: what a reference holds, and what must hold of every other one."""

import dataclasses
import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import jax.export

from specflow.diagnostics.errors import SpecflowError
from specflow.output import Checkpointer
from tests.soak.experiments import INTERVAL, Experiment
from tests.soak.processes import Ended, Workplace

__all__ = [
    "KINDS",
    "Reference",
    "content_of",
    "contents",
    "files_of",
    "newest_step",
    "problems_of_checkpoints",
    "steps_lost",
]

KINDS = ("checkpoints", "params")
"""Folders of a run with checkpoints: of the whole state, of the parameters alone."""

_LOCATION = re.compile(r"^#loc.*\n|#loc\d*", re.MULTILINE)
_NAMED_BY_DIGEST = re.compile(r"\.[0-9a-f]{8}\.jax_export\b")


def contents(directory: Path, step: int) -> dict[str, str]:
    """SHA-256 of each array of a checkpoint, computed here, and the data position.

    An evaluation that a signal interrupts is recorded in the position, and finished by
    the run that resumes: its rows are compared instead.

    Raises:
        CheckpointError: the checkpoint is damaged.
    """
    with Checkpointer(directory / "checkpoints") as checkpointer:
        arrays = checkpointer.arrays(step)
        saved = checkpointer.saved(step)
        position = {**checkpointer.data_position(step)}
    position.pop("evaluation", None)
    assert saved.keys() == arrays.keys()
    digests = {
        name: f"{a.dtype} {a.shape} {hashlib.sha256(a.tobytes()).hexdigest()}"
        for name, a in arrays.items()
    }
    return {**digests, "data position": json.dumps(position, sort_keys=True)}


@dataclasses.dataclass(frozen=True)
class Reference:
    """What an uninterrupted run of an experiment has written."""

    experiment: Experiment
    directory: Path
    steps: dict[int, dict[str, str]]
    """Step -> contents of its checkpoint; every one is kept."""
    rows: dict[str, list[dict[str, Any]]]
    """File of metrics -> its rows."""
    result: dict[str, Any]
    exports: dict[str, dict[str, set[str]]]
    """Exporter -> path of a file, below the step of its export -> its contents."""
    seconds: float
    """Duration of a run whose programs are in the compile cache."""

    @classmethod
    def of(
        cls, experiment: Experiment, workplace: Workplace, *, is_timed: bool = True
    ) -> "Reference":
        """Runs an experiment, before that once more to fill the compile cache.

        Args:
            is_timed: False: only once, since its duration does not matter.
        """
        directory = workplace.folder / f"{experiment.name}-reference"
        if is_timed:
            _trained(experiment, workplace, directory)
        seconds = _trained(experiment, workplace, directory)
        listed = _listed(directory)
        return cls(
            experiment,
            directory,
            {step: contents(directory, step) for step in listed},
            _rows(directory),
            _result(directory),
            _exports(directory),
            seconds,
        )

    @property
    def last(self) -> int:
        """The last step."""
        return max(self.steps)

    def problems(self, directory: Path) -> list[str]:
        """Differences of a finished run from this one."""
        found = problems_of_checkpoints(directory, self)
        listed = _listed(directory)
        if self.last not in listed:
            found.append(f"{directory}: no checkpoint of step {self.last}: {listed}")
        if len(listed) > 4:  # Three newest, and the best one.
            found.append(f"{directory}: more checkpoints than are kept: {listed}")
        for name, rows in _rows(directory).items():
            if rows != self.rows[name]:
                found.append(f"{directory}: the rows of {name} differ")
        if _rows(directory).keys() != self.rows.keys():
            found.append(f"{directory}: a file of metrics is missing")
        if _result(directory) != self.result:
            found.append(f"{directory}: the result differs")
        found += [f"{directory}: {what}" for what in self._export_problems(directory)]
        for leftover in _leftovers(directory):
            found.append(f"{directory}: left behind: {leftover}")
        return found

    def _export_problems(self, directory: Path) -> list[str]:
        exports = _exports(directory)
        if exports.keys() != self.exports.keys():
            return [f"exporters are {[*exports]}, not {[*self.exports]}"]
        return [
            f"{path} of the exporter {name} differs"
            for name, files in exports.items()
            for path in sorted(files.keys() | self.exports[name].keys())
            if files.get(path) != self.exports[name].get(path)
        ]


def _trained(experiment: Experiment, workplace: Workplace, directory: Path) -> float:
    """Trains anew without an interruption, and returns the duration in seconds."""
    shutil.rmtree(directory, ignore_errors=True)
    ended = workplace.run(experiment.program(directory, keep=0))
    if ended.status or ended.hung:
        raise RuntimeError(f"{experiment.name} fails: {ended.err}")
    return ended.seconds


def problems_of_checkpoints(directory: Path, reference: Reference) -> list[str]:
    """Differences of each listed checkpoint from that of its step in a reference."""
    return [
        problem
        for step in _listed(directory)
        for problem in problems_of_step(directory, step, reference)
    ]


def problems_of_step(directory: Path, step: int, reference: Reference) -> list[str]:
    """Differences of one checkpoint; one of a step of its own must be readable."""
    try:
        found = contents(directory, step)
    except SpecflowError as error:
        return [f"{directory}: step {step} is listed and does not restore: {error}"]
    expected = reference.steps.get(step, found)
    return [
        f"{directory}: {name} of step {step} differs"
        for name in sorted(found.keys() | expected.keys())
        if found.get(name) != expected.get(name)
    ]


def last_step(directory: Path, ended: Ended) -> int:
    """The last step that a log names."""
    seen = [0, *map(int, re.findall(r"^step (\d+)/", ended.err, re.MULTILINE))]
    for rows in _rows(directory).values():
        seen += [row["step"] for row in rows]
    return max(seen)


def steps_lost(directory: Path, ended: Ended) -> tuple[int, list[str]]:
    """Steps of the log after the newest checkpoint, and problems with their number.

    A save is written while training continues, and the next one waits for it: with
    steps as short as these, a kill loses up to two intervals; otherwise one, and what
    is trained during a save.
    """
    newest = newest_step(directory)
    lost = max(0, last_step(directory, ended) - newest)
    problem = f"{directory}: {lost} steps after the newest checkpoint, {newest}"
    return lost, [problem] if lost > 2 * INTERVAL else []


def newest_step(directory: Path) -> int:
    """The step of the newest checkpoint of a run; 0 if there is none."""
    return max(_listed(directory), default=0)


def files_of(directory: Path) -> list[Path]:
    """All files of a checkpoint."""
    return sorted(path for path in directory.rglob("*") if path.is_file())


def _listed(directory: Path) -> list[int]:
    with Checkpointer(directory / "checkpoints") as checkpointer:
        return checkpointer.steps()


def _rows(directory: Path) -> dict[str, list[dict[str, Any]]]:
    """Rows by file; a line that was being written when its process died is skipped."""
    files = {}
    for path in [*directory.glob("metrics.jsonl"), *directory.glob("*/metrics.jsonl")]:
        rows = files[str(path.relative_to(directory))] = []
        for line in path.read_text().splitlines():
            try:
                rows.append(json.loads(line))
            except ValueError:
                continue
    seen = directory / "seen.txt"
    if seen.exists():
        # The user's own log, to which every process appends: its steps, once each.
        steps = {int(line) for line in seen.read_text().split()}
        files["seen.txt"] = [{"step": step} for step in sorted(steps)]
    return files


def _result(directory: Path) -> dict[str, Any]:
    path = directory / "result.json"
    if not path.exists():
        return {}
    result = json.loads(path.read_text())
    return {key: result[key] for key in ("step", "eval")}


def _exports(directory: Path) -> dict[str, dict[str, set[str]]]:
    """Contents of exported files by exporter and path.

    In a path, the step of an export replaces its name, the second of its creation. A
    run that was killed between an export and the next checkpoint exports the same step
    again; these have to be equal.
    """
    exports: dict[str, dict[str, set[str]]] = {}
    for exporter in sorted(directory.glob("export/*")):
        digests = exports[exporter.name] = {}
        for path in files_of(exporter):
            name, *inner = path.relative_to(exporter).parts
            if name.isdigit():
                manifest = json.loads((exporter / name / "export.json").read_text())
                name = f"step {manifest['step']}"
            shown = _NAMED_BY_DIGEST.sub(".jax_export", "/".join([name, *inner]))
            digests.setdefault(shown, set()).add(content_of(path))
    return exports


def content_of(path: Path) -> str:
    """SHA-256 of an exported file, as far as its contents decide what is served.

    A program has the source lines from which it was traced, and these are others when
    a run resumes after its last step. Its name and its manifest have their digest.
    """
    content = path.read_bytes()
    if path.suffix == ".jax_export":
        program = jax.export.deserialize(bytearray(content))
        content = repr((program.in_avals, program.out_avals)).encode()
        content += _LOCATION.sub("", program.mlir_module()).encode()
    elif path.name == "export.json":
        manifest = json.loads(content)
        del manifest["digest"]
        for name in [*manifest["sha256"]]:
            if _NAMED_BY_DIGEST.search(name):
                del manifest["sha256"][name]
        text = json.dumps(manifest, sort_keys=True)
        content = _NAMED_BY_DIGEST.sub(".jax_export", text).encode()
    return hashlib.sha256(content).hexdigest()


def _leftovers(directory: Path) -> list[str]:
    """Names beside the checkpoints that a finished run must not have."""
    return [
        path.name
        for path in (directory / "checkpoints").iterdir()
        if not path.name.isdigit() and path.name != "superseded"
    ]
