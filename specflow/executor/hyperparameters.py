"""Hyperparameters as inputs of a program: which literals of it they determine."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import jax
from jax.extend.core import Literal

from specflow.contract import TrainOp
from specflow.executor.array_types import Jaxpr, TrainOpLike, Tree
from specflow.executor.jaxprs import walk
from specflow.executor.moved_literals import (
    LiteralPlace,
    StructureDiffers,
    moved_literals,
)

__all__ = [
    "Hyperparameters",
    "Keys",
    "TracedPart",
    "moved_by",
    "moved_in_parts",
    "replaced_in_parts",
]

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
        if not self.optimizer_keys or not self._is_of_config(train_op):
            return None
        return lambda keys: _with_optimizer(train_op, self.build_optimizer(keys))

    def replaced_train_op(
        self, train_op: TrainOpLike, optimizer: TrainOpLike
    ) -> TrainOpLike:
        """Returns a `train_op` with another optimizer in place of the config's.

        Raises:
            StructureDiffers: it is something else than the optimizer of the config.
        """
        if not self._is_of_config(train_op):
            raise StructureDiffers("train_op")
        return _with_optimizer(train_op, optimizer)

    def _is_of_config(self, train_op: TrainOpLike) -> bool:
        optimizer = train_op.optimizer if isinstance(train_op, TrainOp) else train_op
        return optimizer is self.optimizer


def _with_optimizer(train_op: TrainOpLike, optimizer: TrainOpLike) -> TrainOpLike:
    if not isinstance(train_op, TrainOp):
        return optimizer
    return TrainOp(optimizer, wrt=train_op.wrt, frozen=train_op.frozen)


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
        self._structure: Any = None
        self._inner = function

        @functools.wraps(function)
        def named(*args: Tree) -> Tree:
            return function(*args)

        named.__name__ = name
        self._function = function if moved is None else jax.jit(named)

    def __call__(self, *args: Tree) -> Tree:
        """Calls the function."""
        result = self._function(*args)
        if self._moved is not None:
            self._args = jax.tree.map(_abstract, args)
            self._structure = jax.tree.structure(result)
        return result

    def moved_jaxpr(self, keys: Keys) -> Jaxpr:
        """Traces the function with numbers moved, as it was called last."""
        assert self._moved is not None
        return jax.make_jaxpr(self._moved(keys))(*self._args)

    def jaxpr_of(self, other: "TracedPart") -> Jaxpr:
        """Traces another part as this one was called last.

        Raises:
            StructureDiffers: this one was not called, or the other one cannot take its
                place.
        """
        if self._structure is None:
            raise StructureDiffers(f"{self.name} is no part of its own")
        try:
            trace = jax.make_jaxpr(other._inner, return_shape=True)
            jaxpr, result = trace(*self._args)
        except Exception as error:
            # As of a state that the other one does not have.
            raise StructureDiffers(f"{self.name}: {error}") from error
        if jax.tree.structure(result) != self._structure:
            raise StructureDiffers(f"structure of the results of {self.name}")
        return jaxpr


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
    for part, inner in _calls(jaxpr, [part for part in parts if part.keys]):
        yield moved_by(part.keys, inner, part.moved_jaxpr)


def replaced_in_parts(
    jaxpr: Jaxpr, parts: Sequence[TracedPart], others: Sequence[TracedPart]
) -> dict[LiteralPlace, Literal]:
    """Returns the literals of a program that differ if other parts take their places.

    Args:
        jaxpr: of a program, in which the parts were called.
        parts: the parts.
        others: one for each part, of the same name.

    Returns:
        Place in `jaxpr` -> the literal that other parts have there.

    Raises:
        StructureDiffers: the other parts differ in more than the values of literals.
    """
    by_name = {other.name: other for other in others}
    replaced: dict[LiteralPlace, Literal] = {}
    found = set()
    for part, inner in _calls(jaxpr, parts):
        found.add(part.name)
        replaced |= moved_literals(inner, part.jaxpr_of(by_name[part.name]))
    if found != by_name.keys():
        raise StructureDiffers("parts of the program")
    return replaced


def _calls(
    jaxpr: Jaxpr, parts: Sequence[TracedPart]
) -> Iterator[tuple[TracedPart, Any]]:
    """Yields each part that a program calls, and its jaxpr there."""
    by_name: Mapping[str, TracedPart] = {part.name: part for part in parts}
    if not by_name:
        return
    seen: list[Any] = []
    for equation in walk(jaxpr):
        if equation.primitive.name != "jit":
            continue
        part = by_name.get(equation.params["name"])
        inner = equation.params["jaxpr"].jaxpr
        if part is None or any(inner is other for other in seen):
            continue
        seen.append(inner)
        yield part, inner


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
        return set(moved_literals(jaxpr, trace(keys)))
    except StructureDiffers:
        pass
    except Exception:
        pass  # Any code may reject a number that is not the config's.
    if len(keys) == 1:
        return set()
    half = len(keys) // 2
    return moved_by(keys[:half], jaxpr, trace) | moved_by(keys[half:], jaxpr, trace)
