"""Messages about rules that do not fit, and about large replicated parameters."""

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
    "unused_rules": (
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
    "replicated": (
        [{"path": "kept.**"}, *LOGICAL, {"path": "sharded.**", "along": "fsdp"}],
        {
            "sharded.kernel": (1_000, 1_002),
            "sharded.odd": (50_257, 7),
            "kept.kernel": (1_024, 1_024),
            "unmatched.kernel": (1_024, 1_024),
            "positions.embedding": (1_024, 1_024, None, "length"),
            "small.kernel": (512, 511),
        },
    ),
    "nothing": (FSDP, {"sharded.kernel": (1_024, 1_024), "small.kernel": (3, 5)}),
}


def partitioner(rules):
    return Partitioner(
        build_mesh(AxesConfig(fsdp=4, tensor=2)),
        [RuleConfig(**rule) for rule in rules],
        {**TABLE, "length": None},
    )


def shapes_and_names(params):
    """Splits shapes from dimension names."""
    shapes, names = {}, {}
    for path, both in params.items():
        shape = tuple(part for part in both if isinstance(part, int))
        shapes[path] = jax.ShapeDtypeStruct(shape, np.float32)
        if both[len(shape) :]:
            names[path] = both[len(shape) :]
    return shapes, names


@pytest.mark.parametrize("name", DIAGNOSTICS)
def test_all_rules_that_do_not_fit_are_reported_at_once(name, golden):
    rules, params = DIAGNOSTICS[name]
    with pytest.raises(ConfigError) as error:
        partitioner(rules).placements(*shapes_and_names(params))
    text = "".join(f"{line(diagnostic)}\n" for diagnostic in error.value.diagnostics)
    golden(f"errors/mesh_{name}.txt", text)


@pytest.mark.parametrize("name", WARNINGS)
def test_placements_that_are_probably_not_intended_are_warnings(name, golden):
    rules, params = WARNINGS[name]
    warnings = partitioner(rules).warnings(*shapes_and_names(params))
    text = "".join(f"{line(warning, kind='warning')}\n" for warning in warnings)
    golden(f"errors/mesh_{name}.txt", text)


def test_large_parameters_start_at_one_mebibyte():
    mesh = build_mesh(AxesConfig(tensor=8))
    for count, warnings in ((LARGE // 4, 1), (LARGE // 4 - 1, 0)):
        params = {"a": jax.ShapeDtypeStruct((count,), np.float32)}
        codes = [warning.code for warning in Partitioner(mesh).warnings(params)]
        assert codes.count("whole") == warnings


@pytest.mark.parametrize(
    ("rule", "table", "idle"),
    [
        ({"along": "fsdp"}, {}, ["tensor", "sequence"]),
        ({"along": ["tensor", "fsdp"]}, {}, ["sequence"]),
        # Activations may be sharded where no parameter is.
        ({"along": "fsdp"}, {"heads": "tensor", "length": "sequence"}, []),
    ],
)
def test_an_axis_that_shards_nothing_is_a_warning(rule, table, idle):
    mesh = build_mesh(AxesConfig(fsdp=2, tensor=2, sequence=2))
    params = {"a": jax.ShapeDtypeStruct((8, 8), np.float32)}
    warnings = Partitioner(mesh, [RuleConfig(**rule)], table).warnings(params)
    assert [line(warning, kind="warning") for warning in warnings] == [
        f"warning[mesh-idle] mesh.axes.{axis}: is 2, and nothing is sharded over it: "
        "its devices hold and compute the same. Expected 1, or a rule or a name in "
        "mesh.logical that uses it."
        for axis in idle
    ]


def test_replicated_parameters_on_a_data_mesh_are_not_warned_about():
    params = {"a": jax.ShapeDtypeStruct((1_024, 1_024), np.float32)}
    assert Partitioner(build_mesh(AxesConfig(data=8))).warnings(params) == []


def test_an_axis_that_the_mesh_does_not_have_is_an_error():
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
