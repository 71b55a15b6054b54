"""What is read in XLA's text: of texts written by hand, and of a real program."""

from collections import Counter
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from specflow.preflight.hlo import Array, Collective, Hlo, bytes_of

TEXTS = Path(__file__).parent / "texts"


def read(name):
    return Hlo((TEXTS / name).read_text())


def test_collectives_of_a_tpu_count_once_a_channel_and_as_often_as_their_loop():
    """In the form of libtpu 0.0.42: pieces of fusions, groups named by axes of a mesh,
    a reduce-scatter that is an all-reduce in a fusion of that name."""
    assert set(read("tpu.txt").collectives()) == {
        Collective("all-gather", 1024 * 2048 * 2, group=4, times=6),
        Collective("reduce-scatter", 1024 * 2048 * 2, group=4, times=6),
        Collective("all-reduce", 4, group=8, times=1),
        Collective("send", 512 * 4, group=0, times=1),
    }


def test_collectives_in_the_older_form_are_those_that_start():
    """Groups are listed, trips are said, what ends is not counted again."""
    assert set(read("older.txt").collectives()) == {
        Collective("all-gather", 64 * 128 * 4, group=2, times=12),
        Collective("collective-permute", 64 * 4, group=0, times=12),
        Collective("all-to-all", 2 * 8 * 4, group=2, times=1),
        Collective("reduce-scatter", 32 * 4 * 8, group=8, times=1),
    }


def test_what_arrives_in_pieces_under_a_product_counts_each_piece():
    """A product with a weight that is cut over 16 chips, as libtpu 0.0.42 wrote it:
    half of the pieces come from either side, and its loop takes two of each at once.
    By hand: one before the loop, and 8 / 2 trips of four."""
    piece = 2048 * 256 * 2
    found = read("windowed.txt").collectives()
    assert sorted(one.times for one in found) == [1, 4, 4, 4, 4]
    assert {(one.kind, one.bytes) for one in found} == {("collective-permute", piece)}
    # All of the weight but the chip's own piece arrives at the least.
    assert 15 * piece <= sum(one.sent for one in found) <= 17 * piece


@pytest.mark.parametrize(
    ("groups", "size"),
    [
        ("{{0,1,2,3},{4,5,6,7}}", 4),
        ("[2,4]<=[8]", 4),
        ("[4,2]<=[2,4]T(1,0)", 2),
        ("mesh['axis_0'=2,'axis_1'=4] {'axis_1'}", 4),
        ("mesh['axis_0'=2,'axis_1'=2,'axis_2'=2] {'axis_0','axis_2'}", 4),
        ("mesh['axis_0'=8,'axis_1'=4], device_ids=([2,8,2]T(1,0,2)) {'axis_0'}", 8),
    ],
)
def test_a_group_is_as_large_as_its_text_says(groups, size):
    """The forms that libtpu 0.0.42 writes, the last where devices are in another order
    than the mesh."""
    (found,) = Hlo(
        "ENTRY %main (x: f32[4]) -> f32[4] {\n"
        "  %x = f32[4]{0} parameter(0)\n"
        "  ROOT %sum = f32[4]{0} all-reduce(%x), channel_id=1, "
        f"replica_groups={groups}, use_global_device_ids=true, to_apply=%add\n}}\n"
    ).collectives()
    assert found == Collective("all-reduce", 16, group=size)


@pytest.mark.parametrize(
    ("start", "step", "limit", "trips"),
    [(0, 1, 8, 8), (0, 2, 8, 4), (1, 1, 8, 7), (0, 3, 8, 3), (8, 1, 8, 1)],
)
def test_a_loop_counts_from_a_constant_by_a_constant_to_a_constant(
    start, step, limit, trips
):
    text = f"""HloModule loop

%body (a: (u32[], f32[8])) -> (u32[], f32[8]) {{
  %a = (u32[], f32[8]) parameter(0)
  %i = u32[] get-tuple-element(%a), index=0
  %x = f32[8] get-tuple-element(%a), index=1
  %step = u32[] constant({step})
  %next = u32[] add(%i, %step)
  %sum = f32[8] all-reduce(%x), channel_id=1, replica_groups=[1,8]<=[8]
  ROOT %t = (u32[], f32[8]) tuple(%next, %sum)
}}

%condition (b: (u32[], f32[8])) -> pred[] {{
  %b = (u32[], f32[8]) parameter(0)
  %j = u32[] get-tuple-element(%b), index=0
  %limit = u32[] constant({limit})
  ROOT %less = pred[] compare(%j, %limit), direction=LT
}}

ENTRY %main (p: f32[8]) -> f32[8] {{
  %p = f32[8] parameter(0)
  %start = u32[] constant({start})
  %first = u32[] copy(%start)
  %given = (u32[], f32[8]) tuple(%first, %p)
  ROOT %loop = (u32[], f32[8]) while(%given), condition=%condition, body=%body
}}
"""
    assert Hlo(text).collectives() == [Collective("all-reduce", 32, 8, times=trips)]


