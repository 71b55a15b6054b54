"""Suggestions for a key that its section does not have, or for a name.

What a suggestion is worth is what happens when it is followed: the tests replace the
key by the suggested one and compose again.
"""

import re
from collections import Counter

import pytest

from specflow.cli.main import main
from specflow.compose import compose
from specflow.compose.inspect.section_fields import EXPERIMENT
from specflow.compose.key_hints import key_hint
from specflow.compose.other_frameworks import _TABLE
from specflow.diagnostics.errors import ConfigError, is_slip
from specflow.runtime.plain_tree import settings, value_at

WINE = "experiment=wine"


def message(*lines):
    """The report of a composition, without the lists of fields and choices."""
    with pytest.raises(ConfigError) as raised:
        compose([WINE, *lines])
    return re.sub(r" (Fields of|Choices:|Groups:) [^.]*\.", "", str(raised.value))


def suggested(*lines):
    """The text between `Did you mean` and the question mark, or None."""
    found = re.search(r"Did you mean (.*?)\?", message(*lines))
    return found and found[1]


MISPLACED = [
    ("train_steps=100", "loop.train_steps"),
    ("lr=0.1", "optimizer.lr"),
    ("mesh.fsdp=1", "mesh.axes.fsdp"),
    ("optimizer.warmup_steps=5", "optimizer.schedule.warmup_steps"),
    ("output.keep=2", "output.checkpoint.keep"),
    ("model.lr=0.1", "optimizer.lr"),
    ("data.batch_size=32", "loop.batch_size"),
    ("loop.weight_decay=0.1", "optimizer.weight_decay"),
    ("optimizer.schedule.lr=0.1", "optimizer.lr"),
    ("output.checkpoint.dir=x", "output.dir"),
    ("model.model={name: mlp, outputs: 3}", "model"),
    ("optimizer.decay=0.9", "optimizer.ema.decay"),
    ("loop.seed=3", "seed"),
    ("tran_steps=100", "loop.train_steps"),
    ("outputs=3", "model.outputs"),
]
CAPITALS = [
    ("loop.TRAIN_STEPS=3", "loop.train_steps"),
    ("mesh.axes.FSDP=1", "mesh.axes.fsdp"),
    ("optimizer.LR=0.1", "optimizer.lr"),
    ("loop.train-steps=3", "loop.train_steps"),
]
OTHER_FRAMEWORKS = [
    ("epochs=30", "loop.epochs"),
    ("loop.max_epochs=30", "loop.epochs"),
    ("learning_rate=0.1", "optimizer.lr"),
    ("optimizer.learning_rate=0.1", "optimizer.lr"),
    ("max_steps=100", "loop.train_steps"),
    ("loop.max_steps=100", "loop.train_steps"),
    ("loop.steps=100", "loop.train_steps"),
    ("precision=bfloat16", "loop.compute_dtype"),
    ("gradient_accumulation_steps=1", "loop.micro_steps"),
    ("max_grad_norm=1.0", "optimizer.clip_norm"),
    ("num_classes=3", "model.outputs"),
    ("output_dir=x", "output.dir"),
    ("save_total_limit=2", "output.checkpoint.keep"),
    ("optimizer.beta1=0.8", "optimizer.b1"),
    ("random_state=3", "seed"),
    ("mesh.model=1", "mesh.axes.tensor"),
    ("mesh.axes.model=1", "mesh.axes.tensor"),
]
SECTIONS = [
    ("trainer.max_steps=9", "loop.train_steps"),
    ("training.lr=0.1", "optimizer.lr"),
    ("train.batch_size=32", "loop.batch_size"),
]
KIND = [("optimizer.type=adamw", "optimizer.name"), ("model.type=mlp", "model.name")]


@pytest.mark.parametrize(
    ("line", "meant"), [*MISPLACED, *CAPITALS, *OTHER_FRAMEWORKS, *SECTIONS, *KIND]
)
def test_a_suggested_key_takes_the_value(line, meant):
    assert suggested(line) == meant
    value = line.partition("=")[2]
    composed = compose([WINE, f"{meant}={value}"])
    assert any(key == meant or key.startswith(f"{meant}.") for key in composed.origins)


