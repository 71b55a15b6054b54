"""A mistake that changes how the rest is read hides no other."""

import numpy as np
import pytest

from specflow.compose import compose
from specflow.diagnostics.errors import ConfigError

HEAD = "# @package _global_\ndefaults:\n  - /experiment/wine\n  - _self_\n"
FILE = "mine/experiment/own.yaml"


@pytest.fixture
def report(project):
    """Lines of the report on an experiment file."""

    def of(text, *words, name="experiment=own", more=(), **options):
        project({FILE: text, **dict(more)})
        with pytest.raises(ConfigError) as refused:
            compose([name, *words], config_dirs=["mine"], **options)
        return [
            f"{one.where} {one.origin} {one.hint.partition(' Fields of')[0]}".strip()
            for one in refused.value.diagnostics
        ]

    return of


@pytest.mark.parametrize(
    ("line", "column", "hint"),
    [
        ("batch_size = 32", 3, "Write batch_size: 32."),
        ('compute_dtype: ""float32"', 20, 'Write compute_dtype: "float32".'),
        ("batch_size: 32: 64", 17, "Write batch_size: 32."),
        ("batch_size: [32", 15, "Write batch_size: 32."),
        ("batch_size: 'rows", 15, "Write batch_size: 'rows'."),
        ("- batch_size: 32", 3, "Write batch_size: 32."),
        ("micro_steps: 1", 3, "Remove it here, or at line 6."),
    ],
)
def test_an_invalid_line_hides_no_key_of_its_section(report, line, column, hint):
    before = "micro_steps: 1" if "micro" in line else "train_steps: 9"
    text = f"{HEAD}loop:\n  {before}\n  {line}\n  eval_evry: 5\n"
    assert report(text) == [
        f"{FILE} {FILE}:7:{column} {hint}",
        f"loop.eval_evry {FILE}:8:3 Did you mean loop.eval_every?",
    ]


def test_the_line_that_is_indented_oddly_is_the_wrong_one(report):
    text = f"{HEAD}optimizer:\n   lr: 0.1\n  b1: 0.8\nseed: x\n"
    assert report(text) == [
        f"{FILE} {FILE}:6:4 Indent it by 2 spaces.",
        f"seed {FILE}:8:1",
    ]


def test_a_pair_that_is_repeated_in_braces_hides_no_other(report):
    text = f"{HEAD}loop: {{batch_size: 32, eval_evry: 5, batch_size: 64}}\n"
    assert report(text) == [
        f"{FILE} {FILE}:5:38 Remove it here, or earlier in the braces.",
        f"loop.eval_evry {FILE}:5:24 Did you mean loop.eval_every?",
    ]


def test_two_sections_that_are_invalid_are_both_repaired(report):
    loop, mesh = "loop:\n  batch_size = 32\n  eval_every: 9", "mesh:\n  cpu: 'plain"
    assert sorted(report(f"{HEAD}{loop}\n{mesh}\nseed: x\n")) == [
        f"{FILE} {FILE}:6:3 Write batch_size: 32.",
        f"{FILE} {FILE}:9:8 Write cpu: 'plain'.",
        f"seed {FILE}:10:1",
    ]


def test_a_repaired_line_is_reported_once(report):
    """What stands there is a guess: nothing is said of its value."""
    text = f"{HEAD}loop:\n  batch_size = none\n  eval_every: x\n"
    assert report(text) == [
        f"{FILE} {FILE}:6:3 Write batch_size: none.",
        f"loop.eval_every {FILE}:7:3",
    ]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("--config=own", "experiment=own"),
        ("--experiment=own", "experiment=own"),
        ("experiment:own", "experiment=own"),
        ("+experiment=own", "experiment=own"),
    ],
)
def test_an_experiment_that_is_named_by_no_override_is_read(report, name, hint):
    first, *rest = report(f"{HEAD}seed: x\n", name=name)
    assert first.endswith(f" override {name} Did you mean {hint}?")
    assert rest == [f"seed {FILE}:5:1"]


def test_an_override_that_cannot_be_parsed_still_selects(report):
    """The optimizer is known, and so are its fields."""
    assert report(HEAD, "optimizer==sgd", "optimizer.b1=0.9") == [
        "optimizer override optimizer==sgd Did you mean optimizer=sgd?",
        "optimizer.b1 override optimizer.b1=0.9 It is a field of "
        + report(HEAD, "optimizer=sgd", "optimizer.b1=0.9")[0].partition("field of ")[
            2
        ],
    ]


