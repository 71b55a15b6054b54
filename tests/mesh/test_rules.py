"""Rules: the first match wins; `along` finds a dimension; `dims` must fit."""

import pytest

from specflow.config.mesh import RuleConfig
from specflow.errors import ConfigError
from specflow.mesh import place

SIZES = {"data": 2, "fsdp": 4, "tensor": 3, "sequence": 1, "expert": 1}


def placed(shape, *rules, path="blocks.0.kernel"):
    return place(path, shape, [RuleConfig(**rule) for rule in rules], SIZES)


def test_the_first_rule_that_matches_wins():
    kernel = {"path": "**.kernel", "dims": ["fsdp", None]}
    rest = {"path": "**", "along": "fsdp"}
    assert placed((8, 16), kernel, rest).axes == ("fsdp", None)
    assert placed((8, 16), rest, kernel).axes == (None, "fsdp")
    assert placed((8, 16), kernel, rest).rule == "**.kernel"
    assert placed((16,), kernel, rest, path="blocks.0.bias").axes == ("fsdp",)


def test_without_a_match_a_parameter_stays_whole():
    found = placed((8, 16), {"path": "head.**", "along": "fsdp"})
    assert (found.axes, found.rule) == ((None, None), "")


def test_a_rule_without_axes_keeps_whole_what_later_rules_would_cut():
    found = placed(
        (8,), {"path": "**.bias"}, {"path": "**", "along": "fsdp"}, path="a.bias"
    )
    assert (found.axes, found.rule) == ((None,), "**.bias")


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((8, 16), (None, "fsdp")),  # The largest.
        ((16, 8), ("fsdp", None)),
        ((8, 8), (None, "fsdp")),  # Of equals the last.
        ((16, 10), ("fsdp", None)),
        ((10, 8), (None, "fsdp")),  # The largest does not divide by 4.
        ((3, 3, 4, 12), (None, None, None, "fsdp")),
        ((4,), ("fsdp",)),
    ],
)
def test_along_takes_the_largest_dimension_that_the_axis_divides(shape, axes):
    assert placed(shape, {"path": "**", "along": "fsdp"}).axes == axes


@pytest.mark.parametrize("shape", [(3, 5), (), (2,), (0,)])
def test_along_keeps_whole_what_it_cannot_cut_and_says_so(shape):
    found = placed(shape, {"path": "**", "along": "fsdp"})
    assert found.axes == (None,) * len(shape)
    assert found.rule == "** (whole: no dimension divides by 4)"


def test_along_an_axis_of_one_cuts_nothing():
    found = placed((8, 16), {"path": "**", "along": "sequence"})
    assert (found.axes, found.rule) == ((None, None), "**")


def refusal(shape, dims):
    with pytest.raises(ConfigError) as error:
        placed(shape, {"path": "head.**", "dims": [None]}, {"path": "**", "dims": dims})
    return str(error.value).splitlines()


def test_dims_of_another_rank_are_refused():
    assert refusal((8, 16), ["fsdp"]) == [
        "mesh.rules.1.dims: names 1 dimensions, and blocks.0.kernel has 2: (8, 16). "
        "Expected an axis or null for each dimension."
    ]


def test_dims_that_do_not_divide_are_refused_each_with_a_size_that_fits():
    assert refusal((10, 16), ["fsdp", "tensor"]) == [
        "mesh.rules.1.dims: dimension 0 of blocks.0.kernel is 10, which axis fsdp of 4 "
        "does not divide. Expected a size such as 12, or null for this dimension.",
        "mesh.rules.1.dims: dimension 1 of blocks.0.kernel is 16, which axis tensor of "
        "3 does not divide. Expected a size such as 18, or null for this dimension.",
    ]
