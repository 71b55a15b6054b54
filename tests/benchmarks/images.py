"""Images: decoding and augmentation against Pillow and NumPy by hand, and Grain.

Wall and CPU time an image, of the same JPEG files in one process, one after the other
in each round, and medians of the ratios. By hand is a loop over the files of a batch,
in one thread; Grain's pipeline of examples has its own threads, and is left out where
it is not installed.
"""

import importlib
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from specflow.config.sections.images import ImagesConfig
from specflow.data import build_data
from specflow.data.plan import BatchPlan
from tests.benchmarks.report import Row

__all__ = ["run"]

_SIZE, _BATCH = 96, 64
_STORED = (320, 240)
"""Width and height of the files, in pixels."""
Pipeline = Callable[[], Iterator[Any]]


def run(rounds: int = 5, images: int = 512) -> list[Row]:
    """Time an image, with scaled crops and flips, and of whole images in memory."""
    with tempfile.TemporaryDirectory() as folder:
        files = _write(Path(folder), images)
        crops = {"scaled_crop": {}, "flip": "horizontal"}
        pipelines: dict[str, Pipeline] = {
            "crops": _ours(folder, {"augment": crops}),
            "by hand": lambda: _by_hand(files),
            "held": _ours(folder, {"augment": {"flip": "horizontal"}}),
            "held by hand": _held_by_hand(files),
        }
        if find_spec("grain"):
            pipelines["grain"] = lambda: _grain(files)
        else:
            print("images: Grain is not installed, and is left out", file=sys.stderr)
        for pipeline in pipelines.values():
            _seconds(pipeline, images)
        measured = [
            {name: _seconds(each, images) for name, each in pipelines.items()}
            for _ in range(rounds)
        ]
    pairs = [
        ("decode, scaled crop, flip", "crops", "by hand", 1.0),
        ("images in memory, flip", "held", "held by hand", 1.5),
    ]
    pairs += [("decode, scaled crop, flip", "crops", "grain", 1.0)] * bool(
        find_spec("grain")
    )
    return [_row(*pair, measured, kind) for pair in pairs for kind in (0, 1)]


def _row(
    name: str,
    ours: str,
    theirs: str,
    goal: float,
    measured: list[dict[str, tuple[float, float]]],
    kind: int,
) -> Row:
    ratio = statistics.median(
        each[ours][kind] / each[theirs][kind] for each in measured
    )
    base = statistics.median(each[theirs][kind] for each in measured)
    unit = ("us an image", "us of CPU")[kind]
    return Row(name, unit, ratio * base, base, theirs, goal if kind == 0 else None)


def _seconds(pipeline: Pipeline, images: int) -> tuple[float, float]:
    """Wall and CPU time an image, in microseconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    rows = sum(len(batch) for batch in pipeline())
    assert rows >= images // 2
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return wall / rows * 1e6, cpu / rows * 1e6


def _write(folder: Path, images: int) -> list[Path]:
    """Photos in two classes: noise that is as smooth as photos are."""
    rng = np.random.default_rng(0)
    files = []
    for number in range(images):
        small = rng.integers(0, 256, (15, 20, 3), np.uint8)
        photo = Image.fromarray(small).resize(_STORED, Image.Resampling.BICUBIC)
        file = folder / "ab"[number % 2] / f"{number:05}.jpg"
        file.parent.mkdir(exist_ok=True)
        photo.save(file, quality=90)
        files.append(file)
    return files


def _ours(folder: str, settings: dict[str, Any]) -> Pipeline:
    config = {"root": folder, "size": _SIZE, "split": {"eval": 0.1}, **settings}
    data = build_data(ImagesConfig.model_validate(config))
    plan = BatchPlan(data.train, _BATCH, seed=0)

    def batches() -> Iterator[Any]:
        for step in range(len(data.train) // _BATCH):
            features, _ = plan.rows(step, 1)
            yield features["image"][0]

    return batches


def _example(content: bytes, rng: np.random.Generator) -> np.ndarray:
    """A scaled crop and a flip, as one writes them."""
    image = Image.open(io.BytesIO(content))
    width, height = wide, high = image.size
    for _ in range(10):
        area = rng.uniform(0.08, 1.0) * width * height
        aspect = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
        wide, high = round((area * aspect) ** 0.5), round((area / aspect) ** 0.5)
        if wide <= width and high <= height:
            break
    left, top = (int(rng.integers(n + 1)) for n in (width - wide, height - high))
    image = image.convert("RGB").crop((left, top, left + wide, top + high))
    pixels = np.asarray(image.resize((_SIZE, _SIZE), Image.Resampling.BILINEAR))
    pixels = pixels[:, ::-1] if rng.random() < 0.5 else pixels
    return pixels.astype(np.float32) / 255


def _by_hand(files: list[Path]) -> Iterator[Any]:
    rng = np.random.default_rng(0)
    order = rng.permutation(len(files))
    for first in range(0, len(files) - _BATCH + 1, _BATCH):
        rows = order[first : first + _BATCH]
        yield np.stack([_example(files[row].read_bytes(), rng) for row in rows])


def _held_by_hand(files: list[Path]) -> Pipeline:
    pixels = np.stack(
        [
            np.asarray(Image.open(file).convert("RGB").resize((_SIZE, _SIZE)))
            for file in files
        ]
    )

    def batches() -> Iterator[Any]:
        rng = np.random.default_rng(0)
        order = rng.permutation(len(pixels))
        for first in range(0, len(files) - _BATCH + 1, _BATCH):
            batch = pixels[order[first : first + _BATCH]]
            flipped = rng.random(len(batch)) < 0.5
            batch[flipped] = batch[flipped, :, ::-1]
            yield batch.astype(np.float32) / 255

    return batches


def _grain(files: list[Path]) -> Iterator[Any]:
    grain: Any = importlib.import_module("grain")
    data = grain.MapDataset.source([str(file) for file in files]).seed(0).shuffle()
    data = data.random_map(lambda file, rng: _example(Path(file).read_bytes(), rng))
    yield from data.batch(_BATCH, drop_remainder=True).to_iter_dataset()