def misplaced():
    """Every field of an experiment with a name of its own, in every wrong section."""
    tree = compose([WINE]).tree
    leaves = [path for path, _ in settings(tree) if path[0] not in ("spec", "name")]
    names = Counter(path[-1] for path in leaves)
    for path in leaves:
        for section in ("", "data", "loop", "mesh", "model", "optimizer", "output"):
            known = set(tree[section] if section else tree)
            if names[path[-1]] == 1 and path[-1] not in known and len(path) > 1:
                yield section, path, value_at(tree, path)


def test_every_field_is_suggested_from_every_wrong_section():
    tree, count = compose([WINE]).tree, 0
    for section, path, value in misplaced():
        known = [*(tree[section] if section else tree)]
        wrong = (section, path[-1]) if section else (path[-1],)
        if any(is_slip(path[-1], other) for other in known):
            continue
        hint = key_hint(wrong, known, tree, value)
        assert hint == f"Did you mean {'.'.join(path)}?", wrong
        count += 1
    assert count > 100


def test_a_section_that_is_null_is_suggested_as_a_whole():
    line = "loop.patience_steps=30"
    meant = "loop.early_stopping={name: no_decrease, patience_steps: 30}"
    assert suggested(line) == meant
    assert compose([WINE, meant]).tree["loop"]["early_stopping"]["patience_steps"] == 30


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "num_train_epochs=30",
            "num_train_epochs: no such field (override num_train_epochs=30). Did you "
            "mean loop.epochs?",
        ),
        (
            "loop.device=cuda",
            "loop.device: no such field (override loop.device=cuda). Devices are "
            "selected with JAX_PLATFORMS=cpu, cuda or tpu; mesh=... selects how they "
            "share the work.",
        ),
        (
            "data.num_workers=4",
            "data.num_workers: no such field (override data.num_workers=4). There are "
            "no loader workers: batches are read ahead in a background thread.",
        ),
        (
            "class_weight=balanced",
            "class_weight: no such field (override class_weight=balanced). Weights are "
            "a column of the data: spec.loss.<name>.example_weights=features.<name> "
            "weights the examples of a loss.",
        ),
        (
            "patience=3",
            "patience: no such field (override patience=3). Did you mean "
            "loop.early_stopping? Early stopping is a section: loop.early_stopping="
            "{name: no_decrease, metric: loss, patience_steps: 1000}.",
        ),
        (
            "model.layers=2",
            "model.layers: no such field (override model.layers=2). It is a field of "
            "transformer, decoder, vit.",
        ),
        (
            "model.num_layers=2",
            "model.num_layers: no such field (override model.num_layers=2). It is "
            "layers of transformer, decoder, vit.",
        ),
        (
            "data.path=x",
            "data.path: no such field (override data.path=x). It is files of text, "
            "table, array_record, npy, tfrecord.",
        ),
        (
            "model.colour=2",
            "model.colour: no such field (override model.colour=2).",
        ),
    ],
)
def test_unknown_keys_are_answered_with_what_to_use(line, expected):
    assert message(line) == expected


def test_the_advice_for_early_stopping_is_valid():
    advice = re.search(r"section: (.*)\.$", message("patience=3"))
    assert advice is not None
    tree = compose([WINE, advice[1]]).tree
    assert tree["loop"]["early_stopping"]["patience_steps"] == 1000


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("scheduler=cosine", "optimizer.schedule={name: cosine}"),
        ("loop.optimizer=sgd", "optimizer={name: sgd}"),
    ],
)
def test_the_name_of_a_kind_is_suggested_as_its_section(line, meant):
    assert suggested(line) == meant
    assert compose([WINE, meant])


def test_fields_of_the_nearest_section_come_first():
    """`keep` is a field of checkpoints, of the best ones and of exporters."""
    best = "+output.checkpoint.best={metric: accuracy, order: highest}"
    assert suggested(best, "output.keep=3") == "output.checkpoint.keep"
    assert suggested(best, "spec.keep=3") == "output.checkpoint.keep"


