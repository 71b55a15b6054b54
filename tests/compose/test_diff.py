"""`specflow diff`: experiments by value, with who set each, by any name they have."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specflow.cli.main import main
from specflow.compose import compose
from specflow.compose.inspect.diff import compare
from specflow.compose.inspect.experiment_sources import read_side
from specflow.compose.read.config_folders import folders

SIDES = {
    "overrides": ["digits", "experiment=digits optimizer.lr=1e-3 mesh=fsdp"],
    "experiments": ["digits", "digits_mlp"],
    "targets": [
        "diabetes",
        "experiment=diabetes optimizer={_target_:optax.adam,learning_rate:0.1}",
    ],
    "order_of_parts": [
        "optimizer=wide_and_deep",
        "optimizer=wide_and_deep ~optimizer.parts.wide "
        "+optimizer.parts.wide={paths:['wide*.**'],optimizer:{name:tf_ftrl,lr:0.05}}",
    ],
    "not_sound": ["digits", "experiment=digits optimizer.lr=fast"],
    "not_there": ["digits", "digts"],
    "no_run": ["digits", "run=nowhere"],
}


@pytest.mark.parametrize("name", SIDES)
def test_diff_equals_its_golden_file(name, golden, capsys):
    status = 2 if name in ("not_sound", "not_there", "no_run") else 1
    assert main(["diff", *SIDES[name]]) == status
    printed = capsys.readouterr()
    golden(f"diff/{name}.txt", printed.out + printed.err)


def test_equal_sides_print_nothing(capsys):
    # Said in another order, and with a default that nobody need say.
    sides = ["experiment=digits seed=1 mesh.axes.fsdp=1", "seed=1 experiment=digits"]
    assert main(["diff", *sides]) == 0
    assert capsys.readouterr().out == ""


def test_tools_get_json(capsys):
    sides = ["experiment=digits", "experiment=digits ~spec.eval_metrics.top3 seed=1"]
    assert main(["diff", *sides, "--format", "json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert (answer["a"], answer["b"], answer["status"]) == (*sides, 1)
    seed, top3 = answer["differences"]
    assert seed == {
        "key": "seed",
        "what": "value",
        "a": {"value": 0, "origin": "default"},
        "b": {"value": 1, "origin": "override seed=1"},
    }
    assert top3["key"] == "spec.eval_metrics.top3"
    assert top3["b"] is None
    assert top3["a"]["value"]["k"] == 3


@pytest.fixture
def files(project):
    """Runs as `train` leaves them, and configs of a person's own."""
    given = ["experiment=digits", "optimizer.lr=1e-3", "output.dir=runs/1"]
    one, other = compose(given), compose([*given[:2], "seed=7", "output.dir=runs/2"])
    whole = "\n".join(reversed(one.yaml().split("\nmodel:")))  # Any order.
    mine = "# @package _global_\ndefaults: [/experiment/digits, _self_]\nseed: 7\n"
    return project(
        {
            "runs/1/config.yaml": one.yaml(),
            "runs/1/origins.json": json.dumps(one.origins),
            "runs/2/config.yaml": other.yaml(),
            "whole.yaml": f"model:{whole}",
            "my_conf/experiment/mine.yaml": mine,
            "my_conf/model/small.yaml": "name: cnn\nwidths: [8]\n",
        }
    )


def keys(a, b, **options):
    found = compare(read_side(a, **options), read_side(b, **options))
    return [one.key for one in found]


def test_a_run_is_compared_by_config_not_by_directory(files):
    assert keys("runs/1", "runs/2") == ["seed"]
    assert keys("runs/1", "runs/1/config.yaml") == []
    assert keys("runs/2", "run=runs/1 seed=7") == []


def test_a_run_keeps_the_origins_of_its_values(files):
    (lr,) = compare(read_side("digits"), read_side("runs/1"))
    assert lr.a_origin == "conf/experiment/digits.yaml:17"
    assert lr.b_origin == "override optimizer.lr=1e-3"
    # The second one has lost its note.
    lr, seed = sorted(
        compare(read_side("digits"), read_side("runs/2")), key=lambda one: one.key
    )
    assert seed.b_origin.startswith("runs/2/config.yaml:")


def test_a_file_is_a_choice_of_its_group_or_a_complete_config(files):
    assert keys("my_conf/experiment/mine.yaml", "digits") == ["seed"]
    assert keys("my_conf/model/small.yaml", "model=cnn") == ["model.widths"]
    assert keys("mine", "my_conf/experiment/mine.yaml", config_dirs=["my_conf"]) == []
    assert keys("whole.yaml", "runs/1") == ["output.dir"]


def test_nothing_that_a_run_names_is_imported(files):
    run = files / "runs/1/config.yaml"
    text = run.read_text()
    run.write_text(text.replace("name: cnn", "_target_: nowhere.at.all"))
    found = compare(read_side("runs/1"), read_side("runs/2"))
    assert (found[1].key, found[1].a, found[1].is_kind) == (
        "model", "nowhere.at.all", True,
    )  # fmt: skip


EXPERIMENTS = folders().choices("experiment")
CHANGES = st.sampled_from(
    ["seed=3", "mesh=fsdp", "optimizer=lion", "loop.log_every=7", "data.shuffle=false"]
)


@settings(max_examples=25)
@given(st.sampled_from(EXPERIMENTS), st.lists(CHANGES, unique=True, max_size=3))
def test_diff_is_empty_only_for_equal_experiments(name, changes):
    one, other = f"experiment={name}", " ".join([f"experiment={name}", *changes])
    there, back = keys(one, other), keys(other, one)
    trees = [compose(side.split()).tree for side in (one, other)]
    assert (there == []) == (trees[0] == trees[1])
    assert sorted(there) == sorted(back)
    assert keys(other, other) == []
