"""Chips: names of devices, and what JAX itself knows of the chips."""

import pytest

from specflow.runtime.chips import CHIPS, GPUS, TPUS, chip_of


@pytest.mark.parametrize(
    ("kind", "name"),
    # As JAX names them: `device_kind` of the devices of a topology, and of GPUs.
    [("TPU v4", "v4"), ("TPU v5 lite", "v5e"), ("TPU v5", "v5p"),
     ("TPU v6 lite", "v6e"), ("NVIDIA H100 80GB HBM3", "H100"),
     ("NVIDIA H100 PCIe", "H100 PCIe"), ("NVIDIA H100 NVL", "H100 NVL"),
     ("NVIDIA H200", "H200"), ("NVIDIA A100-SXM4-40GB", "A100 40G"),
     ("NVIDIA A100-SXM4-80GB", "A100 80G"), ("NVIDIA A100 80GB PCIe", "A100 PCIe"),
     ("NVIDIA H200 NVL", "H200 NVL"), ("NVIDIA B200", "B200"), ("NVIDIA L4", "L4"),
     ("NVIDIA GeForce RTX 4090", "RTX 4090")],
)  # fmt: skip
def test_a_device_is_known_by_its_kind(kind, name):
    chip = chip_of(kind)
    assert chip is not None
    assert chip.name == name


@pytest.mark.parametrize(
    ("kind", "mebibytes"),
    [("NVIDIA A100-SXM4-80GB", 81_920), ("NVIDIA A100-SXM4-40GB", 40_960),
     ("NVIDIA H100 80GB HBM3", 81_559), ("NVIDIA H100 NVL", 95_830),
     ("NVIDIA H200", 143_771), ("NVIDIA H200 NVL", 143_771)],
)  # fmt: skip
def test_a_gpu_has_the_memory_that_its_driver_tells(kind, mebibytes):
    """As `nvidia-smi` prints it: a little of what there is is kept back."""
    chip = chip_of(kind)
    assert chip is not None
    assert 0.99 * chip.hbm < mebibytes * 2**20 <= chip.hbm


def test_an_unknown_device_is_no_chip():
    assert chip_of("cpu") is None
    assert chip_of("NVIDIA L40S") is None
    assert chip_of("NVIDIA GeForce RTX 4090 Laptop GPU") is None


def test_nothing_is_faster_or_larger_than_it_can_be():
    for chip in CHIPS:
        assert 0 < chip.usable <= chip.hbm or chip not in (
            *TPUS.values(),
            *GPUS.values(),
        )
        assert chip.flops > chip.hbm_bandwidth > chip.ici_bandwidth
        assert chip.ici_bandwidth > chip.dcn_bandwidth or not chip.ici_bandwidth


@pytest.mark.parametrize(
    ("name", "cores"), [("v4", 2), ("v5e", 1), ("v5p", 2), ("v6e", 1)]
)
def test_our_table_agrees_with_that_of_jax(name, cores):
    """JAX tells for each core, and other than the documentation: 12 % less bandwidth of
    a v5p."""
    pltpu = pytest.importorskip("jax.experimental.pallas.tpu")
    table = pytest.importorskip("jax._src.pallas.mosaic.tpu_info")
    versions = [one for one in getattr(table, "ChipVersion", ()) if str(one) == name]
    if not versions or not hasattr(pltpu, "get_tpu_info_for_chip"):
        pytest.skip("this version of JAX has no table of chips")
    info, chip = pltpu.get_tpu_info_for_chip(versions[0], 1), TPUS[name]
    assert chip.flops == pytest.approx(info.bf16_ops_per_second * cores, rel=0.005)
    assert chip.hbm == pytest.approx(info.hbm_capacity_bytes * cores, rel=0.005)
    bandwidth = info.mem_bw_bytes_per_second * cores
    assert chip.hbm_bandwidth == pytest.approx(bandwidth, rel=0.13)
