"""Programs traced anew, with their hyperparameters as inputs."""

from typing import Any

import jax
from jax.extend.core import jaxpr_as_fun

from specflow.executor.array_types import Tree
from specflow.executor.lifted_jaxpr import LiftedJaxpr

__all__ = ["traced_anew"]


def traced_anew(
    traced: jax.stages.Traced,
    rewritten: LiftedJaxpr,
    args: tuple[Tree, ...],
    *,
    sharding: jax.sharding.Sharding,
    jit_options: dict[str, Any],
) -> jax.stages.Traced:
    """Traces a program as its rewritten jaxpr has it, under the same name.

    Args:
        traced: the program.
        rewritten: its jaxpr; with values, they are its last argument.
        args: the arguments of the program, or their shapes, dtypes and shardings.
        sharding: of the values.
        jit_options: of the `jax.jit` that traced it.
    """
    flat = jaxpr_as_fun(rewritten.jaxpr)
    structure = jax.tree.structure(traced.out_info)

    def run(*args: Tree) -> Tree:
        return jax.tree.unflatten(structure, flat(*jax.tree.leaves(args)))

    run.__name__ = traced.fun_name  # The name of the program in profiles.
    if (values := rewritten.values).size:
        form = jax.ShapeDtypeStruct(values.shape, values.dtype, sharding=sharding)
        args = *args, form
    return jax.jit(run, **jit_options).trace(*args)