def test_an_abbreviation_in_its_own_section_comes_before_other_frameworks():
    name = "+loop.early_stopping.name=no_decrease"
    meant = "loop.early_stopping.patience_steps"
    with pytest.raises(ConfigError) as raised:
        compose([WINE, name, "loop.early_stopping.patience=30"])
    hints = [one.hint for one in raised.value.diagnostics]
    assert any(hint.startswith(f"Did you mean {meant}? ") for hint in hints)
    assert compose([WINE, name, f"{meant}=30"])


def test_a_field_of_a_section_is_not_suggested_for_a_value():
    assert suggested("loop.model=2") is None


@pytest.mark.parametrize("here", [one.path for one in _TABLE if one.path])
def test_every_counterpart_of_other_frameworks_exists(here):
    places = [EXPERIMENT]
    for key in here.split("."):
        places = [inner for place in places for inner in place.inside(key)]
    assert places


@pytest.mark.parametrize("names", _TABLE.values())
def test_no_name_of_another_framework_is_listed_twice(names):
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("num_epochs", "loop.epochs"),
        ("loop.max_epochs", "loop.epochs"),
        ("learning_rate", "optimizer.lr"),
        ("train_steps", "loop.train_steps"),
        ("momentum", "optimizer.momentum"),
    ],
)
@pytest.mark.parametrize("lines", [(), (WINE, "optimizer=sgd")])
def test_explain_answers_alike(key, meant, lines, capsys):
    assert main(["explain", key, *lines]) == 2
    assert f"Did you mean {meant}?" in capsys.readouterr().err
    assert main(["explain", meant, *lines]) == 0


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("optimizer={name: AdamW}", "adamw"),
        ("+spec.eval_metrics.z={name: acc}", "accuracy"),
        ("optimizer=SGD", "optimizer=sgd"),
        ("model=MLP", "model=mlp"),
        ("optimizer=adam.yaml", "optimizer=adam"),
        ("model=mlp.yml", "model=mlp"),
        (
            "spec.eval_metrics.accuracy.predictions=predictions.clas",
            "predictions.class",
        ),
        ("spec.eval_metrics.accuracy.predictions=predictions.nope", None),
        ("spec.eval_metrics.accuracy.predictions=losses.zzz", None),
        (
            "+loop.early_stopping={name: no_decrease, patience_steps: 9, "
            "metric: eval_metrics.accuracy}",
            "accuracy",
        ),
        ("loop.train_steps=5k", "5000"),
        ("loop.train_steps='1.5M'", "1500000"),
        ("loop.train_steps=1.0005k", None),  # No whole number.
        ("optimizer.lr=10%", "0.1"),
        ("output.checkpoint.every=10 min", "10m"),
        ("output.checkpoint.every='2 hours'", "2h"),
        ("optimizer.lr=0,001", "optimizer.lr=0.001"),
        ("loop.batch_size=16,32", None),
        ("optimizer.lr='1,5'", "1.5"),
        ("optimizer.lr='1,000'", None),
        ("model.hidden=(64,32)", "model.hidden=[64,32]"),
        ("model.hidden=[64;32]", "model.hidden=[64,32]"),
        ("model.hidden=[64 32]", "[64,32]"),
        ("model.hidden=[a b]", None),
        ("loop.eval_every=sometimes", None),
        ("loop.eval_every=numbers", None),
    ],
)
def test_only_values_are_suggested_for_a_value(line, meant):
    assert suggested(line) == meant


@pytest.mark.parametrize("hole", ["${nope}", "???"])
def test_items_after_one_without_a_value_keep_their_places(hole):
    with pytest.raises(ConfigError) as raised:
        compose([WINE, f"model.hidden=[8,'{hole}',4,x]"])
    places = [diagnostic.where for diagnostic in raised.value.diagnostics]
    assert places == ["model.hidden.1", "model.hidden.3"]
