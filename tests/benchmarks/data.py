"""Tables against pyarrow's reading in order, other pipelines, and arrays on the device.

CPU seconds of one process in turn over the same files, and medians of the ratios of
each round. First passes are compared with pyarrow's first in a new process, an epoch
with its second, when memory is there for both. Grain's pipeline of examples and the
DataLoader of PyTorch get a hundredth of the rows, in memory. PyTorch is left out where
it is not installed. `data_large` has a table of 10,000,000 rows.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from tests.benchmarks.report import Row

__all__ = ["MEMORY_MIB", "in_process", "measured", "ratio", "run", "write_numbers"]

_ROOT = Path(__file__).resolve().parents[2]
_SCRIPT = Path(__file__).parent / "data_scripts" / "one_process.py"
_COLUMNS = 20
_GROUP = 100_000
MEMORY_MIB = 256
Round = dict[str, dict[str, float]]


def run(rounds: int = 3, rows: int = 2_000_000, small: int = 200_000) -> list[Row]:
    """CPU time a row, of first passes, epochs and training; and peak memory."""
    partners = ["grain"] + ["torch"] * bool(find_spec("torch"))
    if "torch" not in partners:
        print("data: PyTorch is not installed, and is left out", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "numbers.parquet")
        write_numbers(path, rows)
        kinds = ["arrow", "blocks", *partners]
        streamed = measured(folder, kinds, path, rounds)
        files = _write_mixed(folder, small)
        whole = [measured(folder, ["arrow", "whole"], file, rounds) for file in files]
        trained = measured(folder, ["device", "table"], str(rows // 2), rounds)
    peak = max(each["blocks"]["peak"] for each in streamed)
    return [
        ratio("an epoch shuffled by blocks", streamed, "blocks", "arrow", 1.25),
        ratio("first pass, by blocks", streamed, "blocks", "arrow", 1.25, "first"),
        *(
            ratio("an epoch, by examples", streamed, "blocks", kind, 0.2)
            for kind in partners
        ),
        Row("peak memory", "MiB", peak, MEMORY_MIB + 300, "bound + 300 MiB", 1.0),
        *(
            ratio(f"first pass, {file[-7:]} in memory", each, "whole", "arrow", 1.25)
            for file, each in zip(files, whole, strict=True)
        ),
        ratio("training from a table in memory", trained, "table", "device", 1.05),
    ]


def ratio(
    what: str,
    rounds: Sequence[Round],
    ours: str,
    theirs: str,
    goal: float | None,
    key: str = "seconds",
) -> Row:
    """The median of the ratios of all rounds.

    Args:
        what: is measured.
        rounds: of `measured`.
        ours: one of the kinds.
        theirs: the other.
        goal: largest ratio that is good enough.
        key: the number that is compared.
    """
    base = statistics.median(each[theirs][key] for each in rounds)
    middle = statistics.median(each[ours][key] / each[theirs][key] for each in rounds)
    return Row(what, "us CPU", middle * base * 1e6, base * 1e6, theirs, goal)


def measured(
    folder: str, kinds: Sequence[str], argument: str, rounds: int
) -> list[Round]:
    """Numbers of each kind in each round, each from a process of its own.

    Args:
        folder: for caches.
        kinds: of `data_scripts/one_process.py`, in turn.
        argument: of the kind.
        rounds: number of rounds, in alternating order.
    """
    return [
        {
            kind: _without_cache(folder, kind, argument)
            for kind in (kinds if index % 2 else reversed(kinds))
        }
        for index in range(rounds)
    ]


def _without_cache(folder: str, kind: str, argument: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory(dir=folder) as cache:
        return in_process(cache, kind, argument)


def in_process(cache: str, kind: str, argument: str) -> dict[str, float]:
    """The numbers of one kind, from a process of its own.

    Args:
        cache: folder of what is kept of tables.
        kind: of `data_scripts/one_process.py`.
        argument: of the kind.
    """
    ended = subprocess.run(
        [sys.executable, str(_SCRIPT), kind, argument],
        env={**os.environ, "XDG_CACHE_HOME": cache, "PYTHONPATH": str(_ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    pairs = (word.split("=") for word in ended.stdout.split())
    return {name: float(number) for name, number in pairs}


def write_numbers(path: str, rows: int) -> None:
    """Writes a Parquet file of 20 columns of numbers, and labels `y`."""
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


def _write_mixed(folder: str, rows: int) -> list[str]:
    """Writes a CSV and a Parquet file of 8 numbers, 3 categories and labels `y`."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    rng = np.random.default_rng(0)
    columns = {f"n{place}": rng.normal(size=rows) for place in range(8)}
    for name, different in (("color", 4), ("shape", 4), ("city", 40)):
        texts = np.array([f"{name}{place}" for place in range(different)])
        columns[name] = texts[rng.integers(0, different, rows)]
    table = pa.table(columns | {"y": rng.integers(0, 2, rows)})
    paths = [str(Path(folder) / f"mixed.{suffix}") for suffix in ("csv", "parquet")]
    pyarrow.csv.write_csv(table, paths[0])
    pyarrow.parquet.write_table(table, paths[1])
    return paths
