"""The benchmark of the decoder runs, tiny, and counts as the paper does."""

import pytest

from specflow.compose import compose
from tests.benchmarks.decoder import Speed, flops_per_token, measure

TINY = (
    "model.layers=2",
    "model.width=32",
    "model.heads=2",
    "model.mlp_width=64",
    "model.vocabulary=256",
    "data.length=16",
    "data.max_bytes=100000",
    "mesh=single",
    "loop.batch_size=4",
    "loop.eval_batch_size=4",
    "loop.iterations_per_loop=2",
)


def test_it_runs_tiny():
    speed = measure(*TINY, steps=4)
    assert speed.tokens_per_second > 0
    told = str(speed).splitlines()
    assert [line.split()[0] for line in told] == ["device", "tokens/s", "FLOPs", "MFU"]


def test_flops_are_those_of_the_paper():
    model = compose(["experiment=lm_124m"]).config.model
    # By hand: 12 x (4 x 768^2 + 3 x 768 x 2048) + 768 x 50304 weights, 12 x 768 heads.
    weights = 12 * (4 * 768**2 + 3 * 768 * 2048) + 768 * 50304
    assert flops_per_token(model, 1024) == 6 * weights + 12 * 12 * 768 * 1024


def test_mfu_is_a_share_of_the_peak_of_all_devices():
    speed = Speed(1e6, 1e9, devices=2, kind="NVIDIA H200")
    # By hand: 10^15 of 2 x 989.4 x 10^12.
    assert speed.mfu == pytest.approx(1e15 / (2 * 989.4e12))
    assert Speed(1e6, 1e9, devices=1, kind="cpu").mfu is None
