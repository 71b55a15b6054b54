"""Goodput and MFU of a run. Expected values by hand."""

import dataclasses
import json

import pytest

from specflow.executor import Flops
from specflow.output import efficiency

TIMING = {"train": 5.0, "compile": 2.0, "input": 0.5, "eval": 1.0, "checkpoint": 0.25}


def found(kind, flops=None, devices=2, steps=50):
    return efficiency(
        {**TIMING, "total": 10.0}, total_s=10.0, steps=steps, flops=flops,
        kind=kind, devices=devices,
    )  # fmt: skip


def test_the_shares_add_up_to_the_total_time_with_idle():
    got = found("cpu").shares
    assert got == pytest.approx(
        {"step": 0.5, "compile": 0.2, "input wait": 0.05, "eval": 0.1,
         "checkpoint": 0.025, "export": 0.0, "idle": 0.125}
    )  # fmt: skip
    assert sum(got.values()) == pytest.approx(1.0)


def test_mfu_is_model_flops_per_second_of_steps_over_the_peak():
    got = found("TPU v5 lite", Flops(3.94e12))
    # 50 steps of 3.94 TFLOP in 5 s, on two chips of 197 TFLOP/s.
    assert got.flops_per_s == pytest.approx(39.4e12)
    assert got.mfu == pytest.approx(0.1)
    assert got.facts() == {
        "goodput": "50% of 10.0 s: step 50%, compile 20%, input wait 5%, eval 10%, "
        "checkpoint 2%, idle 12%",
        "MFU": "10.0%: 39.4 TFLOP/s on 2 x v5e; FLOPs counted in the program of a step",
    }


def test_an_unknown_chip_has_a_speed_and_no_mfu():
    got = found("cpu", Flops(1e6, ("a kernel",)), devices=1)
    assert got.mfu is None
    assert got.facts()["model speed"] == (
        "10 MFLOP/s on 1 x cpu, whose peak is unknown; FLOPs counted in the program "
        "of a step, except a kernel"
    )


@pytest.mark.parametrize("given", [{"flops": None}, {"flops": Flops(1.0), "steps": 0}])
def test_without_a_step_there_is_no_speed(given):
    got = found("cpu", **given)
    assert got.flops_per_s is None
    assert list(got.facts()) == ["goodput"]


def test_the_efficiency_is_plain_json():
    got = found("cpu", Flops(1e6, ("a kernel",)))
    expected = {**dataclasses.asdict(got), "unknown": ["a kernel"]}
    assert json.loads(json.dumps(got.plain())) == expected