def test_the_largest_arrays_have_their_place_in_the_source():
    largest = read("tpu.txt").arrays(2)
    assert largest == [
        Array("bf16[6,16,512,1024]", 6 * 16 * 512 * 1024 * 2,
              "jvp()/dynamic_update_slice", "zoo/net.py:15"),
        Array("f32[16,512,1024]", 16 * 512 * 1024 * 4, "closed_call/dot_general",
              "zoo/net.py:14"),
    ]  # fmt: skip
    assert read("older.txt").arrays(1) == [
        Array("f32[64,128]", 64 * 128 * 4, "body/dot_general", "zoo/net.py:7")
    ]


@pytest.mark.parametrize(
    ("outer", "place"),
    [
        ("/usr/lib/python3/site-packages/specflow/zoo/net.py", "zoo/net.py:14"),
        ("<frozen runpy>", "nn/linear.py:200"),
    ],
)
def test_a_place_in_the_source_is_one_of_an_installed_specflow_and_never_pythons_own(
    outer, place
):
    """The process that compiles was started by `python -m`, which is a frame too."""
    text = (TEXTS / "tpu.txt").read_text()
    text = text.replace("/home/user/project/zoo/net.py", outer)
    assert place in [array.place for array in Hlo(text).arrays(2)]


@pytest.mark.parametrize(
    ("one", "sent"),
    [
        # Source: Patarasuk and Yuan, 2009, and the definition of each operation.
        (Collective("all-gather", 800, 8), 700),
        (Collective("reduce-scatter", 800, 8), 700),
        (Collective("all-reduce", 800, 8), 1400),
        (Collective("all-to-all", 800, 8), 700),
        (Collective("collective-permute", 800, 0), 800),
        (Collective("all-gather", 800, 8, times=3), 2100),
    ],
)
def test_what_leaves_a_chip_at_the_least(one, sent):
    assert one.sent == sent


@pytest.mark.parametrize(
    ("shape", "size"),
    [("f32[2,3]", 24), ("bf16[4]{0:T(8,128)(2,1)}", 8), ("pred[]", 1), ("s4[6]", 3),
     ("f8e4m3fn[5]", 5), ("c64[2]", 16), ("u32[]", 4), ("s32[<=9]", 36),
     ("token[]", 0)],
)  # fmt: skip
def test_bytes_of_a_shape(shape, size):
    assert bytes_of(shape) == size


def test_a_real_program_exchanges_in_each_trip_of_its_scan():
    """Rows by columns that are cut alike are added up, once for each layer."""
    mesh = Mesh(jax.devices(), ("all",))

    def cut(*axes):
        return NamedSharding(mesh, PartitionSpec(*axes))

    def layers(x, weights):
        def layer(x, weight):
            return lax.with_sharding_constraint(x @ weight, cut(None, "all")), None

        return lax.scan(layer, x, weights)[0].sum()

    compiled = (
        jax.jit(layers, out_shardings=cut())
        .lower(
            jax.ShapeDtypeStruct((4, 16), jnp.float32, sharding=cut(None, "all")),
            jax.ShapeDtypeStruct((5, 16, 16), jnp.float32, sharding=cut(None, "all")),
        )
        .compile()
    )
    times: Counter = Counter()
    sent = 0.0
    for one in Hlo(compiled.as_text()).collectives():
        assert one.group == 8
        times[one.times] += 1
        sent += one.sent
    # One in each layer, whatever kind XLA chose, and the sum at the end.
    assert times == {5: 1, 1: 1}
    assert sent >= 5 * 4 * 16 * 4 * 7 / 8


def test_a_text_that_is_no_program_says_nothing():
    assert Hlo("").collectives() == []
    assert Hlo("HloModule nothing\n\nENTRY %main () -> f32[] {\n}\n").arrays(3) == []