@pytest.mark.parametrize(
    ("entry", "hint"),
    [
        ("/model: cnn", "model {at} Write override /model: cnn."),
        ("override /model@models: cnn", "model {at} Did you mean override /model?"),
        ("override/model: cnn", "defaults {at} Did you mean override /model?"),
    ],
)
def test_an_entry_of_a_defaults_list_is_read_as_its_hint_suggests(report, entry, hint):
    """The CNN has widths, the MLP of the root config has none."""
    head = f"# @package _global_\ndefaults:\n  - override /data: digits\n  - {entry}\n"
    spec = "  - override /spec: classification\n  - _self_\n"
    text = f"{head}{spec}model:\n  outputs: 10\n  widhts: [8]\n"
    assert report(text) == [
        hint.format(at=f"{FILE}:4:5"),
        f"model.widhts {FILE}:9:3 Did you mean model.widths?",
    ]


@pytest.mark.parametrize("entry", ["/experiment: base", "override /experiment: base"])
def test_an_experiment_that_chooses_another_extends_it(report, entry):
    """The override would have no effect: the command line has chosen."""
    base = "mine/experiment/base.yaml"
    text = f"# @package _global_\ndefaults:\n  - {entry}\n  - _self_\n"
    assert report(text, more={base: f"{HEAD}seed: x\n"}) == [
        f"defaults {FILE}:3:5 Did you mean /experiment/base?",
        f"seed {base}:5:1",
    ]


def test_a_section_that_a_null_empties_is_checked_as_it_was(report):
    more = {"mine/data/rows.yaml": "name: wine\nshufle: true\n"}
    head = "# @package _global_\ndefaults:\n  - override /data: rows\n"
    text = f"{head}  - override /spec: classification\n  - _self_\ndata:\n"
    hint = "Did you mean data.shuffle?"
    null, of_file = f"data {FILE}:6:1", f"data.shufle mine/data/rows.yaml:2:1 {hint}"
    assert report(text, more=more) == [null, of_file]
    # On the null alone, a part of the section is none.
    assert report(text, "data.split_seed=0", more=more) == [null, of_file]


def test_a_section_that_a_text_replaces_is_checked_as_it_was(report):
    assert report(f"{HEAD}loop:\n  train_steps:9\n", "loop.eval_evry=3") == [
        f"loop {FILE}:5:1 Write train_steps: 9.",
        "loop.eval_evry override loop.eval_evry=3 Did you mean loop.eval_every?",
    ]


def test_a_key_that_is_unknown_needs_no_value(report):
    text = f"{HEAD}data:\n  shufle: ???\n  eval_fraction: ???\n"
    assert report(text) == [
        f"data.eval_fraction {FILE}:7:3 Set it: data.eval_fraction=...",
        f"data.shufle {FILE}:6:3 Did you mean data.shuffle?",
    ]


def test_the_items_of_a_list_are_the_keys_of_a_section(report):
    text = f"{HEAD}loop:\n  - train_steps: 9\n  - eval_every: 3\n"
    meant = "Did you mean {train_steps: 9, eval_every: 3}?"
    assert report(text) == [f"loop {FILE}:5:1 Remove the dashes. {meant}"]


def test_a_line_without_a_repair_hides_no_key_of_its_section(report):
    text = f"{HEAD}loop:\n  eval_every: {{{{ steps }}}} x\n  eval_evry: 5\n"
    assert report(text) == [
        f"{FILE} {FILE}:6:27",
        f"loop.eval_evry {FILE}:7:3 Did you mean loop.eval_every?",
    ]


def test_another_component_replaces_a_null(project):
    project({FILE: f"{HEAD}data:\n"})
    composed = compose(["experiment=own", "data={name: wine}"], config_dirs=["mine"])
    assert composed.config.data.name == "wine"


def test_a_section_whose_name_has_another_key_is_checked(report):
    text = (
        f"{HEAD}spec:\n  eval_metrics:\n"
        "    a: {type: accuracy, prediction: predictions.class}\n"
    )
    key = "spec.eval_metrics.a"
    assert report(text) == [
        f"{key} {FILE}:7:9 Did you mean {key}.name?",
        f"{key}.predictions {FILE}:7:5",
        f"{key}.prediction {FILE}:7:25 Did you mean {key}.predictions?",
    ]


@pytest.mark.parametrize("key", ["class", "type", "nam"])
def test_a_kind_under_another_key_replaces_that_of_the_default(report, key):
    """The parts are no mistake: they are fields of the kind that is meant."""
    text = (
        f"{HEAD}optimizer:\n  {key}: parts\n  parts:\n    all:\n"
        '      paths: ["**"]\n      optimizer: {name: sgd, lr: x, mometum: 0.9}\n'
    )
    inner = "optimizer.parts.all.optimizer"
    assert report(text) == [
        f"optimizer.{key} {FILE}:6:3 Did you mean optimizer.name?",
        f"{inner}.lr {FILE}:10:30",
        f"{inner}.mometum {FILE}:10:37 Did you mean {inner}.momentum?",
    ]


