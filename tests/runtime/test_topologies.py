"""Topologies as they are typed: names, sizes and near misses."""

import pytest

from specflow.diagnostics.errors import ConfigError
from specflow.runtime.topologies import known, parse


@pytest.mark.parametrize(
    ("name", "size"),
    [("v5e:4x4", 16), ("v5p:4x4x4", 64), ("v5p:4x4x4*2", 128), ("V6E:16x16", 256),
     ("v4:2x2x1", 4), ("v5p:16x20x28", 8960), ("h100:1", 1), ("H100:8", 8),
     ("h100:8*4", 32), ("rtx-4090:3", 3), ("a100-40g:16*2", 32)],
)  # fmt: skip
def test_a_slice_has_as_many_chips_as_its_sides_multiply_to(name, size):
    topology = parse(name)
    assert topology.size == size
    assert str(topology) == name.lower()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("v5q:2x2x1", "got 'v5q:2x2x1', and v5q is an unknown chip. Expected one of "
                      "v4, v5e, v5p, v6e, and a shape, as in v5p:4x4x4; or of "
                      "a100-40g, a100-80g, h100, h100-nvl, h200, b200, l4, rtx-4090, "
                      "and a count, as in h100:8. Did you mean v5p?"),
        ("v5e:3x3", "v5e has no slice 3x3. Expected a shape of its slices, such as "
                    "2x2, 2x4 or 4x4."),
        ("v5p:8x4x4", "v5p has no slice 8x4x4. Expected a shape of its slices, such "
                      "as 4x4x4, 4x4x8 or 4x4x12."),
        ("v6e:16x32", "v6e has no slice 16x32. Expected a shape of its slices, such "
                      "as 8x8, 8x16 or 16x16."),
        ("v5p", "got 'v5p', without a shape of v5p. Expected one such as "
                "v5p:2x4x4."),
        ("v5e:4x4*0", "got '0' slices. Expected a whole number, as in v5p:4x4x4*2."),
        ("", "got ''. Expected a chip and a shape or count, as in v5p:4x4x4 or "
             "h100:8."),
        ("h100", "got 'h100', without a count. Expected a number of GPUs, as in "
                 "h100:8."),
        ("h100:2x4", "got '2x4' GPUs. Expected a whole number from 1 to 8, as in "
                     "h100:8."),
        ("l4:0", "got '0' GPUs. Expected a whole number from 1 to 8, as in l4:8."),
        ("h100:32", "got 32 GPUs, and a node of h100 has at most 8. Expected a whole "
                    "number from 1 to 8, and nodes, as in h100:8*2. Try h100:8*4."),
        ("h100:12", "got 12 GPUs, and a node of h100 has at most 8. Expected a whole "
                    "number from 1 to 8, and nodes, as in h100:8*2."),
        ("h100:8*x", "got 'x' nodes. Expected a whole number, as in h100:8*2."),
        ("h100:8*0", "got '0' nodes. Expected a whole number, as in h100:8*2."),
    ],
)  # fmt: skip
def test_an_unknown_slice_is_answered_with_the_near_ones(name, message):
    with pytest.raises(ConfigError) as failed:
        parse(name, where="slice")
    assert str(failed.value) == f"slice: {message}"
    assert failed.value.diagnostics[0].code == "topology"


@pytest.mark.parametrize(
    ("name", "meant"),
    [("a100:8", "a100-40g or a100-80g"), ("a100-80gb:8", "a100-80g"), ("h20:8", "h200"),
     ("rtx4090:1", "rtx-4090"), ("h100nvl:2", "h100-nvl")],
)  # fmt: skip
def test_a_misspelled_gpu_is_answered_with_the_near_one(name, meant):
    with pytest.raises(ConfigError) as failed:
        parse(name)
    assert failed.value.diagnostics[0].hint == f"Did you mean {meant}?"


def test_every_slice_that_is_listed_can_be_named():
    for line in known().splitlines():
        chip, *shapes = line.partition(" ...")[0].split()
        assert [parse(f"{chip}:{shape}").chip.topology for shape in shapes] == [
            chip
        ] * len(shapes)
