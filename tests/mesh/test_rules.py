"""Sharding rules: the first match wins; by path, by size, by dimension names."""

import pytest

from specflow.config.sections.mesh import RuleConfig
from specflow.mesh import Rules

SIZES = {"data": 2, "fsdp": 4, "tensor": 3, "sequence": 1, "expert": 1}
TABLE = {"embed": "fsdp", "mlp": "tensor", "vocab": ["data", "fsdp"], "layers": None}


def placed(shape, *rules, path="blocks.0.kernel", names=None, table=TABLE, sizes=SIZES):
    rules = Rules([RuleConfig(**rule) for rule in rules], table, sizes)
    return rules.place(path, shape, names)


def axes(*args, **kwargs):
    """Axes of each dimension, joined by +."""
    return tuple("+".join(along) for along in placed(*args, **kwargs).axes)


def test_the_first_rule_that_matches_wins():
    kernel = {"path": "**.kernel", "dims": ["fsdp", None]}
    rest = {"path": "**", "along": "fsdp"}
    assert axes((8, 16), kernel, rest) == ("fsdp", "")
    assert axes((8, 16), rest, kernel) == ("", "fsdp")
    placement = placed((8, 16), kernel, rest)
    assert (placement.rule, placement.number) == ("**.kernel", 0)
    assert axes((16,), kernel, rest, path="blocks.0.bias") == ("fsdp",)


def test_a_parameter_without_a_matching_rule_is_replicated():
    placement = placed((8, 16), {"path": "head.**", "along": "fsdp"})
    assert (placement.axes, placement.rule, placement.number) == (((), ()), "", None)
    assert placement.is_replicated


def test_a_rule_without_axes_replicates_what_later_rules_would_shard():
    placement = placed(
        (8,), {"path": "**.bias"}, {"path": "**", "along": "fsdp"}, path="a.bias"
    )
    assert (placement.axes, placement.rule) == (((),), "**.bias")


# -- by size


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((8, 16), ("", "fsdp")),  # The largest.
        ((16, 8), ("fsdp", "")),
        ((8, 8), ("", "fsdp")),  # Of equals the last.
        ((16, 10), ("fsdp", "")),
        ((10, 8), ("", "fsdp")),  # The largest does not divide by 4.
        ((3, 3, 4, 12), ("", "", "", "fsdp")),
        ((4,), ("fsdp",)),
    ],
)
def test_along_shards_the_largest_dimension_that_the_axis_divides(shape, expected):
    assert axes(shape, {"path": "**", "along": "fsdp"}) == expected


@pytest.mark.parametrize("shape", [(3, 5), (), (2,), (0,)])
def test_along_replicates_what_no_axis_divides_and_gives_the_reason(shape):
    placement = placed(shape, {"path": "**", "along": "fsdp"})
    assert placement.axes == ((),) * len(shape)
    assert placement.rule == "** (replicated: no dimension divides by 4)"


def test_along_an_axis_of_size_one_shards_nothing():
    placement = placed((8, 16), {"path": "**", "along": "sequence"})
    assert (placement.axes, placement.rule) == (((), ()), "**")


@pytest.mark.parametrize(
    ("shape", "expected", "note"),
    [
        ((24, 16), ("tensor", "fsdp"), ""),  # fsdp: 16 of 16, 24 is taken.
        ((12, 12), ("fsdp", "tensor"), ""),
        ((24,), ("fsdp+tensor",), ""),  # 24 / 3 = 8, which 4 divides.
        ((16, 5), ("fsdp", ""), " (not along tensor: no dimension divides by 3)"),
        ((6, 5), ("tensor", ""), " (not along fsdp: no dimension divides by 4)"),
        ((5, 7), ("", ""), " (replicated: no dimension divides by 3 or 4)"),
    ],
)
def test_along_several_axes_shards_several_dimensions_if_possible(
    shape, expected, note
):
    rule = {"along": ["tensor", "fsdp"]}
    assert axes(shape, rule) == expected
    assert placed(shape, rule).rule == f"**{note}"


def test_along_skips_dimensions_that_the_table_replicates():
    """Stacked layers run in sequence: sharded over them, every device would wait."""
    rule, names = {"along": "fsdp"}, ("layers", "width")
    assert axes((16, 8), rule, names=names) == ("", "fsdp")
    assert axes((16, 8), rule, names=names, table={}) == ("fsdp", "")


# -- by dimension


def test_the_axes_of_a_dimension_are_in_mesh_order():
    """Else XLA computes wrong numbers: `tests/laws/test_mesh_laws.py` found it."""
    assert axes((24,), {"dims": [["tensor", "fsdp", "data"]]}) == ("data+fsdp+tensor",)
    assert axes((24,), {"along": ["tensor", "fsdp"]}) == ("fsdp+tensor",)
    table = {"embed": ["tensor", "fsdp"]}
    placement = axes((24,), {"logical": True}, names=["embed"], table=table)
    assert placement == ("fsdp+tensor",)


def test_a_dimension_can_use_several_axes_and_axes_of_size_one_are_dropped():
    assert axes((8, 6), {"dims": [["data", "fsdp"], "tensor"]}) == (
        "data+fsdp",
        "tensor",
    )
    assert axes((8, 5), {"dims": [["fsdp", "expert"], "sequence"]}) == ("fsdp", "")


# -- by name


def test_named_dimensions_are_sharded_by_the_table():
    placement = placed((8, 6), {"logical": True}, names=("embed", "mlp"))
    assert placement.axes == (("fsdp",), ("tensor",))
    assert (placement.rule, placement.number) == ("logical (embed, mlp)", 0)
    assert axes((2, 8, 6), {"logical": True}, names=("layers", "vocab", None)) == (
        "",
        "data+fsdp",
        "",
    )


def test_a_dimension_with_several_names_uses_all_their_axes():
    assert axes((24,), {"logical": True}, names=[("embed", "mlp")]) == ("fsdp+tensor",)


def test_a_name_that_is_an_axis_means_that_axis_with_or_without_a_table():
    for table in ({}, TABLE):
        placement = axes((8, 6), {"logical": True}, names=(None, "tensor"), table=table)
        assert placement == ("", "tensor")


def test_a_parameter_without_names_falls_through_to_the_next_rule():
    rules = {"logical": True}, {"along": "fsdp"}
    assert axes((8, 6), *rules) == ("fsdp", "")
    assert axes((8, 6), *rules, names=(None, None)) == ("fsdp", "")
    # With an empty table, names that are not axes match nothing.
    assert axes((8, 6), *rules, names=("embed", "mlp"), table={}) == ("fsdp", "")


def test_a_rule_for_a_path_before_the_table_overrides_it():
    rules = {"path": "head.**"}, {"logical": True}
    names = ("embed", "mlp")
    assert axes((8, 6), *rules, path="head.kernel", names=names) == ("", "")
    assert axes((8, 6), *rules, path="up.kernel", names=names) == ("fsdp", "tensor")
    only = {"path": "up.**", "logical": True}, {"along": "fsdp"}
    assert placed((8, 6), *only, path="up.kernel", names=names).rule == (
        "up.** logical (embed, mlp)"
    )
    assert axes((8, 6), *only, path="head.kernel", names=names) == ("fsdp", "")
