"""`mesh` sections: rules, logical axes, slices, and the diagnostics of invalid ones."""

import pytest

from specflow.compose import compose
from specflow.config.sections.mesh import MeshConfig
from specflow.diagnostics.errors import ConfigError


def diagnostics(*overrides):
    with pytest.raises(ConfigError) as error:
        compose([f"mesh.{override}" for override in overrides])
    return [
        f"[{diagnostic.code}] {diagnostic}" for diagnostic in error.value.diagnostics
    ]


def test_a_rule_accepts_one_mesh_axis_or_several():
    mesh = compose(
        [
            "+mesh.logical={embed: [data, fsdp], mlp: tensor, layers: null}",
            "mesh.rules=[{path: '**.kernel', dims: [[fsdp, tensor], null]}, "
            "{along: [tensor, fsdp]}]",
        ]
    ).config.mesh
    assert mesh.logical == {"embed": ["data", "fsdp"], "mlp": "tensor", "layers": None}
    assert mesh.rules[0].dims == [["fsdp", "tensor"], None]
    assert (mesh.rules[1].path, mesh.rules[1].along) == ("**", ["tensor", "fsdp"])


def test_the_default_rule_shards_by_logical_axes():
    assert [rule.logical for rule in MeshConfig().rules] == [True]
    assert [rule.path for rule in MeshConfig().rules] == ["**"]


def test_an_override_changes_one_logical_axis():
    mesh = compose(["mesh=fsdp_tensor", "mesh.logical.kv_heads=null"]).config.mesh
    assert mesh.logical["kv_heads"] is None
    assert mesh.logical["heads"] == "tensor"


def test_the_data_axis_follows_the_number_of_slices():
    mesh = compose(["mesh=hybrid", "mesh.slices=4"]).config.mesh
    assert (mesh.slices, mesh.axes.data, mesh.axes.fsdp) == (4, 4, -1)


@pytest.mark.parametrize(
    ("override", "diagnostic"),
    [
        (
            "rules=[{along: fspd}]",
            "[unknown-name] mesh.rules.0.along: got 'fspd' (override "
            "mesh.rules=[{along: fspd}]). Expected one of data, fsdp, tensor, "
            "sequence, expert or a list, each item one of data, fsdp, tensor, "
            "sequence, expert, or null. Did you mean fsdp?",
        ),
        (
            "rules=[{along: [fsdp, 3]}]",
            "[unknown-name] mesh.rules.0.along: got ['fsdp',3] (override "
            "mesh.rules=[{along: [fsdp, 3]}]). Expected one of data, fsdp, tensor, "
            "sequence, expert or a list, each item one of data, fsdp, tensor, "
            "sequence, expert, or null.",
        ),
        (
            "rules=[{dims: [fsdp, [tensor, fsdp]]}]",
            "[rule] mesh.rules.0.dims: got ['fsdp',['tensor','fsdp']] (override "
            "mesh.rules=[{dims: [fsdp, [tensor, fsdp]]}]). Expected fsdp once: a mesh "
            "axis shards one dimension.",
        ),
        (
            "rules=[{along: fsdp, logical: true}]",
            "[rule] mesh.rules.0.logical: got true (override "
            "mesh.rules=[{along: fsdp, logical: true}]). Expected along or logical, "
            "not both.",
        ),
        (
            "logical={batch: data}",
            "[rule] mesh.logical.batch: got 'data' (override mesh.logical={batch: "
            "data}). Expected no entry: batches are sharded the same way on every "
            "mesh.",
        ),
        (
            "logical={mlp: [tensor, tensor]}",
            "[rule] mesh.logical.mlp: got ['tensor','tensor'] (override "
            "mesh.logical={mlp: [tensor, tensor]}). Expected tensor once: a mesh "
            "axis shards one dimension.",
        ),
    ],
)
def test_an_invalid_mesh_is_refused_at_its_own_key(override, diagnostic):
    assert diagnostics(override) == [diagnostic]


def test_slices_that_do_not_divide_the_data_axis_are_refused():
    assert diagnostics("slices=3", "axes.data=4") == [
        "[rule] mesh.slices: got 3 (override mesh.slices=3). Expected a divisor of "
        "mesh.axes.data (4), which spans them."
    ]
