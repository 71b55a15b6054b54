"""Mistakes of users of Lightning, Keras, Hydra, MaxText and LightningCLI.

Each row is a mistake and its whole report, without the lists of fields and choices, and
what the report says to write instead, which must be valid.
"""

import re

import pytest

from specflow.cli.command import usage
from specflow.cli.main import main
from specflow.compose import compose
from specflow.diagnostics.errors import ConfigError

AT = "mine/experiment/own.yaml"
WINE = "# @package _global_\ndefaults:\n  - /experiment/wine\n  - _self_\n"


def report(error):
    lists = r" (Fields of|Choices:|Groups:) [^.]*\."
    return [re.sub(lists, "", str(one)) for one in error.value.diagnostics]


TYPED = [
    (
        ["optimizer.lr", "=", "0.1"],
        "optimizer.lr: cannot be parsed: token recognition error at: ' ' (override "
        "optimizer.lr = 0.1). Did you mean optimizer.lr=0.1?",
        ["optimizer.lr=0.1"],
    ),
    (
        ["model@net=linear"],
        "model: is in no defaults list, so there is no choice to change (override "
        "model@net=linear). Did you mean model=linear?",
        ["model=mlp"],
    ),
    (
        ["loop.early_stopping=None"],
        "loop.early_stopping: got 'None' (override loop.early_stopping=None). Expected "
        "a section with a name (higher, lower, no_decrease, no_increase), or null. Did "
        "you mean null?",
        ["loop.early_stopping=null"],
    ),
    (
        ["loop.early_stopping=false"],
        "loop.early_stopping: got false (override loop.early_stopping=false). Expected "
        "a section with a name (higher, lower, no_decrease, no_increase), or null. Did "
        "you mean null?",
        ["loop.early_stopping=null"],
    ),
    (
        ["loop.compute_dtype=bf16-mixed"],
        "loop.compute_dtype: got 'bf16-mixed' (override loop.compute_dtype=bf16-mixed)."
        " Expected one of float32, bfloat16, float16, or null. Did you mean bfloat16?",
        ["loop.compute_dtype=bfloat16"],
    ),
    (
        ["'optimizer.lr=0.1'"],
        "'optimizer.lr: cannot be parsed: token recognition error at: ''' (override "
        "'optimizer.lr=0.1'). Did you mean optimizer.lr=0.1?",
        ["optimizer.lr=0.1"],
    ),
    (
        ["optimizer.betas=[0.8,0.9]"],
        "optimizer.betas: no such field (override optimizer.betas=[0.8,0.9]). They are "
        "two fields: optimizer.b1 and optimizer.b2.",
        ["optimizer.b1=0.8", "optimizer.b2=0.9"],
    ),
    (
        ["config=digits"],
        "config: no such field (override config=digits). An experiment is chosen by "
        "name: experiment=digits.",
        ["experiment=digits"],
    ),
    (
        ["ici_fsdp_parallelism=4"],
        "ici_fsdp_parallelism: no such field (override ici_fsdp_parallelism=4). Did "
        "you mean mesh.axes.fsdp?",
        ["mesh.axes.fsdp=4"],
    ),
    (
        ["output.dir=${env:HOME}"],
        "output.dir: cannot be resolved: Unsupported interpolation type env (override "
        "output.dir=${env:HOME}). Did you mean ${oc.env:...}?",
        ["output.dir=${oc.env:HOME}"],
    ),
    (
        ["+spec.eval_metrics.f={name: f1_score, predictions: predictions.class}"],
        "spec.eval_metrics.f.name: got 'f1_score' (override +spec.eval_metrics.f={name:"
        " f1_score, predictions: predictions.class}). Expected one of accuracy, auc, "
        "average_precision_at_k, bits_per_byte, bucketed_auc, confusion_matrix, "
        "cosine_distance, f1, iou, mae, mean, mean_tensor, mse, per_class_accuracy, "
        "perplexity, precision, precision_at_k, r2, recall, recall_at_k, "
        "relative_error, rmse, sensitivity_at_specificity, specificity_at_sensitivity,"
        " sum, threshold_counts, top_k. Did you mean f1?",
        ["+spec.eval_metrics.f={name: f1, predictions: predictions.class}"],
    ),
    (
        ["loop.eval_every='60*5'"],
        "loop.eval_every: got '60*5' (override loop.eval_every='60*5'). Expected a "
        "whole number >= 0, epochs such as 0.5 epochs, or a time such as 30s, 10m, 2h. "
        "Did you mean 300?",
        ["loop.eval_every=300", "loop.train_steps=600"],
    ),
]


@pytest.mark.parametrize(("lines", "expected", "meant"), TYPED)
def test_an_override_of_another_program_is_answered(lines, expected, meant):
    with pytest.raises(ConfigError) as error:
        compose(["experiment=wine", *lines])
    assert report(error) == [expected]
    assert compose(["experiment=wine", *meant])


