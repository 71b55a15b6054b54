"""What the scripts share: a clock that starts with the process, and the digits.

The digits are read without importing scikit-learn, which takes seconds: the comparison
is with the leanest way.
"""

import importlib.util
import os
import time
from pathlib import Path

import numpy as np

__all__ = ["digits", "told"]


def digits():
    """Images float32 "n 64" in [0, 1], and labels int32 "n"."""
    package = importlib.util.find_spec("sklearn")
    file = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    table = np.loadtxt(file, delimiter=",")
    return (table[:, :-1] / 16).astype(np.float32), table[:, -1].astype(np.int32)


def told() -> str:
    """`wall cpu`: seconds since the process was born, and seconds of CPU."""
    with open("/proc/self/stat", encoding="ascii") as file:
        ticks = int(file.read().rpartition(")")[2].split()[19])
    born = ticks / os.sysconf("SC_CLK_TCK")
    wall = time.clock_gettime(time.CLOCK_BOOTTIME) - born
    return f"{wall:.3f} {time.process_time():.3f}"
