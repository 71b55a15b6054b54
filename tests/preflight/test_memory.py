"""Bytes: predicted ones are those of real shards; what a compiler says of too much."""

import jax
import numpy as np
import pytest

from specflow.compose import compose
from specflow.contract import Mode
from specflow.data import build_data
from specflow.estimator import TPUEstimator
from specflow.executor import TrainState, to_tree
from specflow.preflight.memory import held, shortage

CASES = {
    "data 8": ["experiment=digits_mlp", "mesh=data"],
    "fsdp 8, momentum": ["experiment=digits_mlp", "mesh=fsdp", "optimizer=sgd"],
    "data 2 x fsdp 2 x tensor 2": [
        "experiment=stdlib_lm", "model.layers=1", "model.width=32", "model.heads=2",
        "data.length=16", "data.max_bytes=200000", "mesh=fsdp_tensor",
        "mesh.axes.data=2",
    ],
}  # fmt: skip


@pytest.mark.parametrize("overrides", CASES.values(), ids=CASES)
def test_predicted_bytes_are_those_of_the_real_shards(overrides, tmp_path):
    batch = ["loop.batch_size=64", "loop.eval_batch_size=64"]
    config = compose([*overrides, *batch]).config
    data = build_data(config.data)
    estimator = TPUEstimator.from_config(config, data=data, model_dir=tmp_path)
    form = estimator.batch_form(data.train, Mode.TRAIN)
    real = to_tree(estimator.program.init_state(0, *form))
    predicted = held(estimator.abstract_state(data.train))
    for device in list(estimator.partitioner.mesh.devices.flat):
        taken = {
            (part, path): sum(
                shard.data.nbytes
                for shard in array.addressable_shards
                if shard.device == device
            )
            for part, real_part in (
                ("parameters", "params"), ("optimizer", "opt_state"), ("state", "state")
            )
            for path, array in real[real_part].items()
        }  # fmt: skip
        assert {(one.part, one.name): one.bytes for one in predicted} == taken


SAID = (
    "Ran out of memory on HBM, the total memory required for HLO temporaries (24.86G) "
    "exceeds available HBM (15.75G)."
)


@pytest.mark.parametrize(
    "text",
    [
        # libtpu 0.0.42, and 0.0.52.
        f"RESOURCE_EXHAUSTED: {SAID}",
        f"RESOURCE_EXHAUSTED: E1000: CompileTimeHbmOom: jit_train_loop: {SAID}",
    ],
)
def test_both_forms_of_too_much_are_understood(text):
    found = shortage(RuntimeError(text))
    assert found is not None
    assert found.needs == pytest.approx(24.86 * 2**30, abs=1)
    assert found.available == pytest.approx(15.75 * 2**30, abs=1)


def test_other_words_for_too_much_are_passed_on():
    text = "RESOURCE_EXHAUSTED: Allocation type: HLO temp; no room is left."
    found = shortage(RuntimeError(text))
    assert found is not None
    assert (found.needs, found.available, found.text) == (None, None, text)


def test_what_is_used_of_what_there_is_is_understood_too():
    found = shortage(
        RuntimeError(
            "RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 20.50G of "
            "15.75G hbm. Exceeded hbm capacity by 4.75G. (1.0K) is padding (2.0K)."
        )
    )
    assert found is not None
    assert found.needs == pytest.approx(20.5 * 2**30, abs=1)
    assert found.available == pytest.approx(15.75 * 2**30, abs=1)


@pytest.mark.parametrize(
    "text",
    [
        "RESOURCE_EXHAUSTED: E1001: CompileTimeScopedVmemOom: (9.1M) of (8.0M)",
        "RESOURCE_EXHAUSTED: Ran out of memory in memory space vmem. Used 9.1M of 8.0M",
    ],
)
def test_what_one_operation_holds_close_to_a_core_is_no_lack_of_memory(text):
    assert shortage(RuntimeError(text)) is None


def test_another_error_is_not_taken_for_a_shortage():
    assert shortage(RuntimeError("INTERNAL: RET_CHECK failure")) is None


def test_units_are_binary():
    said = "RESOURCE_EXHAUSTED: takes (512.0K) of (1.5M)"
    found = shortage(RuntimeError(said))
    assert found is not None
    assert (found.needs, found.available) == (512 * 2**10, int(1.5 * 2**20))


def test_arrays_of_the_batch_have_their_path():
    one = jax.sharding.NamedSharding(
        jax.sharding.Mesh(jax.devices()[:4], ("data",)),
        jax.sharding.PartitionSpec("data"),
    )
    form = jax.ShapeDtypeStruct((8, 3), np.float32, sharding=one)
    (found,) = held(TrainState(0, {}, {}, ()), {"features": {"x": form}})
    assert (found.part, found.name, found.bytes) == ("batch", "features.x", 2 * 3 * 4)
