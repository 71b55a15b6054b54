"""XLA compiles the steps of a decoder for H100s that are not there.

It runs where the compiler is: `pip install 'specflow-jax[cuda12]'`, or `[cuda13]`.
"""

import importlib.util
import re
from collections import Counter

import pytest

from specflow.compose import compose
from specflow.contract import Mode
from specflow.data import build_data
from specflow.estimator import TPUEstimator
from specflow.mesh.topology import devices_of, parse

pytestmark = pytest.mark.skipif(
    not any(map(importlib.util.find_spec, ["jax_cuda12_plugin", "jax_cuda13_plugin"])),
    reason="CUDA's compiler is not installed: pip install 'specflow-jax[cuda12]'",
)

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
    devices = devices_of(parse(f"h100:{count}"))
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
