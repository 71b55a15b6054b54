"""What is tried where an experiment does not fit, and in which order."""

import math

from hypothesis import given
from hypothesis import strategies as st

from specflow.compose import compose
from specflow.preflight.fit_changes import changes, nearest, times_smaller, together

MESH = {"data": 4, "fsdp": 4, "tensor": 1, "sequence": 1, "expert": 1}
LM = ["experiment=stdlib_lm", "loop.batch_size=64"]
REPLICATED = ["experiment=lm_10m", "loop.batch_size=64", "model.dtype=float32"]
DECODER = [*REPLICATED, "mesh=fsdp"]


def ways(overrides, short=("train",), mesh=MESH):
    return changes(compose(overrides).config, mesh, short=short)


def tried(overrides, **more):
    return [" ".join(one) for way in ways(overrides, **more) for one in way]


def test_what_leaves_the_training_as_it_is_comes_first():
    found = ways([*DECODER, "model.remat=dots"])
    assert found[:3] == [
        [("model.remat=dots_with_no_batch_dims",), ("model.remat=full",)],
        [("loop.micro_steps=2",), ("loop.micro_steps=4",)],
        [("mesh.axes.data=1", "mesh.axes.fsdp=-1")],
    ]
    assert found[-2:] == [
        [("model.dtype=bfloat16",)],
        [("loop.batch_size=32",), ("loop.batch_size=16",)],
    ]


@given(st.integers(1, 9), st.integers(0, 9))
def test_of_one_way_the_smallest_change_that_fits_is_found(length, first):
    """Changes first, first + 1, ... fit; at most two more than halvings are tried."""
    asked = []

    def needs(change):
        asked.append(change)
        return 100 - change[0] if change[0] >= first else None

    found = nearest([(place,) for place in range(length)], needs)
    assert found == (((first,), 100 - first) if first < length else None)
    assert len(asked) == len(set(asked)) <= 2 + math.log2(length)


def test_where_the_state_is_too_large_other_axes_come_first():
    found = ways([*DECODER, "model.remat=dots"], short=("state",))
    assert found[0] == [("mesh.axes.data=1", "mesh.axes.fsdp=-1")]
    assert sorted(found) == sorted(ways([*DECODER, "model.remat=dots"]))


def test_a_mesh_without_rules_for_fsdp_is_replaced_by_one_that_has_them():
    """The axis alone would shard the batch, and no parameter."""
    mesh = {**MESH, "fsdp": 1}
    found = tried([*REPLICATED, "model.remat=full"], mesh=mesh)
    assert [one for one in found if "mesh" in one] == ["mesh=fsdp"]
    assert compose([*REPLICATED, "mesh=data", "mesh=fsdp"]).config.mesh.rules


def test_a_model_that_names_no_type_follows_the_loop():
    assert "loop.compute_dtype=bfloat16" in tried(["experiment=lm_10m"])
    lower = ["experiment=lm_10m", "loop.compute_dtype=bfloat16"]
    assert not [one for one in tried(lower) if "dtype" in one]


def test_a_batch_is_never_cut_below_the_devices():
    found = tried(LM)
    assert "loop.batch_size=16" in found
    assert "loop.batch_size=8" not in found
    assert not [one for one in found if one.startswith("loop.micro_steps=8")]


def test_where_none_is_enough_several_are_made_at_once():
    found = [" ".join(one) for one in together(ways([*DECODER, "model.remat=none"]))]
    assert found[0] == "model.remat=full loop.micro_steps=4"
    assert found[-1] == (
        "model.remat=full loop.micro_steps=4 mesh.axes.data=1 mesh.axes.fsdp=-1 "
        "model.dtype=bfloat16 loop.batch_size=16"
    )
    for one in found:
        assert compose([*DECODER, "model.remat=none", *one.split()]).config


def test_where_evaluation_alone_is_too_large_training_is_left_alone():
    found = tried([*LM, "loop.eval_batch_size=256"], short=("eval", "predict"))
    assert found[:2] == ["loop.eval_batch_size=128", "loop.eval_batch_size=64"]
    assert not [one for one in found if "loop.batch_size" in one]


def test_every_change_composes():
    overrides = [*DECODER, "model.remat=none"]
    for one in tried(overrides):
        assert compose([*overrides, *one.split()]).config


def test_it_is_known_at_once_how_much_a_smaller_part_saves_at_the_best():
    config = compose([*LM, "loop.micro_steps=2"]).config
    assert times_smaller(["loop.micro_steps=8"], config) == 4
    assert times_smaller(["loop.batch_size=16"], config) == 4
    assert times_smaller(["model.remat=full"], config) == float("inf")
    assert times_smaller(["loop.micro_steps=4", "a=b"], config) == float("inf")
