"""A Parquet file of 10,000,000 rows: opened, read by blocks, and its peak memory.

It takes 1.7 GB of disk and some minutes, so it runs only by its name. The first step is
compared with that of 10,000 rows, in whole processes whose columns are fitted already.
"""

import statistics
import tempfile
from pathlib import Path

from tests.benchmarks.data import MEMORY_MIB, in_process, measured, ratio, write_numbers
from tests.benchmarks.report import Row

__all__ = ["run"]


def run(rounds: int = 3, rows: int = 10_000_000, few: int = 10_000) -> list[Row]:
    """CPU time to the first step, of a row of an epoch, and peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(folder) / f"{size}.parquet") for size in (rows, few)]
        for path, size in zip(paths, (rows, few), strict=True):
            write_numbers(path, size)
            in_process(folder, "opened", path)  # Fits the columns.
        steps = [
            [in_process(folder, "opened", path)["seconds"] for path in paths]
            for _ in range(rounds)
        ]
        read = measured(folder, ["arrow", "blocks"], paths[0], 1)
    large, small = (statistics.median(each) for each in zip(*steps, strict=True))
    peak = max(each["blocks"]["peak"] for each in read)
    return [
        Row("to the first step, fitted", "s CPU", large, small, "10,000 rows", 1.5),
        ratio("an epoch shuffled by blocks", read, "blocks", "arrow", 1.25),
        ratio("first pass, by blocks", read, "blocks", "arrow", 1.25, "first"),
        Row("peak memory", "MiB", peak, MEMORY_MIB + 300, "bound + 300 MiB", 1.0),
    ]