WRITTEN = [
    (
        "optimizer:\nlr: 0.1\n",
        "lr: no such field ({}:6:1). Did you mean optimizer.lr? Indent it, below "
        "optimizer.",
        "optimizer:\n  lr: 0.1\n",
    ),
    (
        "output:\n  reporters:\n    -tensorboard\n    -plots\n",
        "output.reporters: got '-tensorboard -plots' ({}:6:3). Expected a list, each "
        "item one of tensorboard, plots, mlflow, trackio, wandb. Did you mean "
        "['tensorboard','plots']?",
        "output:\n  reporters:\n    ['tensorboard','plots']\n",
    ),
    (
        "data: {split_seed: !!python/int 3}\n",
        "mine/experiment/own.yaml: is not valid YAML: could not determine a constructor"
        " for the tag 'tag:yaml.org,2002:python/int' ({}:5:20). Remove the tag: a value"
        " is written without its type.",
        "data: {split_seed: 3}\n",
    ),
    (
        "loop: {eval_every: '${loop.trainsteps}'}\n",
        "loop.eval_every: cannot be resolved: Interpolation key 'loop.trainsteps' not "
        "found ({}:5:8). Did you mean ${{loop.train_steps}}?",
        "loop: {eval_every: '${loop.train_steps}'}\n",
    ),
    (
        "seed: ${loop.micro_steps}\n",
        "seed: cannot be resolved: Interpolation key 'loop.micro_steps' not found "
        "({}:5:1). It has its default; an interpolation needs a value: set "
        "loop.micro_steps.",
        "seed: ${loop.micro_steps}\nloop: {micro_steps: 1}\n",
    ),
    (
        "loop: {eval_every: '${loop.train_steps'}\n",
        "loop.eval_every: cannot be resolved: no viable alternative at input "
        "'${{loop.train_steps' ({}:5:8). Close it: ${{loop.train_steps}}.",
        "loop: {eval_every: '${loop.train_steps}'}\n",
    ),
    (
        "seed: ${SPECFLOW_SEED}\n",
        "seed: cannot be resolved: Interpolation key 'SPECFLOW_SEED' not found "
        "({}:5:1). Did you mean ${{oc.env:SPECFLOW_SEED}}? As a number: "
        "${{oc.decode:${{oc.env:SPECFLOW_SEED}}}}.",
        "seed: ${oc.decode:${oc.env:SPECFLOW_SEED,3}}\n",
    ),
    (
        "seed: ${oc.env:SPECFLOW_SEED}\n",
        "seed: cannot be resolved: KeyError raised while resolving interpolation: "
        "\"Environment variable 'SPECFLOW_SEED' not found\" ({}:5:1). Set it, or write "
        "what to use without it: ${{oc.env:SPECFLOW_SEED,...}}.",
        "seed: ${oc.decode:${oc.env:SPECFLOW_SEED,3}}\n",
    ),
    (
        "loop: {eval_every: '${div:200,2}'}\n",
        "loop.eval_every: cannot be resolved: Unsupported interpolation type div "
        "({}:5:8). Interpolations do not calculate; there are hydra, now, oc.create, "
        "oc.decode, oc.deprecated, oc.dict.keys, oc.dict.values, oc.env, oc.select, "
        "python_version.",
        "loop: {eval_every: 100}\n",
    ),
    (
        "model: {class_path: flax.nnx.Linear, in_features: 13, out_features: 3}\n",
        "model.class_path: no such field ({}:5:9). Did you mean model._target_?",
        "model: {_target_: flax.nnx.Linear, in_features: 13, out_features: 3}\n",
    ),
]


@pytest.mark.parametrize(("text", "expected", "meant"), WRITTEN)
def test_a_line_of_another_programs_config_is_answered(project, text, expected, meant):
    project({AT: WINE + text})
    with pytest.raises(ConfigError) as error:
        compose(["experiment=own"], config_dirs=["mine"])
    assert report(error)[0] == expected.format(AT)
    project({AT: WINE + meant})
    assert compose(["experiment=own"], config_dirs=["mine"])


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("path: a.csv", "Did you mean data.files?"),
        ("target: kind", "Did you mean data.labels?"),
        (
            "test_size: 0.2",
            "Did you mean data.split? It has a share for each part: data.split={eval: "
            "0.2}.",
        ),
    ],
)
def test_the_names_of_tables_elsewhere_are_answered(key, meant):
    with pytest.raises(ConfigError) as error:
        compose(["experiment=table", f"data={{{key}}}"])
    name = key.partition(":")[0]
    assert report(error) == [
        f"data.{name}: no such field (override data={{{key}}}). {meant}"
    ]


@pytest.mark.parametrize(
    ("file", "folder", "advice"),
    [
        (
            "mine/experiments/own.yaml",
            "mine",
            "Rename the folder mine/experiments to mine/experiment.",
        ),
        ("mine/own.yaml", "mine", "Move mine/own.yaml to mine/experiment/."),
        (
            "mine/experiment/own.yaml",
            "mine/experiment",
            "Name the folder above: --config-dir mine.",
        ),
    ],
)
def test_a_file_outside_of_its_groups_folder_is_found(project, file, folder, advice):
    project({file: WINE})
    with pytest.raises(ConfigError) as error:
        compose(["experiment=own"], config_dirs=[folder])
    assert report(error) == [
        f"experiment: no choice named 'own' (override experiment=own). {advice}"
    ]


def test_a_root_config_without_experiments_is_named(project):
    project({"mine/config.yaml": "defaults: [model: mlp, _self_]\n", AT: WINE})
    with pytest.raises(ConfigError) as error:
        compose(["experiment=own"], config_dirs=["mine"])
    assert report(error)[0] == (
        "experiment: is in no defaults list, so there is no choice to change (override "
        "experiment=own). Add - experiment: null to the defaults of mine/config.yaml."
    )


def test_dashes_before_an_override_are_answered(capsys):
    assert main(["show", "experiment=wine", "--optimizer.lr=0.1"]) == 2
    expected = usage(
        "specflow show",
        "unrecognized arguments: --optimizer.lr=0.1",
        hint="Did you mean optimizer.lr=0.1? specflow show --help says what it takes.",
    )
    assert capsys.readouterr().err == f"error[usage] {expected}\n"