def test_values_of_the_default_kind_are_no_mistakes_of_the_one_that_is_meant(report):
    """The hidden layers of the CNN are a number, those of the MLP a list."""
    more = {"mine/model/net.yaml": "name: cnn\nwidths: [8]\nhidden: 16\n"}
    head = "# @package _global_\ndefaults:\n  - /experiment/digits\n"
    text = f"{head}  - override /model: net\n  - _self_\nmodel:\n  kind: mlp\n"
    assert report(f"{text}  dropout: x\n", more=more) == [
        f"model.dropout {FILE}:8:3",
        f"model.kind {FILE}:7:3 Did you mean model.name?",
    ]


def test_a_key_that_no_kind_has_is_compared_with_the_kind_that_is_meant(report):
    text = f"{HEAD}optimizer:\n  kind: rmsprop\n  centred: true\n"
    assert report(text) == [
        f"optimizer.kind {FILE}:6:3 Did you mean optimizer.name?",
        f"optimizer.centred {FILE}:7:3 Did you mean optimizer.centered?",
    ]


@pytest.mark.parametrize("form", ["name:", "name="])
def test_a_name_without_a_space_hides_nothing_in_its_braces(report, form):
    key, inner = "spec.eval_metrics.m", "predictions: class, labls: labels"
    text = f"{HEAD}spec:\n  eval_metrics:\n    m: {{{form}accuracy, {inner}}}\n"
    assert report(text) == [
        f"{key} {FILE}:7:9 Write name: accuracy.",
        f"{key}.predictions {FILE}:7:24 Did you mean predictions.class?",
        f"{key}.labls {FILE}:7:44 Did you mean {key}.labels?",
    ]


@pytest.mark.parametrize("name", ["", "  name: wine\n"])
def test_a_section_inside_itself_hides_none_of_its_mistakes(report, name):
    text = f"{HEAD}data:\n{name}  data:\n    name: digits\n    split_sed: 3\n"
    row = 6 + bool(name)
    hint = "Did you mean data? Move its keys up: they are merged into data already."
    assert report(f"{text}    shuffle: x\n") == [
        f"data.data {FILE}:{row}:3 {hint}",
        f"data.shuffle {FILE}:{row + 3}:5",
        f"data.split_sed {FILE}:{row + 2}:5 Did you mean data.split_seed?",
    ]


def test_a_section_inside_itself_may_be_of_another_kind(report):
    text = f"{HEAD}optimizer:\n  optimizer: {{name: sgd, lr: 0.1, momentum: x}}\n"
    hint = "Move its keys up: they are merged into optimizer already."
    assert report(text) == [
        f"optimizer.optimizer {FILE}:6:3 Did you mean optimizer? {hint}",
        f"optimizer.momentum {FILE}:6:35",
    ]


def test_overrides_of_one_key_are_all_reported(report):
    words = ["seed=-1", "seed=x", "optimizer.lrr=1", "seed=y", "optimizer.lrr=2"]
    near = "Did you mean optimizer.lr?"
    assert report(HEAD, *words) == [
        "seed override seed=y",
        f"optimizer.lrr override optimizer.lrr=2 {near}",
        "seed override seed=x",
        "seed override seed=-1",
        f"optimizer.lrr override optimizer.lrr=1 {near}",
    ]


def test_an_override_that_a_valid_one_replaces_is_no_mistake(project):
    project({FILE: HEAD})
    words = ["experiment=own", "seed=x", "seed=3"]
    assert compose(words, config_dirs=["mine"]).config.seed == 3


def test_a_pair_without_its_space_is_no_dimension(report):
    text = f"{HEAD}mesh:\n  logical: {{layers:null}}\n"
    assert report(text) == [f"mesh.logical.layers:null {FILE}:6:13 Write layers: null."]


def test_files_that_do_not_exist_are_reported_with_wrong_values(report, tmp_path):
    np.savez(tmp_path / "rows.npz", x=np.zeros((8, 3)), labels=np.zeros(8, np.int32))
    words = ("data=npz", "data.train=row.npz", "data.eval=rows.npz")
    where = "data.train override data.train=row.npz Did you mean rows.npz?"
    wrong = f"seed {FILE}:5:1"
    text = f"{HEAD}seed: x\n"
    assert report(text, *words, reads_data=True) == [wrong, where]
    assert report(text, *words) == [wrong]
    folder = ("data=text", "data.root=nowhere")
    assert report(text, *folder, reads_data=True) == [
        wrong,
        "data.root override data.root=nowhere "
        "Relative paths start from the working directory.",
    ]
