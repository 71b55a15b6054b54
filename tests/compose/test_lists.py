"""Items of lists: a layer changes what it names of them, and keeps the rest."""

import copy

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from specflow.compose import compose
from specflow.compose.inspect.diff import as_lines, compare
from specflow.compose.inspect.experiment_sources import read_side
from specflow.compose.inspect.explain import explain
from specflow.compose.merge.config_merger import ConfigMerger
from specflow.compose.read.hydra_repository import BASE
from specflow.compose.read.override_grammar import format_value
from specflow.diagnostics.errors import ConfigError
from specflow.runtime.plain_tree import ABSENT, value_at

FSDP = ["experiment=digits_mlp", "mesh=fsdp"]
ITEM = """# @package _global_
defaults:
  - /experiment/digits_mlp
  - override /mesh: fsdp
  - _self_
mesh:
  rules:
    0:
      path: "**.kernel"
"""


def rules(lines, **more):
    """The rules of a composed mesh, without fields at their defaults."""
    rules = compose(lines, **more).config.mesh.rules
    return [rule.model_dump(exclude_defaults=True) for rule in rules]


def diagnostics(lines):
    with pytest.raises(ConfigError) as refused:
        compose(lines)
    return "\n".join(
        f"[{diagnostic.code}] {diagnostic}" for diagnostic in refused.value.diagnostics
    )


@pytest.mark.parametrize("sign", ["", "+", "++"])
def test_an_override_of_a_field_keeps_the_other_fields_of_the_item(sign):
    assert rules([*FSDP, f"{sign}mesh.rules.0.path='**.kernel'"]) == [
        {"path": "**.kernel", "along": "fsdp"}
    ]


def test_a_mapping_merges_into_a_list_item():
    assert rules([*FSDP, "mesh.rules.0={path: '**.kernel'}"]) == [
        {"path": "**.kernel", "along": "fsdp"}
    ]


def test_a_list_inside_an_item_is_overridden_by_index():
    lines = [
        "mesh.rules=[{dims: [null, [data, fsdp]]}]",
        "mesh.rules.0.dims.1.0=expert",
    ]
    assert rules([*FSDP, *lines]) == [{"dims": [None, ["expert", "fsdp"]]}]


def test_a_field_of_a_list_item_is_deleted():
    assert rules([*FSDP, "~mesh.rules.0.along"]) == [{}]


def test_an_item_of_a_default_list_keeps_its_other_fields():
    assert rules(["experiment=digits_mlp", "mesh.rules.0.path='**.kernel'"]) == [
        {"path": "**.kernel", "logical": True}
    ]
    composed = compose(["experiment=digits_mlp", "spec.train_op.wrt.0='**.kernel'"])
    assert composed.config.spec.train_op.wrt == ["**.kernel"]


def test_a_file_merges_into_an_item(project):
    project({"mine/experiment/mine.yaml": ITEM})
    lines, own = ["experiment=mine"], {"config_dirs": ["mine"]}
    assert rules(lines, **own) == [{"path": "**.kernel", "along": "fsdp"}]
    # What was read of the shipped file is read again, and is what it was.
    assert rules(FSDP) == [{"along": "fsdp"}]
    assert compose(lines, **own).origins["mesh.rules"] == "mine/experiment/mine.yaml:9"
    message = {
        field: str(explain(f"mesh.rules.0.{field}", lines, **own).layers[0].origin)
        for field in ("path", "along")
    }
    assert message == {
        "path": "mine/experiment/mine.yaml:9",
        "along": "conf/mesh/fsdp.yaml:6",
    }


def test_kept_fields_keep_their_origins():
    lines = [*FSDP, "mesh.rules.0.path='**.kernel'"]
    assert compose(lines).origins["mesh.rules"] == f"override {lines[-1]}"
    (kept,) = explain("mesh.rules.0.along", lines).layers
    assert (str(kept.origin), kept.value) == ("conf/mesh/fsdp.yaml:6", "fsdp")
    last, first = explain("mesh.rules.0.path", lines).layers
    assert (str(last.origin), last.value) == (f"override {lines[-1]}", "**.kernel")
    assert (str(first.origin), first.value) == ("conf/mesh/fsdp.yaml:6", "**")


def test_an_error_in_a_kept_field_has_the_origin_of_the_field():
    lines = [*FSDP, "mesh.rules=[{along: fspd}]", "mesh.rules.0.path='**.kernel'"]
    assert diagnostics(lines).startswith(
        "[unknown-name] mesh.rules.0.along: got 'fspd' (override mesh.rules=[{along: "
    )


def test_diff_names_the_origin_of_a_changed_item():
    a, b = "experiment=digits_mlp mesh=fsdp", "mesh.rules.0.path=x"
    (line,) = as_lines(compare(read_side(a), read_side(f"{a} {b}")))
    assert line.split("  # ") == [
        "mesh.rules: [{path:**,dims:null,along:fsdp,logical:false}] -> "
        "[{path:x,dims:null,along:fsdp,logical:false}]",
        f"conf/mesh/fsdp.yaml:5 -> override {b}",
    ]


