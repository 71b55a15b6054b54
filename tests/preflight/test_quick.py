"""The compiler is asked for a quick answer first; where that fails, for a run's own."""

import jax
import pytest

from specflow.preflight.inspection import _compile


class Stage:
    """A lowered program whose compiler answers as it is told."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    def compile(self, compiler_options=None):
        self.asked.append(compiler_options)
        answer = self.answers.pop(0)
        if isinstance(answer, str):
            raise jax.errors.JaxRuntimeError(answer)
        return answer


def test_one_that_compiles_quickly_is_compiled_once():
    stage = Stage(42)
    assert _compile(stage) == 42
    assert [sorted(one) for one in stage.asked] == [["xla_tpu_scoped_vmem_limit_kib"]]


@pytest.mark.parametrize(
    "said",
    ["RESOURCE_EXHAUSTED: E1001: CompileTimeScopedVmemOom", "No such compile option"],
)
def test_what_the_options_forbid_is_compiled_as_a_run_would(said):
    stage = Stage(said, 42)
    assert _compile(stage) == 42
    assert stage.asked[1] is None


def test_too_little_memory_is_an_answer():
    stage = Stage("RESOURCE_EXHAUSTED: takes (20.0G) of (15.75G)")
    with pytest.raises(jax.errors.JaxRuntimeError, match=r"20\.0G"):
        _compile(stage)
    assert len(stage.asked) == 1
