"""An evaluation while training: the optimizer's state stays on the device."""

import jax
import pytest

from specflow.compose import compose
from specflow.contract import Mode
from specflow.preflight.inspection import Look
from specflow.runtime.topologies import parse

PARAMETERS = 64 * 8 + 8 + 8 * 10 + 10
ADAM = 2 * 4 * PARAMETERS + 2 * 4
"""Bytes of two float32 moments of each parameter, and of two counters of steps."""
SMALL = ["experiment=digits_mlp", "model.hidden=[8]", "mesh=single"]


@pytest.mark.parametrize("topology", ["h100:1", "v5e:1x1"])
def test_an_evaluation_needs_the_state_of_the_optimizer_too(topology):
    config = compose(SMALL).config
    look = Look(config, parse(topology), jax.devices()[:1])
    (program,) = look.programs(["eval"])
    memory = look.lowered[Mode.EVAL].stage.compile().memory_analysis()
    alone = memory.peak_memory_in_bytes
    if topology == "h100:1":
        arguments, outputs = memory.argument_size_in_bytes, memory.output_size_in_bytes
        alone = arguments + outputs + memory.temp_size_in_bytes
    assert program.needs == alone + ADAM
    assert program.temporaries == max(0, alone - program.arguments)
    assert look.state.bytes("optimizer") == program.beside == ADAM
