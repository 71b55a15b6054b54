"""Prints every benchmark, or those named: `python -m tests.benchmarks [name ...]`.

Some have parts, `sweep.64`, which are printed one by one; `--rounds N` repeats these.
"""

import argparse
import importlib
import os

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
    "data",
    "images",
    "sweep",
    "packs",
    "memory",
    "checkpoint",
    "faults",
    "trackers",
)


_ROUNDS = 3


def main(names: list[str], rounds: int) -> None:
    """Runs the benchmarks named, all by default, and prints each when it is done."""
    for name in names or MODULES:
        name, _, part = name.partition(".")
        module = importlib.import_module(f"tests.benchmarks.{name}")
        parts = getattr(module, "PARTS", None)
        if parts is None:
            print(f"== {name}\n{format_rows(module.run())}\n", flush=True)
            continue
        for each in [part] if part else parts:
            rows = parts[each](rounds)
            print(f"== {name}.{each}\n{format_rows(rows)}\n", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    parser.add_argument("names", nargs="*", help=f"of {', '.join(MODULES)}")
    parser.add_argument("--rounds", type=int, default=_ROUNDS)
    arguments = parser.parse_args()
    main(arguments.names, arguments.rounds)
