"""Tables read in blocks, against pyarrow's reading in order and other pipelines.

CPU seconds of one process in turn over the same Parquet file of 20 columns of numbers,
and medians of the ratios of each round. Grain's pipeline of examples and the DataLoader
of PyTorch get a hundredth of the rows, in memory. PyTorch is left out where it is not
installed.
"""

import importlib
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.report import Row

_ROOT = Path(__file__).resolve().parents[2]
_COLUMNS = 20
_GROUP = 100_000
_MEMORY_MIB = 256


def run(rounds: int = 3, rows: int = 2_000_000) -> list[Row]:
    """Rows per CPU second, first passes and peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "numbers.parquet")
        _write(path, rows)
        partners = ["grain"] + ["torch"] * bool(importlib.util.find_spec("torch"))
        if "torch" not in partners:
            print("data: PyTorch is not installed, and is left out", file=sys.stderr)
        measured = []
        for index in range(rounds):
            kinds = ["arrow", "specflow", *partners]
            order = kinds if index % 2 else kinds[::-1]
            measured.append({kind: _script(folder, kind, path) for kind in order})

    def row(what: str, ours: str, theirs: str, goal: float) -> Row:
        ratios = [each["specflow"][ours] / each[theirs]["seconds"] for each in measured]
        base = statistics.median(each[theirs]["seconds"] for each in measured)
        ratio = statistics.median(ratios)
        unit = "us CPU a row"
        return Row(what, unit, ratio * base * 1e6, base * 1e6, theirs, goal)

    peak = max(each["specflow"]["peak"] for each in measured)
    bound = _MEMORY_MIB + 300
    return [
        row("an epoch shuffled by blocks", "seconds", "arrow", 1.25),
        row("the first pass: fit and check", "first", "arrow", 1.25),
        *(row("an epoch, by examples", "seconds", kind, 0.2) for kind in partners),
        Row("peak memory", "MiB", peak, bound, "bound + 300 MiB", 1.0),
    ]


def _write(path: str, rows: int) -> None:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(0)
    names = [f"n{column}" for column in range(_COLUMNS)]
    schema = pa.schema([*((name, pa.float64()) for name in names), ("y", pa.int64())])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, _GROUP):
            size = min(_GROUP, rows - start)
            numbers = [rng.normal(size=size) for _ in names]
            columns = [*numbers, rng.integers(0, 2, size)]
            writer.write_table(pa.table(columns, schema=schema), row_group_size=_GROUP)


def _script(folder: str, kind: str, path: str) -> dict[str, float]:
    """Seconds of CPU a row of one process, and its peak memory in MiB."""
    with tempfile.TemporaryDirectory(dir=folder) as cache:
        ended = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.data", kind, path],
            env={**os.environ, "XDG_CACHE_HOME": cache},
            cwd=_ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    pairs = (word.split("=") for word in ended.stdout.split())
    return {name: float(number) for name, number in pairs}


def _measure(kind: str, path: str) -> dict[str, float]:
    import resource
    import time

    import grain
    import numpy as np
    import pyarrow.parquet as pq

    clock = time.process_time
    file = pq.ParquetFile(path)
    rows = file.metadata.num_rows
    if kind == "arrow":
        start = clock()
        for _ in file.iter_batches(1 << 16):
            pass
        return {"seconds": (clock() - start) / rows}
    if kind in ("grain", "torch"):
        table = np.stack(
            [column.to_numpy() for column in file.read_row_group(0)], axis=1
        )
        few = range(rows // 100)
        if kind == "grain":
            data = grain.MapDataset.source(few).shuffle(seed=0)
            batches = data.map(lambda row: table[row % len(table)]).batch(1_000)
        else:
            loader = importlib.import_module("torch.utils.data").DataLoader

            examples = [table[row % len(table)] for row in few]
            batches = loader(examples, 1_000, shuffle=True)
        start = clock()
        for _ in batches:
            pass
        return {"seconds": (clock() - start) / len(few)}
    from specflow.config.sections.table import TableConfig
    from specflow.data import as_train_batches, build_data

    config = TableConfig(
        files=[path],
        labels=["y"],
        memory=f"{_MEMORY_MIB}MiB",
        shuffle="blocks",
        split={"eval": 0.01},
    )
    start = clock()
    data = build_data(config)
    first = (clock() - start) / rows
    batches = as_train_batches(data.train, batch_size=1_000, steps_per_chunk=50)
    np.asarray(next(batches).labels)
    start, steps = clock(), 0
    while steps < rows // 1_000:
        steps += next(batches).steps
    seconds = (clock() - start) / (steps * 1_000)
    batches.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "first": first, "peak": peak}


if __name__ == "__main__":
    results = _measure(*sys.argv[1:])
    print(" ".join(f"{name}={number}" for name, number in results.items()))
