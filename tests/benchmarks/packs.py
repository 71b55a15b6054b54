"""Several trials in one call: a trial axis by `jax.lax.map` or `jax.vmap`.

For each shipped experiment that fits: the time of four trials that differ in the
learning rate and the seed, with and without a pack, and the largest difference of their
parameters, optimizer states and losses. On CPU the time is that of all cores.
docs/design/packs.md has the table. JAX_NUM_CPU_DEVICES=8 divides them over devices.
"""

import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image
from sklearn.datasets import load_digits, load_wine

from specflow.compose import compose
from specflow.data import build_data
from specflow.estimator import Estimator, declared_specs
from specflow.executor.device_loops import DeviceLoop, read_state
from specflow.executor.pack import Pack
from specflow.executor.packed_program import PackKind
from specflow.executor.train_state import to_tree
from tests.benchmarks.report import Row

_TRIALS, _ROUNDS = 4, 3
_RATE = "optimizer.lr"
_EXPERIMENTS = {
    "breast_cancer": (100, _RATE),
    "breast_cancer_wide_and_deep": (100, "optimizer.parts.deep.optimizer.lr"),
    "diabetes": (100, _RATE),
    "diabetes_counts": (100, _RATE),
    "wine": (100, _RATE),
    "digits_mlp": (100, _RATE),
    "digits": (10, _RATE),
    "digits_vit": (20, _RATE),
    "digits_resnet": (4, _RATE),
    "stdlib_lm": (4, _RATE),
    "table": (100, _RATE),
    "images": (10, _RATE),
}
"""Experiment -> steps of a trial, and the key that differs between trials."""


def run(names: Iterable[str] = _EXPERIMENTS) -> list[Row]:
    """Packs of each experiment against trials one after another."""
    return [row for name in names for row in _rows(name)]


def _rows(name: str) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        trials = _Trials(name, Path(folder))
        packs = {"serial": None, "map": PackKind.MAP, "vmap": PackKind.VMAP}
        runners = {kind: pack and Pack(pack) for kind, pack in packs.items()}
        arrays = {kind: trials.run(pack) for kind, pack in runners.items()}
        times: dict[str, list[float]] = {kind: [] for kind in runners}
        is_cpu = jax.default_backend() == "cpu"
        clock = time.process_time if is_cpu else time.perf_counter
        for _ in range(_ROUNDS):
            for kind, pack in runners.items():
                began = clock()
                trials.run(pack)
                times[kind].append(clock() - began)
    base = 1e3 * statistics.median(times["serial"]) / _TRIALS
    rows = []
    for kind in ("map", "vmap"):
        pairs = zip(times[kind], times["serial"], strict=True)
        ratio = statistics.median(mine / other for mine, other in pairs)
        found, pack = _difference(arrays[kind], arrays["serial"]), runners[kind]
        kind += "" if pack and pack.calls else " (calls of their own)"
        rows.append(Row(f"{name}: {kind}, {found}", "ms", ratio * base, base, "serial"))
    return rows


class _Trials:
    """Trials of an experiment.

    Args:
        name: of the experiment.
        folder: parent of their run directories.
    """

    def __init__(self, name: str, folder: Path):
        self._steps, self._rate = _EXPERIMENTS[name]
        self._name, self._folder, self._count = name, folder, 0
        files = {"table": _table, "images": _images}
        self._files = files[name](folder / "files") if name in files else []
        self._data, self._earlier = build_data(self._config(0).data), None

    def _config(self, number: int) -> Any:
        words = f"experiment={self._name}", "mesh=single", f"seed={number}"
        rate = f"{self._rate}={1e-3 * 1.5**number:.4g}"
        steps = f"loop.train_steps={self._steps}"
        return compose([*words, *self._files, rate, steps]).config

    def _begun(self) -> Iterator[Any]:
        """Yields each trial."""
        for number in range(_TRIALS):
            config = self._config(number)
            self._count += 1
            self._earlier = Estimator.from_config(
                config,
                data=self._data,
                model_dir=self._folder / str(self._count),
                earlier=self._earlier,
            )
            specs = declared_specs(config, self._data)
            yield self._earlier.train_and_evaluate_loops(*specs)

    def run(self, pack: Pack | None) -> list[Any]:
        """Runs them; returns the arrays of each: its state and last losses.

        Args:
            pack: None: one after another.
        """
        if pack is None:
            return [_finished([trial], None)[0] for trial in self._begun()]
        return _finished(self._begun(), pack)


def _table(folder: Path) -> list[str]:
    """Writes scikit-learn's wines; returns the overrides that read them."""
    folder.mkdir()
    wines, kinds = load_wine(return_X_y=True)
    rows = np.column_stack([wines, kinds])
    names = ",".join([*(f"c{number}" for number in range(rows.shape[1] - 1)), "label"])
    np.savetxt(folder / "table.csv", rows, "%g", ",", header=names, comments="")
    return [f"data.files={folder / 'table.csv'}"]


def _images(folder: Path) -> list[str]:
    """Writes scikit-learn's digits as images; returns the overrides that read them."""
    images, labels = load_digits(return_X_y=True)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        (folder / str(label)).mkdir(parents=True, exist_ok=True)
        pixels = Image.fromarray((image.reshape(8, 8) * 15).astype(np.uint8))
        pixels.save(folder / str(label) / f"{number}.png")
    return [f"data.root={folder}"]


def _finished(trials: Iterable[Any], pack: Pack | None) -> list[Any]:
    waiting: dict[int, tuple[Any, DeviceLoop]] = {}
    for number, trial in enumerate(trials):
        waiting[number] = trial, next(trial)
        if pack is not None:
            pack.lowered(waiting[number][1])
    arrays: dict[int, Any] = {}
    while waiting:
        loops = {number: loop for number, (_, loop) in waiting.items()}
        results: dict[int, Any] = (
            {number: loop.run() for number, loop in loops.items()}
            if pack is None
            else pack.run(loops)
        )
        for number, result in results.items():
            if isinstance(result, Exception):
                raise result
            tree = to_tree(read_state(result.state)), np.asarray(result.losses)
            arrays[number] = [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]
            trial, _ = waiting.pop(number)
            try:
                waiting[number] = trial, trial.send(result)
            except StopIteration:
                if pack is not None:
                    pack.release(number)
    return [arrays[number] for number in sorted(arrays)]


def _difference(trials: list[Any], expected: list[Any]) -> str:
    """`bitwise`, or the largest difference relative to the array's largest value."""
    pairs = [
        pair
        for mine, theirs in zip(trials, expected, strict=True)
        for pair in zip(mine, theirs, strict=True)
    ]
    if all(a.tobytes() == b.tobytes() for a, b in pairs):
        return "bitwise"
    largest = max(
        float(np.nanmax(np.abs(a - b)) / max(np.nanmax(np.abs(b)), 1e-30))
        for a, b in pairs
        if b.size and b.dtype.kind == "f"
    )
    return f"differs by {largest:.1g}"
