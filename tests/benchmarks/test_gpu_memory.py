"""The benchmark of a GPU's memory, as far as it goes without a GPU."""

import pytest

from specflow.compose import compose
from tests.benchmarks import gpu_memory
from tests.benchmarks.gpu_memory import CONFIGURATIONS, Compared

GIB = 1 << 30


def test_thirty_configurations_compose():
    assert len(CONFIGURATIONS) == len(set(CONFIGURATIONS)) == 30
    by_experiment = {one[0]: one for one in CONFIGURATIONS}
    for overrides in by_experiment.values():
        assert compose([*overrides, *gpu_memory._QUIET]).config


@pytest.mark.parametrize(
    ("measured", "workspace", "met"),
    [(100, 0, True), (105, 0, True), (96, 0, True), (94, 0, False), (106, 0, False),
     (112, 10, True), (117, 10, False)],
)  # fmt: skip
def test_the_goal_is_five_percent_beside_the_bound(measured, workspace, met):
    row = Compared((), 100 * GIB, workspace * GIB, measured * GIB)
    assert row.is_met is met
    assert row.error == pytest.approx(100 / measured - 1)


def test_without_a_gpu_it_says_so(capsys, monkeypatch):
    monkeypatch.setattr(gpu_memory, "device_kind", lambda: None)
    assert gpu_memory.main([]) == 0
    assert capsys.readouterr().out == (
        "no GPU is here: predicted memory is compared with nothing\n"
    )


def test_with_one_each_configuration_is_a_row(capsys, monkeypatch):
    """A GPU that needs a tenth more than predicted misses the goal."""
    monkeypatch.setattr(gpu_memory, "device_kind", lambda: "NVIDIA H100 80GB HBM3")

    def compare(topology, overrides):
        assert topology == "h100:1"
        return Compared(overrides, 10 * GIB, 0, 11 * GIB)

    monkeypatch.setattr(gpu_memory, "compare", compare)
    assert gpu_memory.main(["lm_10m", "float32"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "NVIDIA H100 80GB HBM3"
    assert sum("not met" in line for line in lines) == 2
    assert lines[-1] == "0 of 2 within 5%; the largest error is 9.1%"
