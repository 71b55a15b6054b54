"""What is said of rules that do not fit, and of what stays whole, in whole messages."""

import jax
import numpy as np
import pytest

from specflow.config.sections.mesh import AxesConfig, RuleConfig
from specflow.diagnostics.errors import ConfigError
from specflow.diagnostics.rendering import line
from specflow.mesh import LARGE, Partitioner, build_mesh

TABLE = {"vocab": "tensor", "embed": "fsdp", "heads": "tensor", "mlp": "tensor"}
LOGICAL = [{"logical": True}]
FSDP = [{"along": "fsdp"}]

DIAGNOSTICS = {
    "divides_by_place": (
        [{"path": "**.kernel", "dims": [["data", "fsdp"], "tensor"]}],
        {"a.kernel": (12, 16), "b.kernel": (2, 7), "c.kernel": (16,)},
    ),
    "divides_by_name": (
        LOGICAL,
        {f"layers.{n}.k.kernel": (64, 3, "embed", "heads") for n in range(4)}
        | {"embed.embedding": (50_257, 64, "vocab", "embed")},
    ),
    "names_that_do_not_fit": (
        LOGICAL,
        {
            "up.kernel": (64, 64, "embed", "mpl"),
            "experts.kernel": (4, 64, "experts", "embed"),
            "square.kernel": (64, 64, "embed", "embed"),
            "gate.kernel": (2, 64, 64, "heads", "embed", "mlp"),
            "stacked.kernel": (4, 64, 64, "embed", "mlp"),
        },
    ),
}
WARNINGS = {
    "rules_in_vain": (
        [
            {"path": "**.kernal", "along": "fsdp"},
            {"path": "head.**", "along": "fsdp"},
            {"path": "blocks.*.bias"},
            {"path": "blocks.0.**", "logical": True},
            {"along": "fsdp"},
            {"path": "head.kernel", "along": "fsdp"},
        ],
        {"blocks.0.kernel": (8, 8), "head.kernel": (8, 8)},
    ),
    "whole": (
        [{"path": "kept.**"}, *LOGICAL, {"path": "cut.**", "along": "fsdp"}],
        {
            "cut.kernel": (1_000, 1_002),
            "cut.odd": (50_257, 7),
            "kept.kernel": (1_024, 1_024),
            "nobodys.kernel": (1_024, 1_024),
            "positions.embedding": (1_024, 1_024, None, "length"),
            "small.kernel": (512, 511),
        },
    ),
    "nothing": (FSDP, {"cut.kernel": (1_024, 1_024), "small.kernel": (3, 5)}),
}


def partitioner(rules):
    return Partitioner(
        build_mesh(AxesConfig(fsdp=4, tensor=2)),
        [RuleConfig(**rule) for rule in rules],
        {**TABLE, "length": None},
    )


def forms(params):
    """Shapes and names apart."""
    shapes, names = {}, {}
    for path, both in params.items():
        shape = tuple(part for part in both if isinstance(part, int))
        shapes[path] = jax.ShapeDtypeStruct(shape, np.float32)
        if both[len(shape) :]:
            names[path] = both[len(shape) :]
    return shapes, names


@pytest.mark.parametrize("name", DIAGNOSTICS)
def test_everything_that_does_not_fit_is_told_at_once(name, golden):
    rules, params = DIAGNOSTICS[name]
    with pytest.raises(ConfigError) as error:
        partitioner(rules).placements(*forms(params))
    told = "".join(f"{line(diagnostic)}\n" for diagnostic in error.value.diagnostics)
    golden(f"errors/mesh_{name}.txt", told)


@pytest.mark.parametrize("name", WARNINGS)
def test_what_may_not_be_meant_is_a_warning(name, golden):
    rules, params = WARNINGS[name]
    found = partitioner(rules).warnings(*forms(params))
    told = "".join(f"{line(warning, kind='warning')}\n" for warning in found)
    golden(f"errors/mesh_{name}.txt", told)


def test_large_is_a_mebibyte_and_one_number_less_is_small():
    mesh = build_mesh(AxesConfig(tensor=8))
    for count, warnings in ((LARGE // 4, 1), (LARGE // 4 - 1, 0)):
        params = {"a": jax.ShapeDtypeStruct((count,), np.float32)}
        found = [one.code for one in Partitioner(mesh).warnings(params)]
        assert found.count("whole") == warnings


@pytest.mark.parametrize(
    ("rule", "table", "idle"),
    [
        ({"along": "fsdp"}, {}, ["tensor", "sequence"]),
        ({"along": ["tensor", "fsdp"]}, {}, ["sequence"]),
        # Activations may be cut where no parameter is.
        ({"along": "fsdp"}, {"heads": "tensor", "length": "sequence"}, []),
    ],
)
def test_an_axis_along_which_nothing_lies_is_a_warning(rule, table, idle):
    mesh = build_mesh(AxesConfig(fsdp=2, tensor=2, sequence=2))
    params = {"a": jax.ShapeDtypeStruct((8, 8), np.float32)}
    found = Partitioner(mesh, [RuleConfig(**rule)], table).warnings(params)
    assert [line(one, kind="warning") for one in found] == [
        f"warning[mesh-idle] mesh.axes.{axis}: is 2, and nothing lies along it: such "
        "devices hold and compute the same. Expected 1, or a rule or a name in "
        "mesh.logical that goes along it."
        for axis in idle
    ]


def test_copies_are_what_a_data_mesh_is_for():
    params = {"a": jax.ShapeDtypeStruct((1_024, 1_024), np.float32)}
    assert Partitioner(build_mesh(AxesConfig(data=8))).warnings(params) == []


def test_an_axis_that_a_given_mesh_does_not_have_is_named():
    mesh = jax.sharding.Mesh(np.array(jax.devices()), ("data",))
    with pytest.raises(ConfigError) as error:
        Partitioner(
            mesh,
            [RuleConfig(along="fsdp"), RuleConfig(dims=["data", "tensor"])],
            {"embed": ["data", "expert"]},
        )
    assert str(error.value).splitlines() == [
        "mesh.logical.embed: names the axis expert, which the mesh does not have. "
        "Expected one of data.",
        "mesh.rules.0.along: names the axis fsdp, which the mesh does not have. "
        "Expected one of data.",
        "mesh.rules.1.dims.1: names the axis tensor, which the mesh does not have. "
        "Expected one of data.",
    ]
