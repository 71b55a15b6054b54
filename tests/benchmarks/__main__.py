"""Prints every benchmark, or those named: `python -m tests.benchmarks [name ...]`."""

import importlib
import os
import sys

os.environ.setdefault("JAX_PLATFORMS", "cpu")

from tests.benchmarks.report import format_rows

MODULES = (
    "steps",
    "pooling",
    "convolution",
    "host",
    "growth",
    "evaluation",
    "startup",
    "inputs",
    "sweep",
    "packs",
    "memory",
    "checkpoint",
    "faults",
    "trackers",
)


def main(names: list[str]) -> None:
    """Runs the modules named, all by default, and prints each as soon as it is done."""
    for name in names or MODULES:
        rows = importlib.import_module(f"tests.benchmarks.{name}").run()
        print(f"== {name}\n{format_rows(rows)}\n", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
