"""A section that changes its kind: the new kind takes the fields that it knows.

What is expected of each pair of kinds is what Pydantic says of the new kind's class
when it is given one field at a time.
"""

import json
from itertools import product
from typing import Annotated, Literal, get_args, get_origin

import pytest
from pydantic import TypeAdapter, ValidationError

from specflow.cli import main
from specflow.compose import compose
from specflow.compose.merge.config_merger import ConfigMerger
from specflow.compose.section_types import ROOT, Slot
from specflow.config.base import TARGET, Target
from specflow.diagnostics.errors import ConfigError
from specflow.sweep.hydra_jobs import sweep

SIMPLE = [1, 2, 0.5, "x", True, "outputs", "features.x", "loss", "1", "float32"]


def sample(slot, depth=0):
    """A value that a slot takes."""
    if slot.kinds:
        name = next(name for name in slot.kinds.members if name != TARGET)
        return section_of(name, slot.kinds.members[name])
    part = slot.parts()[0].annotation
    tries = [*get_args(part)] if get_origin(part) is Literal else [*SIMPLE]
    if depth < 3 and (child := slot.child("x", None)) is not None:
        inner = sample(child, depth + 1)
        tries += [[inner], [inner] * 3, {"x": inner}, {"1": inner}]
    section = slot.section(None)
    for full in (False, True):
        tries += [section_of(None, section, full=full)] if section else []
    return next(value for value in tries if is_taken(slot, value))


def is_taken(slot, value):
    kind = Annotated[slot.annotation, *slot.metadata, None]
    try:
        TypeAdapter(kind).validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


def section_of(name, cls, *, full=False):
    """A section with its required fields, and with values in all others if `full`."""
    made = {} if name is None else {"name": name}
    for key, field in cls.model_fields.items():
        if key == "name" or not (full or field.is_required()):
            continue
        slot = Slot.of_field(field)
        if field.is_required() or field.default is None:
            made[key] = sample(slot)
        elif field.default_factory is None:
            made[key] = field.default
    return made


def unions():
    """Every path at which a `name` tells kinds apart, found by walking the types."""
    found, around, seen = {}, {}, set()

    def walk(slot, path, names):
        kinds = slot.kinds
        if kinds is not None:
            if id(kinds.members) in seen:
                return
            seen.add(id(kinds.members))
            found[path], around[path] = kinds, names
        sections = {**kinds.members} if kinds else {None: slot.section(None)}
        for name, section in sections.items():
            if section is None or issubclass(section, Target):
                continue
            inside = {**names, path: name} if name else names
            for key, field in section.model_fields.items():
                walk(Slot.of_field(field), (*path, key), inside)
        if not any(sections.values()) and slot.is_mapping:
            walk(slot.child("it", None), (*path, "it"), names)
        elif not any(sections.values()) and (child := slot.child(0, None)) is not None:
            walk(child, (*path, "0"), names)

    walk(ROOT, (), {})
    return found, around


UNIONS, AROUND = unions()
"""By path: the kinds there, and the names of the sections that they are in."""
PATHS = [path for path, kinds in UNIONS.items() if len(kinds.members) > 1]


def test_every_union_is_known():
    assert {".".join(path) for path in PATHS} >= {
        "model",
        "spec",
        "spec.predictions.it",
        "spec.loss.it",
        "spec.eval_metrics.it",
        "spec.export_outputs.it",
        "data",
        "optimizer",
        "optimizer.schedule",
        "loop.early_stopping",
        "output.exporters.it",
    }


def written(path, section):
    for place in range(len(path) - 1, -1, -1):
        section = {path[place]: section}
        if name := AROUND[path].get(path[:place]):
            section["name"] = name
    return section


def laid(tmp_path, path, below, above):
    """Two files, merged one after the other."""
    merger = ConfigMerger()
    for shown, section in (("below.yaml", below), ("above.yaml", above)):
        file = tmp_path / shown
        file.write_text(json.dumps(written(path, section)))
        merger.merge_file(file, shown)
    section = merger.tree
    for key in path:
        section = section[key]
    return merger, section


def takes(cls, key, value):
    """Whether a class takes a field with this value, whatever else it needs."""
    if key not in cls.model_fields:
        return False
    try:
        cls.model_validate({"name": cls.model_fields["name"].default, key: value})
    except ValidationError as error:
        return not any(
            detail["loc"][0] == key
            for detail in error.errors()
            if detail["loc"] and detail["type"] not in ("missing", "rule")
        )
    return True


