"""Executables that programs share."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from specflow.executor.executables import Executables


def compiled(cache, function, *args):
    traced = jax.jit(function).trace(*args)
    return cache.compile(traced, traced.lower())


def test_programs_of_one_text_share_an_executable():
    cache = Executables()
    first, second = (compiled(cache, lambda x: x + 1, jnp.ones(3)) for _ in range(2))
    assert first is second
    assert (len(cache), cache.hits) == (1, 1)


def adding(number):
    form = jax.ShapeDtypeStruct((), np.float32)
    return lambda x: x + jax.pure_callback(lambda: np.float32(number), form)


def printing(number):
    def add(x):
        jax.debug.print(f"{number} {{}}", x)
        return x + number * 0

    return add


def test_a_program_that_calls_python_calls_its_own_function():
    cache = Executables()
    results = [compiled(cache, adding(n), 0.0)(0.0) for n in (1, 2)]
    assert [float(result) for result in results] == [1, 2]


def test_a_program_that_prints_prints_its_own_text(capsys):
    cache = Executables()
    for number in (1, 2):
        compiled(cache, printing(number), 7.0)(7.0)
        jax.effects_barrier()
    assert capsys.readouterr().out == "1 7.0\n2 7.0\n"


@pytest.mark.parametrize("size", [0, 1])
def test_the_executables_used_last_are_kept(size):
    cache = Executables(size)
    for number in (1.0, 2.0, 1.0):
        compiled(cache, lambda x, number=number: x + number, 0.0)
    assert (len(cache), cache.hits) == (size, 0)
