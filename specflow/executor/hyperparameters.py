"""Hyperparameters as inputs of a program: which literals of it they determine."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import jax

from specflow.contract import TrainOp
from specflow.executor.array_types import Jaxpr, TrainOpLike, Tree
from specflow.executor.jaxprs import walk
from specflow.executor.moved_literals import (
    LiteralPlace,
    StructureDiffers,
    moved_literals,
)

__all__ = ["Hyperparameters", "Keys", "TracedPart", "moved_by", "moved_in_parts"]

Keys: TypeAlias = tuple[str, ...]
"""Paths of numbers in a config."""


@dataclasses.dataclass(frozen=True)
class Hyperparameters:
    """Numbers of a config, and how to build the optimizer and the model with others.

    Only the literals of programs with other numbers are compared: their values are
    never used.

    Args:
        optimizer: the transformation as the model function was given it.
        optimizer_keys: numbers that determine it.
        build_optimizer: keys -> the transformation with these numbers moved.
        model_keys: numbers that determine the model and its loss.
        build_model: keys -> model function and module with these numbers moved.
    """

    optimizer: TrainOpLike
    optimizer_keys: Keys
    build_optimizer: Callable[[Keys], TrainOpLike]
    model_keys: Keys
    build_model: Callable[[Keys], tuple[Callable[..., Any], Any]]

    def moved_train_op(
        self, train_op: TrainOpLike
    ) -> Callable[[Keys], TrainOpLike] | None:
        """Returns how to build a `train_op` with numbers moved.

        Args:
            train_op: of the spec.

        Returns:
            None if it is something else than the optimizer of the config.
        """
        if not self.optimizer_keys:
            return None
        if train_op is self.optimizer:
            return self.build_optimizer
        if isinstance(train_op, TrainOp) and train_op.optimizer is self.optimizer:
            return lambda keys: TrainOp(
                self.build_optimizer(keys), wrt=train_op.wrt, frozen=train_op.frozen
            )
        return None


class TracedPart:
    """A part of a program, traced apart so that it can be compared.

    Args:
        name: of the part in the program.
        function: takes and returns pytrees.
        moved: keys -> the function with these numbers moved. None: the function is
            inlined.
        keys: numbers that determine it.
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., Tree],
        moved: Callable[[Keys], Callable[..., Tree]] | None = None,
        keys: Keys = (),
    ):
        self.name, self.keys, self._moved = name, keys, moved
        self._args: tuple[Tree, ...] = ()

        @functools.wraps(function)
        def named(*args: Tree) -> Tree:
            return function(*args)

        named.__name__ = name
        self._function = function if moved is None else jax.jit(named)

    def __call__(self, *args: Tree) -> Tree:
        """Calls the function."""
        if self._moved is not None:
            self._args = jax.tree.map(_abstract, args)
        return self._function(*args)

    def moved_jaxpr(self, keys: Keys) -> Jaxpr:
        """Traces the function with numbers moved, as it was called last."""
        assert self._moved is not None
        return jax.make_jaxpr(self._moved(keys))(*self._args)


def _abstract(array: Any) -> jax.ShapeDtypeStruct:
    """Returns the shape, dtype and sharding of an array inside of a trace."""
    aval: Any = jax.typeof(array)
    return jax.ShapeDtypeStruct(aval.shape, aval.dtype, sharding=aval.sharding)


def moved_in_parts(
    jaxpr: Jaxpr, parts: Sequence[TracedPart]
) -> Iterator[set[LiteralPlace]]:
    """Yields the places of literals in a program that its parts' numbers move.

    Args:
        jaxpr: of a program, in which the parts were called.
        parts: the parts.
    """
    by_name: Mapping[str, TracedPart] = {part.name: part for part in parts if part.keys}
    if not by_name:
        return
    compared: list[Any] = []
    for equation in walk(jaxpr):
        if equation.primitive.name != "jit":
            continue
        part = by_name.get(equation.params["name"])
        inner = equation.params["jaxpr"].jaxpr
        if part is None or any(inner is other for other in compared):
            continue
        compared.append(inner)
        yield moved_by(part.keys, inner, part.moved_jaxpr)


def moved_by(
    keys: Keys, jaxpr: Jaxpr, trace: Callable[[Keys], Jaxpr]
) -> set[LiteralPlace]:
    """Returns the places of the literals that numbers of a config move.

    Numbers that change the structure, or that are not valid when they are moved, are
    found by halving, and left out.

    Args:
        keys: the numbers.
        jaxpr: traced with the config's own numbers.
        trace: keys -> the jaxpr with these numbers moved.
    """
    if not keys:
        return set()
    try:
        return moved_literals(jaxpr, trace(keys))
    except StructureDiffers:
        pass
    except Exception:
        pass  # Any code may reject a number that is not the config's.
    if len(keys) == 1:
        return set()
    half = len(keys) // 2
    return moved_by(keys[:half], jaxpr, trace) | moved_by(keys[half:], jaxpr, trace)
