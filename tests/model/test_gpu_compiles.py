"""XLA compiles the steps of a decoder for H100s that are not there.

It runs where the compiler is: `pip install 'specflow-jax[cuda12]'`, or `[cuda13]`.
"""

import importlib.util
import re
from collections import Counter

import jax
import pytest
from jax.experimental import topologies

from specflow.compose import compose
from specflow.contract import Mode
from specflow.data import build_data
from specflow.estimator import TPUEstimator

pytestmark = pytest.mark.skipif(
    not any(map(importlib.util.find_spec, ["jax_cuda12_plugin", "jax_cuda13_plugin"])),
    reason="CUDA's compiler is not installed: pip install 'specflow-jax[cuda12]'",
)

# Source: what an H100 SXM says of itself to CUDA.
H100 = """
gpu_device_info {
  threads_per_block_limit: 1024
  threads_per_warp: 32
  shared_memory_per_block: 49152
  shared_memory_per_core: 233472
  shared_memory_per_block_optin: 232448
  threads_per_core_limit: 2048
  core_count: 132
  fpus_per_core: 128
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  memory_bandwidth: 3352320000000
  l2_cache_size: 52428800
  clock_rate_ghz: 1.98
  device_memory_size: 84929347584
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
  cuda_compute_capability { major: 9 }
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 10 }
runtime_version { major: 12 minor: 9 }
device_description_str: "NVIDIA H100 80GB HBM3"
"""
TINY = ("experiment=lm_10m", "model.layers=2", "model.width=128", "model.heads=4",
        "model.kv_heads=2", "model.vocabulary=256", "model.dtype=bfloat16",
        "model.remat=dots", "data.length=64", "data.max_bytes=100000",
        "loop.batch_size=8", "loop.eval_batch_size=8")  # fmt: skip


@pytest.mark.parametrize(
    ("count", "mesh"),
    [
        (1, ["mesh=single"]),
        (8, ["mesh=fsdp_tensor", "mesh.axes.sequence=2"]),
        (8, ["mesh=fsdp_tensor", "mesh.axes.tensor=4", "mesh.logical.kv_heads=null"]),
    ],
    ids=["one", "sequences", "few key heads"],
)
def test_the_steps_of_a_decoder_compile_for_h100s(count, mesh, tmp_path):
    jax.devices()  # Finds the plugins.
    devices = topologies.get_topology_desc(
        platform="cuda", target_config=H100, topology=f"1x1x{count}"
    ).devices
    config = compose([*TINY, *mesh]).config
    data = build_data(config.data)
    estimator = TPUEstimator.from_config(
        config, data=data, model_dir=tmp_path, devices=devices
    )
    programs = estimator.lower(data.train, data.eval, max_steps=4)
    found = {}
    for mode, program in programs.items():
        text = program.stage.compile().as_text()
        found[mode] = Counter(re.findall(r'custom_call_target="__cudnn\$(\w+)"', text))
    attended = {"fmhaSoftmax": 1}
    assert found[Mode.TRAIN] == attended | {"fmhaSoftmaxBackward": 1}
    assert found[Mode.EVAL] == found[Mode.PREDICT] == attended
