"""Predicted against measured peak memory of training on a GPU, for 30 configurations.

`python -m tests.benchmarks.gpu_memory`, on a machine with a GPU and CUDA's compiler.
The prediction is that of `specflow check --topology`, made without the GPU; the
measured peak is that of JAX's allocator over a few steps, in a process of its own. The
goal is 5 % between them. Arguments choose configurations by parts of their overrides.
"""

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence

from specflow.preflight import Question, ask
from specflow.runtime.chips import chip_of
from specflow.runtime.formatting import columns, human

__all__ = ["CONFIGURATIONS", "Compared", "compare", "device_kind"]

GOAL = 0.05
STEPS = 3
_LM = ("data.max_bytes=4000000", "loop.eval_steps=1")
_QUIET = (f"loop.train_steps={STEPS}", "loop.iterations_per_loop=1",
          "loop.eval_every=0", "output.checkpoint.every=0",
          "optimizer.schedule={name: constant}", "mesh=single")  # fmt: skip


def _configurations() -> Iterator[tuple[str, ...]]:
    for batch in (8, 16):
        for remat in ("none", "dots", "full"):
            for parts in (1, 2):
                yield ("experiment=lm_124m", f"loop.batch_size={batch}",
                       f"model.remat={remat}", f"loop.micro_steps={parts}")  # fmt: skip
    for batch in (4, 8):
        for remat in ("none", "full"):
            yield ("experiment=lm_124m", "model.dtype=float32",
                   f"loop.batch_size={batch}", f"model.remat={remat}")  # fmt: skip
    for batch in (32, 128):
        for dtype in ("bfloat16", "float32"):
            yield ("experiment=lm_10m", f"loop.batch_size={batch}",
                   f"model.dtype={dtype}")  # fmt: skip
    for name, batches in (("digits_resnet", (128, 512)), ("digits", (256, 1024))):
        for batch in batches:
            for dtype in ("float32", "bfloat16"):
                yield (f"experiment={name}", f"loop.batch_size={batch}",
                       f"loop.compute_dtype={dtype}")  # fmt: skip
    for width in (2048, 8192):
        yield ("experiment=digits_mlp", f"model.hidden=[{width},{width}]")


CONFIGURATIONS = tuple(_configurations())
_MEASURED = """
import contextlib, io, json, sys, tempfile
import jax
from specflow import commands
from specflow.compose import compose

with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
    commands.train(compose([*sys.argv[1:], f"output.dir={folder}/run"]))
print(json.dumps(jax.local_devices()[0].memory_stats()["peak_bytes_in_use"]))
"""


@dataclasses.dataclass(frozen=True)
class Compared:
    """Bytes of one configuration on one GPU."""

    overrides: tuple[str, ...]
    predicted: int
    workspace: int
    """Upper bound of what the prediction leaves open."""
    measured: int

    @property
    def error(self) -> float:
        """Relative error of the prediction; positive: too large."""
        return self.predicted / self.measured - 1

    @property
    def is_met(self) -> bool:
        """Whether the measured peak is within 5 %, or within the bound above that."""
        most = self.predicted + self.workspace
        return self.predicted * (1 - GOAL) <= self.measured <= most * (1 + GOAL)


def device_kind() -> str | None:
    """Returns the kind of the first GPU; None if JAX finds none.

    In a process of its own: a process with a GPU holds most of its memory.
    """
    code = "import jax; print(jax.devices('gpu')[0].device_kind)"
    environment = {k: v for k, v in os.environ.items() if k != "JAX_PLATFORMS"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    return done.stdout.strip() or None if done.returncode == 0 else None


def compare(topology: str, overrides: Sequence[str]) -> Compared | None:
    """Predicts and measures one configuration; None if it does not fit.

    Args:
        topology: one GPU of the machine's kind, such as `h100:1`.
        overrides: of the experiment.
    """
    is_text = overrides[0].startswith("experiment=lm_")
    overrides = (*overrides, *(_LM if is_text else ()), *_QUIET)
    (report,) = ask(Question(topology, [overrides], seconds=0))
    if not report["fits"]:
        return None
    train = report["programs"]["train"]
    environment = {k: v for k, v in os.environ.items() if k != "JAX_PLATFORMS"}
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, *overrides],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        # What is in use is counted, not what is taken beforehand.
        env={**environment, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"},
    )
    return Compared(
        tuple(overrides[:4]),
        train["needs"],
        train["workspace"],
        json.loads(done.stdout),
    )


def table(rows: Sequence[Compared]) -> str:
    """Formats the comparison, with the largest error last."""
    cells = [("configuration", "predicted", "measured", "error", "bound", "")]
    for row in rows:
        cells.append(
            (
                " ".join(row.overrides),
                human(row.predicted),
                human(row.measured),
                f"{row.error:+.1%}",
                human(row.workspace),
                "" if row.is_met else "not met",
            )
        )
    met = sum(row.is_met for row in rows)
    largest = max((abs(row.error) for row in rows), default=0.0)
    return (
        columns(cells, right=(1, 2, 3, 4))
        + f"\n{met} of {len(rows)} within {GOAL:.0%}; the largest error is "
        f"{largest:.1%}"
    )


def main(parts: Sequence[str]) -> int:
    """Prints the comparison, or why there is none."""
    kind = device_kind()
    if kind is None:
        print("no GPU is here: predicted memory is compared with nothing")
        return 0
    chip = chip_of(kind)
    if chip is None or not chip.usable:
        print(f"{kind} is no GPU that --topology can name: there is no prediction")
        return 0
    rows = []
    for overrides in CONFIGURATIONS:
        if not all(part in " ".join(overrides) for part in parts):
            continue
        row = compare(f"{chip.topology}:1", overrides)
        error = "does not fit" if row is None else f"{row.error:+.1%}"
        print(f"{' '.join(overrides)}: {error}", file=sys.stderr, flush=True)
        rows += [] if row is None else [row]
    print(f"{kind}\n{table(rows)}")
    return 0 if all(row.is_met for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
