"""`specflow explain`: whole texts against golden files; `--update-golden` rewrites."""

import json

import pytest

from specflow.cli.main import main
from specflow.compose import compose
from specflow.compose.inspect.explain import explain
from specflow.compose.inspect.section_docs import fields_about
from specflow.compose.read.config_folders import folders
from specflow.compose.section_types import ROOT, Slot
from specflow.config.base import Config, Target
from specflow.config.experiment import ExperimentConfig
from specflow.runtime.plain_tree import settings

TEXTS = {
    "field_alone": ["optimizer.lr"],
    "field_of_some_kinds": ["optimizer.momentum"],
    "field_in_experiment": [
        "optimizer.lr", "experiment=digits", "optimizer.lr=3e-4",
    ],
    "section": ["model", "experiment=digits_mlp", "model.dropout=0.1"],
    "section_without_kinds": ["loop", "experiment=digits"],
    "section_of_another_kind": [
        "optimizer.schedule", "experiment=digits", "optimizer.schedule.name=linear",
    ],
    "metrics": ["spec.eval_metrics", "experiment=digits"],
    "field_of_a_metric": ["spec.eval_metrics.top3.k", "experiment=digits"],
    "name_of_a_kind": ["spec.predictions.class.name", "experiment=digits"],
    "name_of_any_kind": ["loop.early_stopping.name"],
    "name_in_a_mapping": ["spec.inputs.image", "experiment=digits"],
    "item_of_a_list": ["mesh.rules.0.along", "mesh=fsdp"],
    "group": ["experiment"],
    "experiment": [],
    "choice_of_a_group": ["optimizer=sgd"],
    "choice_in_an_experiment": ["experiment=digits", "optimizer=sgd", "seed=3"],
    "choice_with_a_mistake": ["sweep=tpe", "sweep.trial=3"],
    "several_choices": ["optimizer=sgd", "mesh=fsdp"],
    "run": ["run"],
    "launcher_of_words": ["hydra/launcher=specflow_ray"],
    "option_of_a_launcher": ["hydra.launcher.pack"],
    "misspelt_option_of_a_launcher": ["hydra.launcher.worker"],
    "setting_of_hydra": ["hydra.sweeper"],
    "argument_of_a_target": [
        "optimizer.b1", "optimizer={_target_:optax.adam,learning_rate:0.1,b1:0.5}",
    ],
    "argument_of_a_part": [
        "data.parts.a.n", "data=mixture", "+data.parts.a={_target_:my_rows.read,n:9}",
    ],
    "taken_away": ["mesh.rules", "mesh=fsdp", "~mesh.rules"],
    "wrong_value": ["optimizer.lr", "optimizer.lr=fast"],
    "misspelt_key": ["optimzer.lr"],
    "misspelt_field": ["optimizer.lrr"],
    "field_of_other_kinds": ["optimizer.momentum", "experiment=digits"],
    "name_that_is_not_there": ["spec.loss.entropy", "experiment=digits"],
    "below_a_leaf": ["seed.x"],
    "two_keys": ["seed", "name"],
    "fault_elsewhere": ["seed", "experiment=digits", "optimizer.lrr=1"],
}  # fmt: skip
MISTAKES = {
    "wrong_value", "misspelt_key", "misspelt_field", "field_of_other_kinds",
    "choice_with_a_mistake",
    "name_that_is_not_there", "below_a_leaf", "two_keys",
    "misspelt_option_of_a_launcher", "setting_of_hydra",
}  # fmt: skip


@pytest.mark.parametrize("name", TEXTS)
def test_explanations_equal_their_golden_files(name, golden, capsys):
    assert main(["explain", *TEXTS[name]]) == (2 if name in MISTAKES else 0)
    printed = capsys.readouterr()
    golden(f"explain/{name}.txt", printed.out + printed.err)
    assert all(len(line) <= 88 for line in printed.out.splitlines())


def test_explain_reports_an_unknown_experiment(capsys):
    assert main(["explain", "seed", "experiment=digts"]) == 2
    message = capsys.readouterr().err
    assert message.startswith(
        "error[unknown-choice] experiment: no choice named 'digts'"
    )


def test_tools_get_the_same_as_json(capsys):
    words = ["optimizer.lr", "experiment=digits", "optimizer.lr=3e-4"]
    assert main(["explain", *words, "--format", "json"]) == 0
    explanation = json.loads(capsys.readouterr().out)
    assert explanation["takes"] == "a number > 0"
    assert explanation["value"] == 3e-4
    assert explanation["layers"] == [
        {"origin": "override optimizer.lr=3e-4", "value": 3e-4},
        {"origin": "conf/experiment/digits.yaml:17:3", "value": 2e-3},
        {"origin": "conf/optimizer/adamw.yaml:4:1", "value": 1e-3},
    ]


@pytest.mark.parametrize("name", folders().choices("experiment"))
def test_every_leaf_of_every_experiment_can_be_explained(name):
    """Its value and who set it are those that `show` prints."""
    lines = [f"experiment={name}"]
    composed = compose(lines)
    for path in [path for path, _ in settings(composed.tree)][::7]:
        key = ".".join(path)
        explanation = explain(key, lines)
        value = composed.tree
        for part in path:
            value = value[part]
        assert explanation.about, key
        assert explanation.takes or explanation.choices, key
        top = str(explanation.layers[0].origin) if explanation.layers else "default"
        assert top == composed.origins[key]
        if not explanation.fields:
            assert explanation.value == value


def sections(slot, seen):
    """Every section that can stand anywhere in an experiment."""
    for kind in slot.members().values():
        yield from sections(Slot(kind), seen)
    for part in slot.parts():
        if isinstance(part.annotation, type) and issubclass(part.annotation, Config):
            if part.annotation not in seen and part.annotation is not Target:
                seen.add(part.annotation)
                yield part.annotation
                for field in part.annotation.model_fields.values():
                    yield from sections(Slot.of_field(field), seen)
        elif (child := part.child("0", None)) is not None and not slot.kinds:
            yield from sections(child, seen)


def test_every_field_is_documented():
    known = list(sections(ROOT, set()))
    assert ExperimentConfig in known
    assert len(known) > 80  # Every optimizer, metric and loss is among them.
    silent = [
        f"{section.__name__}.{key}"
        for section in known
        for key in {field.alias or name for name, field in section.model_fields.items()}
        if key not in fields_about(section)
        and not (key == "name" and section is not ExperimentConfig)
    ]
    assert silent == []


def test_a_field_of_a_plugin_has_its_own_description():
    """A class made from a signature has no source to read."""
    from pydantic import Field, create_model

    made = create_model(
        "Made", __base__=Config, width=(int, Field(default=3, description="How wide."))
    )
    assert fields_about(made) == {"width": "How wide."}
