"""Descriptions of GPUs for XLA: sources, and agreement with the table of chips."""

import re

import pytest

from specflow.runtime.chips import GPUS, chip_of
from specflow.runtime.gpu_targets import figures, sources, target_config

BF16_PER_CORE = {8.0: 2048, 8.9: 1024, 9.0: 4096, 10.0: 8192}
"""Dense FLOPs of a multiprocessor's tensor cores in a cycle, accumulated in float32.

Sources: NVIDIA's architecture whitepapers of A100 (table 1), Ada (table 2) and H100
(table 2); OpenXLA's target description of B200."""
every_gpu = pytest.mark.parametrize("name", GPUS)


def values(name):
    return {figure: value for figure, (value, _) in figures(GPUS[name]).items()}


@every_gpu
def test_each_figure_has_a_source(name):
    known = sources()
    for figure, (_, source) in figures(GPUS[name]).items():
        assert known[source], figure


def test_no_source_is_unused():
    used = {source for chip in GPUS.values() for _, source in figures(chip).values()}
    assert used == set(sources())


@every_gpu
def test_the_device_is_the_chip(name):
    chip = chip_of(values(name)["device_kind"])
    assert chip is GPUS[name]


@every_gpu
def test_memory_and_its_bandwidth_are_those_of_the_chip(name):
    """The driver keeps back as much as 8 % of GDDR memory with error correction. The
    datasheet of a B200 has a rounded bandwidth."""
    chip, figure = GPUS[name], values(name)
    assert figure["device_memory_size"] == chip.usable
    assert 0.91 * chip.hbm < chip.usable <= chip.hbm
    assert figure["memory_bandwidth"] == pytest.approx(chip.hbm_bandwidth, rel=0.05)


@every_gpu
def test_the_peak_is_what_all_cores_can_do_at_a_clock_that_they_reach(name):
    """Where the datasheet has a lower clock for tensor cores, it is within a quarter. A
    GeForce accumulates in float32 at half of the rate."""
    chip, figure = GPUS[name], values(name)
    each = BF16_PER_CORE[chip.capability] / (2 if name == "rtx-4090" else 1)
    most = figure["core_count"] * each * figure["clock_rate_ghz"] * 1e9
    assert 0.75 * most < chip.flops <= 1.002 * most


@every_gpu
def test_a_description_names_each_figure_once(name):
    text = target_config(GPUS[name], cudnn=(9, 28), cuda=(13, 0))
    assert "dnn_version_info { major: 9 minor: 28 }" in text
    assert "runtime_version { major: 13 minor: 0 }" in text
    major, minor = str(GPUS[name].capability).split(".")
    assert f"cuda_compute_capability {{ major: {major} minor: {minor} }}" in text
    fields = re.findall(r"^  (\w+):", text, re.M)
    assert len(fields) == len(set(fields)) == len(values(name)) - 1


@pytest.mark.parametrize("capability", [8.0, 8.9, 9.0, 10.0])
def test_limits_of_a_capability_are_those_that_cuda_documents(capability):
    """A kernel may use all of a core's shared memory but one KiB that CUDA reserves."""
    (chip, *_) = [chip for chip in GPUS.values() if chip.capability == capability]
    figure = values(chip.topology)
    optin = figure["shared_memory_per_block_optin"]
    assert figure["shared_memory_per_core"] - optin == 1024
    assert figure["threads_per_core_limit"] % figure["threads_per_warp"] == 0
