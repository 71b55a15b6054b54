"""What is tried where an experiment does not fit, and in which order."""

from specflow.compose import compose
from specflow.preflight.changes import changes, times_smaller

MESH = {"data": 4, "fsdp": 4, "tensor": 1, "sequence": 1, "expert": 1}
LM = ["experiment=stdlib_lm", "loop.batch_size=64"]
DECODER = ["experiment=lm_10m", "loop.batch_size=64", "model.dtype=float32"]


def tried(overrides, short=("train",), mesh=MESH):
    config = compose(overrides).config
    return [" ".join(one) for one in changes(config, mesh, short=short)]


def test_what_leaves_the_training_as_it_is_comes_first():
    found = tried([*DECODER, "model.remat=dots"])
    kinds = ["model.remat=dots_with_no_batch_dims", "loop.micro_steps=2",
             "mesh.axes.data=1", "model.remat=full", "loop.micro_steps=4",
             "model.dtype=bfloat16", "loop.batch_size=32"]  # fmt: skip
    places = [
        next(n for n, one in enumerate(found) if one.startswith(kind)) for kind in kinds
    ]
    assert places == sorted(places)


def test_a_model_that_names_no_type_follows_the_loop():
    assert "loop.compute_dtype=bfloat16" in tried(["experiment=lm_10m"])
    lower = ["experiment=lm_10m", "loop.compute_dtype=bfloat16"]
    assert not [one for one in tried(lower) if "dtype" in one]


def test_a_batch_is_never_cut_below_the_devices():
    found = tried(LM)
    assert "loop.batch_size=16" in found
    assert "loop.batch_size=8" not in found
    assert not [one for one in found if one.startswith("loop.micro_steps=8")]


def test_at_last_several_changes_are_made_at_once():
    last = tried([*DECODER, "model.remat=none"])[-1]
    assert "model.remat=full" in last
    assert "model.dtype=bfloat16" in last
    assert "loop.batch_size=16" in last


def test_where_evaluation_alone_is_too_large_training_is_left_alone():
    found = tried([*LM, "loop.eval_batch_size=256"], short=("eval", "predict"))
    assert found[:2] == ["loop.eval_batch_size=128", "loop.eval_batch_size=64"]
    assert not [one for one in found if "loop.batch_size" in one]


def test_every_change_composes():
    overrides = [*DECODER, "model.remat=none", "mesh=fsdp"]
    for one in tried(overrides):
        assert compose([*overrides, *one.split()]).config


def test_it_is_known_at_once_how_much_a_smaller_part_saves_at_the_best():
    config = compose([*LM, "loop.micro_steps=2"]).config
    assert times_smaller(["loop.micro_steps=8"], config) == 4
    assert times_smaller(["loop.batch_size=16"], config) == 4
    assert times_smaller(["model.remat=full"], config) == float("inf")
    assert times_smaller(["loop.micro_steps=4", "a=b"], config) == float("inf")