@pytest.mark.parametrize("path", PATHS, ids=".".join)
def test_the_new_kind_keeps_the_fields_that_it_accepts_and_drops_the_rest(
    path, tmp_path
):
    members = {
        name: cls
        for name, cls in UNIONS[path].members.items()
        if not issubclass(cls, Target)
    }
    full = {name: section_of(name, cls, full=True) for name, cls in members.items()}
    required = {name: section_of(name, cls) for name, cls in members.items()}
    calls = {"spec": "model_fn"}.get(path[-1])
    for old, (new, cls) in product(members, members.items()):
        if old == new or calls in (old, new):
            continue
        below, above = full[old], required[new]
        merger, section = laid(tmp_path, path, below, above)
        fields = {key: it for key, it in below.items() if key not in {"name", *above}}
        kept = {key: it for key, it in fields.items() if takes(cls, key, it)}
        assert section == {**kept, **above}, (old, new)
        dropped = {one.key.rpartition(".")[2]: one for one in merger.dropped}
        assert dropped.keys() == fields.keys() - kept.keys(), (old, new)
        for key, one in dropped.items():
            assert one.value == fields[key]
            assert one.origin.source == "below.yaml"
            assert one.reason == f"{'.'.join(path)} is {new}"
            assert one.cause.source == "above.yaml"
        for key in kept:
            assert merger.origins.leaf((*path, key)).source == "below.yaml"


CALLABLE = [path for path in PATHS if TARGET in UNIONS[path].members]


@pytest.mark.parametrize("path", CALLABLE, ids=".".join)
def test_a_kind_over_a_target_and_a_target_over_a_kind(path, tmp_path):
    members = UNIONS[path].members
    target = {TARGET: "my_package.thing", "no_such_field": 1}
    for name, cls in members.items():
        if issubclass(cls, Target):
            continue
        own = section_of(name, cls)
        merger, section = laid(tmp_path, path, target, own)
        assert section == own, name
        assert [one.key.rpartition(".")[2] for one in merger.dropped] == [
            "no_such_field"
        ]
        merger, section = laid(tmp_path, path, own, target)
        assert section == target, name
        assert {one.key.rpartition(".")[2] for one in merger.dropped} == (
            own.keys() - {"name"}
        )
    other = {TARGET: "my_package.other", "mine": 2}
    assert laid(tmp_path, path, target, other)[1] == other


def test_an_argument_of_a_target_may_be_called_name(tmp_path):
    named = {TARGET: "my_package.load", "name": "imagenet", "split": "train"}
    assert laid(tmp_path, ("data",), named, {"name": "digits"})[1] == {
        **named,
        "name": "digits",
    }
    unnamed = {TARGET: "my_package.load", "split": "train"}
    assert laid(tmp_path, ("data",), unnamed, {"name": "imagenet"})[1] == {
        **unnamed,
        "name": "imagenet",
    }


def test_a_declared_spec_and_a_model_fn_replace_each_other(tmp_path):
    declared = section_of("declared", UNIONS["spec",].members["declared"])
    mine = {"model_fn": "my_package.model_fn", "params": {"width": 3}}
    assert laid(tmp_path, ("spec",), declared, mine)[1] == mine
    assert laid(tmp_path, ("spec",), mine, declared)[1] == declared


MLP = """# @package _global_
defaults:
  - override /data: digits
  - override /spec: classification
  - override /model: cnn
  - _self_
spec: {inputs: {x: features.image}}
model: {name: mlp, hidden: [32]%s}
"""


def both(composed):
    model = composed.tree["model"]
    dropped = {one.key: str(one.origin) for one in composed.dropped}
    return model["name"], model["hidden"], model["outputs"], dropped


WIDTHS = {"model.widths": "conf/model/cnn.yaml:4"}


def test_a_file_of_the_users_own_changes_the_kind(project):
    project({"mine/experiment/small.yaml": MLP % ""})
    composed = compose(["experiment=small"], config_dirs=["mine"])
    assert both(composed) == ("mlp", [32], 10, WIDTHS)
    assert composed.origins["model.outputs"] == "conf/model/cnn.yaml:6"
    project({"mine/experiment/small.yaml": MLP % ", widths: [3]"})
    with pytest.raises(ConfigError) as caught:
        compose(["experiment=small"], config_dirs=["mine"])
    assert [(one.where, one.origin) for one in caught.value.diagnostics] == [
        ("model.widths", "mine/experiment/small.yaml:8:34")
    ]


@pytest.mark.parametrize(
    "lines",
    [
        ["model.name=mlp", "model.hidden=[32]"],
        ["model.hidden=[32]", "model.name=mlp"],
        ["model={name: mlp, hidden: [32]}"],
        ["model.name=linear", "model.name=mlp", "model.hidden=[32]"],
    ],
    ids=" ".join,
)
def test_the_command_line_changes_the_kind_in_any_order(lines):
    name, hidden, outputs, dropped = both(compose(["experiment=digits", *lines]))
    assert (name, hidden, outputs) == ("mlp", [32], 10)
    assert dropped == WIDTHS
    with pytest.raises(ConfigError, match=r"model.widths: no such field \(override"):
        compose(["experiment=digits", *lines, "model.widths=[3]"])


