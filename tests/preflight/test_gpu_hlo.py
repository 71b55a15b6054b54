"""What is read in a program for GPUs, in the form of XLA in jaxlib 0.10.2.

By hand: sixteen GPUs on two nodes; the loop over layers runs twelve times.
"""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specflow.preflight.hlo import Call, Collective, Hlo
from specflow.preflight.hlo_groups import group_size, nodes_joined
from specflow.preflight.roofline import roofline
from specflow.runtime.topologies import parse

NODES = [0] * 8 + [1] * 8
PROGRAM = Hlo((Path(__file__).parent / "texts" / "gpu.txt").read_text())
GATHERED = 96 * 2 + 256 * 48 * 2
SCATTERED = 96 * 4 + 256 * 48 * 2


def test_collectives_of_several_arrays_are_as_large_as_all_of_them():
    assert set(PROGRAM.collectives(NODES)) == {
        Collective("all-gather", GATHERED, group=16, times=12, nodes=2),
        Collective("reduce-scatter", SCATTERED, group=8, times=12, nodes=1),
        Collective("all-reduce", (2 + 4) * 4, group=2, times=1, nodes=2),
        Collective("collective-permute", 12 * 4, group=0, times=1, nodes=2),
    }


def test_on_one_node_nothing_leaves_it():
    for collective in PROGRAM.collectives([0] * 16):
        assert collective.nodes == 1
        assert (collective.sent_between, collective.sent_within) == (0, collective.sent)


@pytest.mark.parametrize(
    ("kind", "between", "within"),
    [
        # Of 160 bytes each GPU has ten. A node lacks the other's 80, and its eight GPUs
        # receive ten each; then each lacks seven times 20 of its node.
        ("all-gather", 10, 140),
        ("reduce-scatter", 10, 140),
        ("all-reduce", 20, 280),
        # Ten bytes to each other GPU: eight on the other node, seven on its own.
        ("all-to-all", 80, 70),
    ],
)
def test_bytes_that_leave_a_gpu_are_split_by_the_links_that_they_take(
    kind, between, within
):
    collective = Collective(kind, 160, group=16, nodes=2)
    assert collective.sent_between == pytest.approx(between)
    assert collective.sent_within == pytest.approx(within)


@given(
    st.sampled_from(["all-gather", "all-reduce", "reduce-scatter", "all-to-all"]),
    st.integers(1, 8),
    st.integers(1, 8),
)
def test_both_links_together_take_all_that_is_sent(kind, nodes, each):
    collective = Collective(kind, 1 << 20, group=nodes * each, nodes=nodes)
    assert collective.sent_within >= -1e-6
    assert collective.sent_between >= 0
    if each == 1:  # All of it crosses the network.
        assert collective.sent_within == pytest.approx(0)


@pytest.mark.parametrize(
    ("groups", "size", "nodes"),
    [
        ("{{0,1,2,3},{4,5,6,7},{8,9,10,11},{12,13,14,15}}", 4, 1),
        ("{{0,8},{1,9}}", 2, 2),
        ("[2,8]<=[16]", 8, 1),
        ("[8,2]<=[2,8]T(1,0)", 2, 2),
        ("mesh['axis_0'=2,'axis_1'=8] {'axis_1'}", 8, 1),
        ("mesh['axis_0'=2,'axis_1'=8] {'axis_0'}", 2, 2),
        ("mesh['axis_0'=4,'axis_1'=2,'axis_2'=2] {'axis_0','axis_2'}", 8, 2),
        ("mesh['a'=2,'b'=8], device_ids=([8,2]T(1,0)) {'b'}", 8, 2),
        ("{}", 0, 2),
    ],
)
def test_a_group_spans_the_nodes_of_its_devices(groups, size, nodes):
    line = f"all-reduce(%x), replica_groups={groups}, use_global_device_ids=true"
    assert group_size(line) == size
    assert nodes_joined(line, NODES) == nodes


def test_library_kernels_are_counted_with_their_loop():
    """FLOPs of attention: two products forward and five backward, of all pairs."""
    square = 2 * 2 * 4 * 64 * 64 * 8
    calls = {call.target: call for call in PROGRAM.calls()}
    heads, groups, sums = 2 * 64 * 4 * 8 * 2, 2 * 64 * 2 * 8 * 2, 2 * 4 * 64 * 4
    forward = calls["__cudnn$fmhaSoftmax"]
    assert (forward.times, forward.flops) == (12, 2 * square)
    assert forward.bytes == 2 * heads + 2 * groups + sums
    backward = calls["__cudnn$fmhaSoftmaxBackward"]
    assert (backward.times, backward.flops) == (12, 5 * square)
    assert backward.bytes == 4 * heads + 4 * groups + sums


def test_a_convolution_and_its_gradient_have_the_same_flops():
    calls = {call.target: call for call in PROGRAM.calls()}
    flops = 2 * (4 * 8 * 8 * 32) * (3 * 3 * 3)
    assert calls["__cudnn$convForward"].flops == flops
    assert calls["__cudnn$convBackwardFilter"].flops == flops
    assert calls["__cudnn$convForward"].workspace == 4 << 30


def test_a_product_of_cublas_has_its_workspace_in_the_program():
    calls = {call.target: call for call in PROGRAM.calls()}
    product = calls["__cublas$lt$matmul"]
    assert (product.flops, product.workspace) == (2 * 128 * 64 * 32, 0)


def test_an_unknown_kernel_is_named_with_its_bytes():
    assert Call("my_kernel", 1, 128 * 64 * 2 + 12 * 4, None, 0) in PROGRAM.calls()


def test_the_workspace_of_attention_is_bounded_by_its_accumulators():
    """Gradients of queries and row sums in float32; keys and values, shared by two
    heads each, once for each of them; and 256 MiB of products."""
    calls = {call.target: call for call in PROGRAM.calls()}
    sums, queries, keys = 2 * 4 * 64 * 4, 2 * 64 * 4 * 8 * 4, 2 * 2 * 64 * 4 * 8 * 2
    assert calls["__cudnn$fmhaSoftmax"].workspace == sums
    backward = calls["__cudnn$fmhaSoftmaxBackward"].workspace
    assert backward == sums + queries + keys + (256 << 20)


def test_the_network_bounds_a_step_beside_nvlink():
    """Of 8 GB, half a GB leaves each GPU for the other node, at 50 GB/s, and 7 GB for
    its own, at 450 GB/s."""
    gathered = Collective("all-gather", 8_000_000_000, group=16, nodes=2)
    bounds = roofline(
        parse("h100:8*2"), flops=0, model_flops=0, moved=0, collectives=[gathered]
    )
    assert (bounds.dcn, bounds.ici) == pytest.approx((0.5 / 50, 7 / 450))
    assert bounds.by == "ici"
