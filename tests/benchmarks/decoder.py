"""Tokens a second and MFU of the 124 M decoder: `python -m tests.benchmarks.decoder`.

Sequences of 1,024 tokens, bfloat16, on the devices that there are; it is the whole
program, with its reports and its progress. Arguments are overrides of the experiment,
such as `loop.batch_size=16 model.attention=xla model.unroll=12`. Compiling does not
count.
"""

import contextlib
import dataclasses
import io
import sys
import tempfile
from typing import Any

import jax

from specflow import commands
from specflow.compose import Composed, compose
from specflow.runtime.chips import chip_of

__all__ = ["Speed", "flops_per_token", "measure"]

OVERRIDES = (
    "experiment=lm_124m",
    "loop.batch_size=32",
    "loop.eval_every=0",
    "loop.eval_steps=1",
    "loop.iterations_per_loop=50",
    "optimizer.schedule.warmup_steps=9",
    "output.checkpoint.every=0",
)
STEPS = 200


@dataclasses.dataclass(frozen=True, slots=True)
class Speed:
    """What was measured."""

    tokens_per_second: float
    flops_per_token: float
    """Of the model: forward and backward, nothing computed again."""
    devices: int
    kind: str
    """What JAX calls a device."""

    @property
    def mfu(self) -> float | None:
        """Share of what the devices could compute; None: nobody knows how much."""
        chip = chip_of(self.kind)
        if chip is None:
            return None
        done = self.tokens_per_second * self.flops_per_token
        return done / (chip.flops * self.devices)

    def __str__(self) -> str:
        chip = chip_of(self.kind)
        peak = f"{chip.flops / 1e12:,.0f} TFLOP/s in bf16" if chip else "unknown"
        told = "unknown" if self.mfu is None else f"{self.mfu:.1%}"
        return (
            f"device    {self.devices} x {self.kind}, peak {peak}\n"
            f"tokens/s  {self.tokens_per_second:,.0f}\n"
            f"FLOPs     {self.flops_per_token / 1e6:,.0f} M a token: 6 a weight, and "
            f"12 a layer, unit of its heads and token of the sequence\n"
            f"MFU       {told}"
        )


def flops_per_token(model: Any, length: int) -> float:
    """Multiplications and additions of a training step, for each token.

    Weights count 6 each: forward, and twice backward; those of a table that is only
    looked up count none. Attention counts as if each token saw all others.

    Source: Chowdhery et al., PaLM, 2022, appendix B.

    Args:
        model: a `DecoderConfig`.
        length: tokens of a sequence.
    """
    sizes = model.sizes()
    heads = model.heads * sizes["head_dim"]
    keys = sizes["kv_heads"] * sizes["head_dim"]
    layer = model.width * (2 * heads + 2 * keys + 3 * sizes["mlp_width"])
    weights = model.layers * layer + model.width * model.vocabulary
    return 6 * weights + 12 * model.layers * heads * length


def measure(*overrides: str, steps: int = STEPS) -> Speed:
    """The speed of training, without what it compiled.

    Args:
        *overrides: of the experiment.
        steps: to train.
    """
    steps += 10  # A few more than the schedule warms up.
    with tempfile.TemporaryDirectory() as folder:
        more = [f"loop.train_steps={steps}", f"output.dir={folder}/run"]
        composed = compose([*OVERRIDES, *overrides, *more])
        seconds = _seconds(composed) / steps
    config: Any = composed.config
    return Speed(
        tokens_per_second=config.loop.batch_size * config.data.length / seconds,
        flops_per_token=flops_per_token(config.model, config.data.length),
        devices=jax.device_count(),
        kind=jax.devices()[0].device_kind,
    )


def _seconds(composed: Composed) -> float:
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        timing = commands.train(composed)["timing"]
    return timing["train"] + timing["input"]


if __name__ == "__main__":
    print(measure(*sys.argv[1:]))