def test_a_run_is_the_base_of_an_override_of_an_item(tmp_path):
    (tmp_path / "config.yaml").write_text(compose(FSDP).yaml(), encoding="utf-8")
    assert rules([f"run={tmp_path}", "mesh.rules.0.path='**.kernel'"]) == [
        {"path": "**.kernel", "along": "fsdp"}
    ]


def test_an_item_that_the_list_does_not_have_is_refused():
    assert diagnostics([*FSDP, "mesh.rules.1.path=x", "output.reporters.2=plots"]) == (
        "[unknown-key] mesh.rules.1: no such item (override mesh.rules.1.path=x). "
        "Expected the only item, 0. Set the whole list with mesh.rules=[...].\n"
        "[unknown-key] output.reporters.2: no such item (override "
        "output.reporters.2=plots). Expected one of the 2 items, 0 to 1. Set the "
        "whole list with output.reporters=[...]."
    )
    assert "Expected no item, as the list is empty" in diagnostics(
        ["output.reporters=[]", "output.reporters.0=plots"]
    )


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("output.reporters={}", "[type] output.reporters: got {} (override "),
        ("mesh.rules={}", "[type] mesh.rules: got {} (override "),
        ("mesh.rules.0.path={}", "[type] mesh.rules.0.path: got {} (override "),
        ("loop.train_steps={}", "[type] loop.train_steps: got {} (override "),
        ("loop.train_steps=[]", "[type] loop.train_steps: got [] (override "),
        ("mesh.axes=[]", "[type] mesh.axes: got [] (override "),
        ("mesh.logical=[]", "[type] mesh.logical: got [] (override "),
        ("spec.eval_metrics=[]", "[type] spec.eval_metrics: got [] (override "),
        ("optimizer.schedule=[]", "[missing] optimizer.schedule: got [] (override "),
    ],
)
def test_an_empty_container_of_another_type_is_refused(override, message):
    """OmegaConf refuses these too: it cannot merge a mapping with a list."""
    assert diagnostics([*FSDP, override]).startswith(f"{message}{override})")


def test_an_empty_mapping_in_a_file_over_a_list_is_refused(project):
    project({"mine/experiment/mine.yaml": f"{ITEM}output: {{reporters: {{}}}}\n"})
    with pytest.raises(ConfigError, match=r"output.reporters: got {} \(mine/.*:10:10"):
        compose(["experiment=mine"], config_dirs=["mine"])


NAMES = st.sampled_from(["a", "b", "c"])
SCALARS = st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["x", "y z"])
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3)
    ),
    max_leaves=8,
)
PATHS = st.lists(NAMES | st.sampled_from(["0", "1", "2"]), min_size=1, max_size=4).map(
    lambda path: ["a", *path[1:]] if path[0].isdecimal() else path
)


def holds(found, value):
    """Whether all that a value says stands in what was found."""
    if not (isinstance(found, dict) and isinstance(value, dict)):
        return found == value
    return all(holds(found.get(key, ABSENT), inner) for key, inner in value.items())


@settings(max_examples=300)
@given(st.dictionaries(NAMES, VALUES), st.lists(st.tuples(PATHS, VALUES), max_size=3))
def test_overrides_merge_as_those_of_omegaconf(tree, overrides):
    """Ground truth: `OmegaConf.update(..., merge=True)`, which Hydra applies.

    What OmegaConf refuses for its type is left to Pydantic, so the value must stand in
    the tree as it was given.
    """
    merger, parser = ConfigMerger(copy.deepcopy(tree)), OverridesParser.create()
    expected = OmegaConf.create(tree)
    for path, value in overrides:
        key = ".".join(path)
        try:
            OmegaConf.update(expected, key, value, merge=True, force_add=True)
        except (OmegaConfBaseException, TypeError, ValueError, IndexError):
            merger.apply_overrides(
                parser.parse_overrides([f"{key}={format_value(value)}"])
            )
            found = value_at(merger.tree, path)
            assert holds(found, value) or (found is ABSENT and merger.diagnostics)
            return
        merger.apply_overrides(parser.parse_overrides([f"{key}={format_value(value)}"]))
        assert merger.tree == OmegaConf.to_container(expected)
        assert not merger.diagnostics


def test_overrides_merge_as_those_of_hydra(project):
    root = project({"conf/config.yaml": "rules: [{a: 1, b: {c: [1, {d: 2, e: 3}]}}]\n"})
    lines = ["rules.0.b.c.1.d=x", "rules.0.a=[1,2]", "rules.0.a.1=z", "+rules.0.n=5"]
    with initialize_config_dir(str(root / "conf"), **BASE):
        expected = OmegaConf.to_container(hydra_compose("config", lines))
    merger = ConfigMerger()
    merger.merge_file(root / "conf/config.yaml", "config.yaml")
    merger.apply_overrides(OverridesParser.create().parse_overrides(lines))
    assert merger.tree == expected
    assert expected == {
        "rules": [{"a": [1, "z"], "b": {"c": [1, {"d": "x", "e": 3}]}, "n": 5}]
    }
