"""What a program may use of a GPU: JAX's share, and what others hold outside of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specflow.diagnostics.errors import ConfigError
from specflow.preflight.memory_limit import MemoryLimit, memory_limit
from specflow.runtime.topologies import parse

GIB = 1 << 30
OLD, NEW = "XLA_PYTHON_CLIENT_MEM_FRACTION", "XLA_CLIENT_MEM_FRACTION"


def limit(topology="h100:8", **environment):
    return memory_limit(parse(topology), environment)


def test_by_default_jax_takes_three_quarters():
    found = limit()
    assert (found.fraction, found.is_set) == (0.75, False)
    assert found.available == int(0.75 * found.total)


@pytest.mark.parametrize("name", [OLD, NEW])
def test_the_environment_changes_the_share(name):
    found = limit(**{name: ".5"})
    assert (found.available, found.is_set) == (found.total // 2, True)


def test_what_others_hold_is_not_available_whatever_the_share_is():
    """NCCL's buffers take their part where several GPUs exchange data."""
    alone, several = limit("h100:1", **{OLD: "1"}), limit("h100:2", **{OLD: "1"})
    assert alone.total - alone.available == GIB
    assert several.total - several.available == 2 * GIB


def test_an_allocator_without_a_pool_has_no_share():
    found = limit("l4:1", XLA_PYTHON_CLIENT_ALLOCATOR="platform", **{OLD: ".1"})
    assert found.fraction is None
    assert found.available == found.total - GIB
    assert found.fraction_for(GIB) is None


def test_a_tpu_has_what_its_compiler_says():
    chip = parse("v5e:2x2").chip
    assert limit("v5e:2x2", **{OLD: ".1"}) == MemoryLimit(chip.usable)


@given(st.integers(1, 100 * GIB), st.integers(1, 110 * GIB))
def test_the_share_that_is_advised_suffices_and_leaves_room_for_others(total, needs):
    found = MemoryLimit(total, 0.75, reserved=min(GIB, total - 1))
    share = found.fraction_for(needs)
    if share is None:
        # A hundredth more of the device than is left.
        assert needs > total - found.reserved - total / 100 - 1
        return
    enough = MemoryLimit(total, share, reserved=found.reserved)
    assert needs <= enough.available + 1 <= total - found.reserved + 1


@pytest.mark.parametrize("text", ["0", "1.5", "-1", "most", "nan"])
def test_a_share_that_is_none_is_refused(text):
    with pytest.raises(ConfigError) as failed:
        limit(**{OLD: text})
    assert str(failed.value) == (
        f"{OLD}: got {text!r} (environment). Expected a share of the GPU's memory, "
        "above 0 and at most 1."
    )
    assert failed.value.diagnostics[0].code == "memory-fraction"


def test_both_names_at_once_are_refused_as_jax_does():
    with pytest.raises(ConfigError) as failed:
        limit(**{OLD: ".5", NEW: ".5"})
    assert str(failed.value) == (
        f"{NEW}: is set, and so is {OLD} (environment). Expected one of them."
    )
