"""Whole reports of what is wrong, against golden files.

`pytest tests/compose --update-golden` rewrites them; read the difference before it is
committed.
"""

import pytest

from specflow.cli.main import main

OWN = "--config-dir=mine"

CASES: dict[str, tuple[list[str], dict[str, str]]] = {
    "unknown_field": (["experiment=digits", "optimizer.lrr=3e-4"], {}),
    "unknown_field_forced": (["+optimzer.lr=0.1"], {}),
    "mixtures": (
        [
            "experiment=digits",
            "spec.mix={cutmix: 1}",
            "spec.loss={it: {name: poisson, logits: outputs}}",
        ],
        {},
    ),
    "mixtures_out_of_range": (
        ["experiment=digits", "spec.mix={mixup: 0, share: 2}"],
        {},
    ),
    "mixtures_of_nothing": (["experiment=digits", "spec.mix={share: 1}"], {}),
    "unknown_word": (["experimnt=digits"], {}),
    "unknown_choice": (["mesh=fspd", "optimizer=adamx"], {}),
    "unknown_experiment": (["experiment=digts", "optimizer.lr=fast"], {}),
    "unknown_name": (["optimizer.schedule.name=cosin", "model.name=lstm"], {}),
    "kind_under_another_key": (
        [OWN, "experiment=mine", "seed=-1", "seed=x"],
        {
            "mine/experiment/mine.yaml": "# @package _global_\n"
            "defaults: [/experiment/digits, _self_]\n"
            "data:\n  data:\n    name: digits\n    shufle: true\n"
            "optimizer:\n  class: parts\n  parts:\n"
            "    all: {path: ['**'], optimizer: {name: sgd, lr: fast}}\n"
        },
    ),
    "wrong_types": (
        [
            "optimizer.lr=fast",
            "loop.train_steps=1.5",
            "seed=true",
            "data.shuffle=yes",
            "model.widths=32",
            "model.dtype=float3",
            "output.checkpoint=5",
            "name='a b'",
        ],
        {},
    ),
    "out_of_range": (
        ["seed=-1", "model.dropout=1.0", "model.widths=[]", "loop.batch_size=0"],
        {},
    ),
    "rules_between_words": (
        [
            "experiment=stdlib_lm",
            "data.length=256",
            "loop.batch_size=7",
            "mesh.axes.data=4",
            "optimizer.schedule.warmup_steps=9_000",
            "output.checkpoint.best.metric=perplexty",
        ],
        {},
    ),
    "rules_beside_other_faults": (
        ["experiment=stdlib_lm", "data.length=256", "optimizer.lr=fast", "sede=1"],
        {},
    ),
    "key_paths": (
        [
            "spec.inputs.image=feature.image",
            "spec.loss.cross_entropy.logits=features",
        ],
        {},
    ),
    "undeclared_prediction": (
        ["spec.eval_metrics.top3.scores=predictions.probabilty"],
        {},
    ),
    "missing_values": (["data=npz", "~spec.loss"], {}),
    "delete_nothing": (["~spec.eval_metrics.acuracy", "~nothing"], {}),
    "override_syntax": (["optimizer.lr", "model.widths=[32", "name=a:{"], {}),
    "several_values": (["optimizer.lr=1e-3,1e-2", "mesh=data,fsdp"], {}),
    "interpolation": (["name=${nope}", "output.dir=runs/${optimizer.lrr}"], {}),
    "trust_in_yaml": (
        [OWN, "experiment=mine"],
        {
            "mine/experiment/mine.yaml": "# @package _global_\n"
            "trust: my_package\nrun: runs/1\n"
        },
    ),
    "yaml_syntax": (
        [OWN, "experiment=mine"],
        {"mine/experiment/mine.yaml": "# @package _global_\nloop: {train_steps: 3\n"},
    ),
    "yaml_repeated_key": (
        [OWN, "experiment=mine"],
        {"mine/experiment/mine.yaml": "# @package _global_\nseed: 1\nseed: 2\n"},
    ),
    "yaml_no_mapping": (
        [OWN, "mesh=mine"],
        {"mine/mesh/mine.yaml": "- 1\n- 2\n"},
    ),
    "yaml_values": (
        [OWN, "experiment=mine", "seed=x"],
        {
            "mine/experiment/mine.yaml": "# @package _global_\n"
            "defaults:\n  - override /mesh: fsdp\n  - _self_\n\n"
            "loop:\n  train_stesp: 3\n  batch_size: many\n"
            "mesh:\n  rules:\n    - {path: '**', along: fsdq}\n"
        },
    ),
    "yaml_unknown_choice": (
        [OWN, "experiment=mine"],
        {
            "mine/experiment/mine.yaml": "# @package _global_\n"
            "defaults:\n  - override /mesh: fspd\n  - _self_\n"
        },
    ),
    "yaml_unknown_group": (
        [OWN, "experiment=mine"],
        {
            "mine/experiment/mine.yaml": "# @package _global_\n"
            "defaults:\n  - override /modle: cnn\n  - _self_\n"
        },
    ),
    "group_in_no_defaults_list": (
        [OWN, "extra=one"],
        {"mine/extra/one.yaml": "seed: 1\n"},
    ),
    "yaml_unknown_group_chosen": (
        [OWN, "experiment=mine"],
        {
            "mine/experiment/mine.yaml": "# @package _global_\n"
            "defaults:\n  - /modle: cnn\n  - _self_\n"
        },
    ),
    "yaml_values_that_cannot_be_made": (
        [OWN, "experiment=mine"],
        {
            "mine/experiment/mine.yaml": "# @package _global_\n"
            "seed: !!int fast\nname: !!timestamp 2020-13-45\n? [a, b]\n: 1\n"
        },
    ),
    "yaml_keys_that_are_no_text": (
        [OWN, "experiment=mine"],
        {
            "mine/experiment/mine.yaml": "# @package _global_\non: 1\n"
            "spec:\n  inputs: {no: features.image}\n  loss: {1: {name: poisson}}\n"
        },
    ),
    "yaml_alias_of_itself": (
        [OWN, "experiment=mine"],
        {"mine/experiment/mine.yaml": "# @package _global_\nloop: &a {b: *a}\n"},
    ),
    "one_report": (
        [OWN, "experiment=mine", "model=mpl", "model.hiden=[3]", "seed=-1", "nam=x"],
        {
            "mine/experiment/mine.yaml": "# @package _global_\n"
            "defaults:\n  - override /optimizer: adma\n  - override /dta: digits\n"
            "  - _self_\n\nname: mine\nmesh: {axes: {data: 4}\n"
            "loop:\n  train_steps: 10\n  batch_size: 6\n"
            "optimizer:\n  lr: fast\n  schedule: {name: cosin, warmup_step: 3}\n"
            "spec: [\ndata: {name: digits, shufle: true}\n"
        },
    ),
    "file_without_its_choices": (
        [OWN, "experiment=mine", "model.hidden=[3]", "optimizer.nothing=1", "sede=1"],
        {
            "mine/experiment/mine.yaml": "# @package _global_\n"
            "defaults:\n  - override /model: {mlp\n  - _self_\n\n"
            "loop: {train_stesp: 1}\n"
        },
    ),
    "misspelt_members": (
        [
            "experiment=digits",
            "spec.loss.cros_entropy.weight=2",
            "spec.eval_metrics.tpo3={name: top_k, k: 3}",
            "spec.eval_metrics.accuracy={name: accurcy, lables: labels}",
        ],
        {},
    ),
    "rules_inside_sections": (
        [
            "experiment=stdlib_lm",
            "model.heads=3",
            "model.width=fat",
            "mesh.axes={fsdp: 0, tensor: -1}",
            "mesh.rules=[{path: '**', along: fsdp, dims: [data]}]",
            "output.reporters=[plots,plots]",
        ],
        {},
    ),
    "rules_beside_faults_of_the_same_word": (
        [
            "experiment=digits",
            "spec.eval_metrics.accuracy.undefined=x",
            "spec.eval_metrics.top3.scores=predictions.prob",
            "loop.eval_batch_size=none",
            "loop.batch_size=6",
            "mesh.axes.data=4",
        ],
        {},
    ),
    "a_name_for_a_section": (
        ["optimizer.schedule=cosin", "spec.loss.cross_entropy=softmax_cross_entropy"],
        {},
    ),
    "groups_in_other_ways": (["+model=mlp", "~spec", "data=null", "++mesh=data"], {}),
    "group_twice": (["experiment=wine", "+model=mlp", "seed=x", "model.widht=3"], {}),
    "no_key": (["=3", "~", "+=1"], {}),
    "bare_words": (
        ["digits", "digts", "runs/a", "my_conf/experiment/mine.yaml", "b.yml", "mlp"],
        {
            "runs/a/config.yaml": "name: a\n",
            "my_conf/experiment/mine.yaml": "name: mine\n",
        },
    ),
    "no_config_dir": (["--config-dir=nowhere"], {}),
    "no_run": (["run=runs/nowhere"], {}),
    "exporters": (
        [
            "output.exporters.best={name: bets}",
            "output.exporters.latest={name: latest, keeep: 3}",
            "output.exporters.9={name: final}",
            "output.exporters.final={platforms: [gpu]}",
            "output.exporters.small={name: final, batch: 8}",
        ],
        {},
    ),
    "early_stopping": (
        [
            "loop.early_stopping={name: no_increase, patience_steps: 2 passes}",
            "loop.eval_every=10 minutes",
            "loop.eval_loss=rows",
        ],
        {},
    ),
    "early_stopping_unnamed": (["loop.early_stopping.patience_steps=100"], {}),
    "early_stopping_without_evaluations": (
        ["loop.early_stopping={name: no_decrease, patience_steps: 100}"],
        {},
    ),
    "judging_metrics": (
        [
            "experiment=digits",
            "loop.early_stopping={name: higher, metric: acuracy, threshold: 0.9}",
            "output.exporters.best={name: best, metric: confusion, order: lowest}",
            "output.exporters.other={name: best, metric: top5}",
            "output.checkpoint.best.metric=top",
        ],
        {},
    ),
    "metrics": (
        [
            "spec.eval_metrics.low={name: precision_at_5, scores: outputs, k: 5}",
            "spec.eval_metrics.mid={name: recall_at_k, scores: outputs, k: 0}",
            "spec.eval_metrics.cut={name: threshold_counts, scores: outputs, at: 1}",
            "spec.eval_metrics.9={name: sum, values: outputs}",
            "spec.eval_metrics.top3.undefined=zero",
        ],
        {},
    ),
    "target_untrusted": (["model._target_=os.system"], {}),
    "target_arguments": (
        ["model={_target_: flax.linen.Dense, featurs: 4}"],
        {},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_error_reports_equal_their_golden_files(name, golden, project, capsys):
    words, files = CASES[name]
    project(files)
    assert main(["show", *words]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    golden(f"errors/{name}.txt", printed.err)


def test_a_misspelled_command_suggests_the_nearest(golden, capsys):
    assert main(["trian", "experiment=digits"]) == 2
    golden("errors/unknown_command.txt", capsys.readouterr().err)


def test_every_diagnostic_has_a_code_and_an_origin():
    from specflow.compose import compose
    from specflow.diagnostics.errors import ConfigError

    words, _ = CASES["wrong_types"]
    with pytest.raises(ConfigError) as caught:
        compose(words)
    assert len(caught.value.diagnostics) == len(words)
    for diagnostic in caught.value.diagnostics:
        assert diagnostic.code
        assert diagnostic.origin.startswith("override ")
