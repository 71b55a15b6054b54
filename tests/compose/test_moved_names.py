"""Former dotted paths of specflow's own names, in configs and in old runs."""

import importlib
from pathlib import Path

import pytest

from specflow.compose import compose
from specflow.compose.check.targets import resolve
from specflow.compose.moved_names import MOVED
from specflow.diagnostics.errors import ConfigError

RENAMES = Path(__file__).parents[2] / "docs" / "design" / "renames.md"


@pytest.mark.parametrize(("former", "name"), MOVED.items())
def test_every_moved_module_is_documented_and_can_be_imported(former, name):
    assert f"| `{former}` | `{name}` |" in RENAMES.read_text(encoding="utf-8")
    assert importlib.import_module(name)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(former)


@pytest.mark.parametrize(
    ("former", "name"),
    [
        ("specflow.heads.MultiClassHead", "specflow.tf.heads.MultiClassHead"),
        ("specflow.metrics.mean", "specflow.tf.metrics.mean"),
        ("specflow.model.zoo.linear.Linear", "specflow.model.zoo.linear_model.Linear"),
        ("specflow.optimizer.tf_adam", "specflow.tf.optimizers.adam"),
    ],
)
def test_a_target_that_moved_is_refused_with_its_new_path(former, name):
    assert str(resolve("model._target_", former)) == (
        f"model._target_: {former!r} has moved. Expected {name}. "
        f"On the command line: model._target_={name}."
    )


def test_a_misspelled_name_has_not_moved():
    refusal = str(resolve("spec.eval_metrics.a._target_", "specflow.metrics.Acuracy"))
    assert "has moved" not in refusal
    assert "Did you mean specflow.metrics.Accuracy?" in refusal


def test_a_run_whose_config_names_a_moved_target_is_refused_with_the_new_path(
    project,
):
    name = "specflow.model.zoo.linear_model.Linear"
    model = f"model={{_target_: {name}, inputs: 64, outputs: 10}}"
    text = compose(["experiment=digits", model]).yaml()
    text = text.replace("zoo.linear_model.", "zoo.linear.")
    folder = project({"old/config.yaml": text})
    place = text.splitlines().index("  _target_: specflow.model.zoo.linear.Linear")
    with pytest.raises(ConfigError) as raised:
        compose([f"run={folder / 'old'}"])
    (diagnostic,) = raised.value.diagnostics
    assert diagnostic.where == "model._target_"
    assert diagnostic.problem == "'specflow.model.zoo.linear.Linear' has moved"
    assert diagnostic.expected == "specflow.model.zoo.linear_model.Linear"
    assert diagnostic.origin == f"old/config.yaml:{place + 1}:3"
    assert (
        compose([f"run={folder / 'old'}", f"model._target_={name}"]).config.model
        is not None
    )