def test_an_optimizer_of_a_part_changes_its_kind():
    wide = "optimizer.parts.wide.optimizer"
    lines = ["experiment=breast_cancer_wide_and_deep", f"{wide}.beta=0.5"]
    with pytest.raises(ConfigError, match=f"{wide}.beta: no such field"):
        compose([*lines, f"{wide}.name=sgd"])
    made = compose([*lines[:1], f"{wide}.name=sgd"]).tree["optimizer"]["parts"]["wide"]
    assert (made["optimizer"]["name"], made["optimizer"]["lr"]) == ("sgd", 0.05)


def test_changing_a_kind_and_back_on_the_command_line_drops_nothing():
    composed = compose(["experiment=digits", "model.name=mlp", "model.name=cnn"])
    assert composed.tree == compose(["experiment=digits"]).tree
    assert composed.dropped == ()


def test_a_value_that_no_kind_accepts_is_an_error(project):
    project({"mine/optimizer/bad.yaml": "name: adamw\nlr: -1\nweight_decay: 0.1\n"})
    lines = ["experiment=digits_mlp", "optimizer=bad", "~optimizer.lr"]
    assert compose(lines, config_dirs=["mine"]).tree["optimizer"]["lr"] == 1e-3
    own = "# @package _global_\ndefaults: [digits_mlp]\noptimizer: {lr: -1}\n"
    project({"mine/experiment/bad.yaml": own})
    with pytest.raises(ConfigError, match=r"optimizer.lr: got -1 \(mine/experiment"):
        compose(["experiment=bad", "optimizer.name=sgd"], config_dirs=["mine"])


def test_a_choice_on_the_command_line_is_not_dropped_for_a_file(project):
    """The experiment's file goes on top of the choice, and names another kind."""
    own = "# @package _global_\ndefaults: [digits]\noptimizer: {name: sgd}\n"
    project({"mine/experiment/mine.yaml": own})
    with pytest.raises(ConfigError, match=r"optimizer.weight_decay: no such field"):
        compose(["experiment=mine", "optimizer=adamw"], config_dirs=["mine"])


def test_each_job_of_a_sweep_drops_for_its_own_kind(project):
    project({})
    found = {}

    def task(composed):
        found[composed.tree["model"]["name"]] = both(composed)[-1]
        return {}

    sweep(["experiment=digits", "model.name=mlp,cnn"], task)
    hidden = {"model.hidden": "conf/model/cnn.yaml:5"}
    assert found == {"mlp": WIDTHS | hidden, "cnn": {}}


def test_a_run_changes_its_kind_when_it_is_the_base(project):
    folder = project({})
    (folder / "run").mkdir()
    composed = compose(["experiment=digits"])
    (folder / "run/config.yaml").write_text(composed.yaml())
    again = compose(["run=run", "model.name=mlp", "optimizer.name=lion"])
    assert again.tree["model"]["dropout"] == 0.3
    assert again.origins["model.dropout"].startswith("run/config.yaml:")
    assert again.tree["optimizer"]["lr"] == 2e-3
    keys = {one.key for one in again.dropped}
    assert {"model.widths", "model.hidden", "optimizer.eps"} <= keys


def test_show_lists_dropped_fields_with_their_origins(capsys):
    assert main.main(["show", "experiment=digits", "model.name=mlp"]) == 0
    lines = capsys.readouterr().out.splitlines()
    by = "model is mlp (override model.name=mlp)"
    assert lines[-2:] == [
        f"# dropped: model.widths=[32,64] (conf/model/cnn.yaml:4): {by}",
        f"# dropped: model.hidden=128 (conf/model/cnn.yaml:5): {by}",
    ]
    assert (
        main.main(["show", "experiment=digits", "model.name=mlp", "--format=json"]) == 0
    )
    dropped = json.loads(capsys.readouterr().out)["dropped"]
    assert dropped[1] == {
        "key": "model.hidden",
        "value": 128,
        "origin": {"file": "conf/model/cnn.yaml", "line": 5, "column": 1},
        "by": {"override": "model.name=mlp"},
    }


def test_explain_lists_the_dropped_value_below_a_default(capsys):
    words = ["explain", "model.hidden", "experiment=digits", "model.name=mlp"]
    assert main.main(words) == 0
    message = capsys.readouterr().out
    assert (
        "set by   override model.name=mlp\nover     128  conf/model/cnn.yaml:5:1"
        in message
    )


def test_a_run_logs_the_dropped_fields(capsys):
    words = ["check", "experiment=digits_mlp", "optimizer.name=sgd"]
    assert main.main(words) == 0
    assert capsys.readouterr().err.startswith(
        "note: dropped optimizer.weight_decay=0.0001 (conf/optimizer/adamw.yaml:6), "
        "optimizer.no_decay=[**.bias,**.scale] (conf/optimizer/adamw.yaml:8): "
        "optimizer is sgd (override optimizer.name=sgd)\n"
    )
