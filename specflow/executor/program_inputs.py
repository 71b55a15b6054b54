"""Inputs of programs that hyperparameters determine: made, and for other values."""

import dataclasses
from collections.abc import Collection, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend.core import jaxpr_as_fun
from numpy.typing import NDArray

from specflow.executor.array_types import Tree
from specflow.executor.hyperparameters import TracedPart, replaced_in_parts
from specflow.executor.lifted_jaxpr import LiftedJaxpr, lifted
from specflow.executor.moved_literals import (
    LiteralPlace,
    StructureDiffers,
    moved_literals,
)

__all__ = ["ProgramInputs", "traced_anew"]


@dataclasses.dataclass(frozen=True)
class ProgramInputs:
    """Where the inputs of a program come from.

    Args:
        jaxpr: closed, of the program with all hyperparameters as constants.
        places: of the literals that are inputs.
        parts: the parts of the program that an optimizer determines.
        rewritten: the jaxpr with inputs, and their values.
    """

    jaxpr: Any
    places: Collection[LiteralPlace]
    parts: Sequence[TracedPart]
    rewritten: LiftedJaxpr

    def values_for(self, parts: Sequence[TracedPart]) -> NDArray[np.float32] | None:
        """Returns the values of the inputs with another optimizer.

        Its parts alone are traced. The result is that of a trace of all of the
        program, of which the rest is the same.

        Args:
            parts: of the other optimizer.

        Returns:
            None if the program is another one, even without the values of its inputs.
        """
        try:
            replaced = replaced_in_parts(self.jaxpr, self.parts, parts)
            values = self.rewritten.inputs.values_with(replaced)
            if values is not None:
                return values
            other = lifted(self.jaxpr, self.places, replaced)
            differing = moved_literals(self.rewritten.jaxpr, other.jaxpr)
        except StructureDiffers:
            return None
        return None if differing else other.values


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
