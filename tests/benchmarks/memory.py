"""Peak memory of a whole run against a hand-written loop, each in its own process."""

import subprocess
import sys
import tempfile

from tests.benchmarks.report import Row

_BY_HAND = """
import numpy as np, optax
from tests.benchmarks import handwritten
rng = np.random.default_rng(0)
images = rng.normal(size=(100, 128, 8, 8, 1)).astype(np.float32)
labels = rng.integers(0, 10, (100, 128)).astype(np.int32)
loop = handwritten.Stepped(
    handwritten.digits_mlp, optax.adam(1e-3), (images, labels)
)
loop.seconds_per_step(2000)
"""

_STARTER = """
import os, subprocess, sys
process = subprocess.Popen(
    sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
)
_, status, usage = os.wait4(process.pid, 0)
print(usage.ru_maxrss)
sys.exit(status != 0)
"""


def run() -> list[Row]:
    """Peak resident memory of the digits MLP, 2,000 steps."""
    with tempfile.TemporaryDirectory() as folder:
        overrides = (
            "experiment=digits_mlp optimizer=adam model.dropout=0 loop.train_steps=2000"
        )
        command = ["-m", "specflow", "train", *overrides.split()]
        ours = _peak_mib([*command, f"output.dir={folder}/run"])
    return [
        Row(
            name="peak memory, digits MLP",
            unit="MiB",
            ours=ours,
            theirs=_peak_mib(["-c", _BY_HAND]),
            what="stepped by hand",
            goal=1.15,
        )
    ]


def _peak_mib(arguments: list[str]) -> float:
    # From a small process: a child begins with the peak of whoever starts it.
    measured = subprocess.run(
        [sys.executable, "-c", _STARTER, sys.executable, *arguments],
        check=True,
        capture_output=True,
        text=True,
    )
    return int(measured.stdout) / 1024
