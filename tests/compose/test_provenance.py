from specflow.compose import compose

OWN = """# @package _global_
defaults:
  - override /mesh: fsdp
  - _self_

name: mine
seed: 3
loop:
  train_steps: ${seed}
spec:
  eval_metrics: {accuracy: {weights: features.weight}}
mesh:
  rules:
    - {path: "**.bias"}
"""


def test_the_last_writer_of_a_value_is_named(project):
    project({"mine/experiment/mine.yaml": OWN})
    words = ["experiment=mine", "seed=4", "model.widths.0=8"]
    origins = compose(words, config_dirs=["mine"]).origins
    assert origins["name"] == "mine/experiment/mine.yaml:6"
    assert origins["seed"] == "override seed=4"
    assert origins["loop.train_steps"] == "mine/experiment/mine.yaml:9"
    assert origins["loop.batch_size"] == "conf/loop/default.yaml:4"
    assert origins["mesh.rules"] == "mine/experiment/mine.yaml:13"
    assert origins["mesh.axes.fsdp"] == "conf/mesh/fsdp.yaml:3"
    assert origins["mesh.axes.tensor"] == "default"
    assert origins["model.widths"] == "override model.widths.0=8"
    metric = "spec.eval_metrics.accuracy"
    assert origins[f"{metric}.weights"] == "mine/experiment/mine.yaml:11"
    assert origins[f"{metric}.labels"] == "conf/spec/parts/classes.yaml:10"


def test_choices_have_origins(project):
    project({"mine/experiment/mine.yaml": OWN})
    words = ["experiment=mine", "optimizer=sgd"]
    chosen = compose(words, config_dirs=["mine"]).choice_origins
    assert chosen["mesh"] == "mine/experiment/mine.yaml:3"
    assert chosen["optimizer"] == "override optimizer=sgd"
    assert chosen["data"] == "conf/config.yaml:6"
    assert chosen["experiment"] == "override experiment=mine"


def test_every_leaf_has_an_origin():
    from specflow.runtime.plain_tree import settings

    composed = compose(["experiment=stdlib_lm"])
    paths = [path for path, _ in settings(composed.tree)]
    assert set(composed.origins) == {".".join(path) for path in paths}


def test_an_interpolation_is_resolved_and_a_later_override_counts(project):
    project({"mine/experiment/mine.yaml": OWN})
    composed = compose(["experiment=mine", "seed=7"], config_dirs=["mine"])
    assert composed.config.loop.train_steps == 7
