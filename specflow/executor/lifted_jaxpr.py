"""Rewriting of a jaxpr with some of its literals as inputs.

The result is the same to the last bit, so it repeats what XLA does with constants:
a division by one is a multiplication by its inverse, and of two constants that a value
is multiplied by (or that are added to it) one is made.
"""

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jax import lax
from jax.extend.core import Literal, Var
from numpy.typing import NDArray

from specflow.executor.array_types import Equation
from specflow.executor.jaxprs import scan_operands, with_scan_constants
from specflow.executor.known_scalars import (
    Inputs,
    Scalar,
    Term,
    Value,
    called_jaxprs,
    operation,
    reading,
    spread,
    term_of,
)
from specflow.executor.moved_literals import (
    LiteralPlace,
    StructureDiffers,
)
from specflow.executor.scalar_folding import keeps_bits

__all__ = ["LiftedJaxpr", "lifted"]

_SPREADS = ("broadcast_in_dim", "reshape")
"""Operations that make an array of a scalar."""
_CONVERTS = ("convert_element_type",)


class LiftedJaxpr(NamedTuple):
    """A jaxpr with literals as inputs, and their values."""

    jaxpr: Any
    """With one more input, after the others, unless there are no values."""
    values: NDArray[np.float32]
    """float32[n]: the values of the literals."""
    inputs: Inputs = Inputs(frozenset())
    """How the values follow from the literals."""


def lifted(
    jaxpr: Any,
    places: Collection[LiteralPlace],
    replaced: Mapping[LiteralPlace, Literal] | None = None,
) -> LiftedJaxpr:
    """Returns a jaxpr with literals as inputs.

    Literals whose operation XLA computes otherwise with an input stay constants: 0, 1
    and -1, exponents, and those inside of kernels.

    Args:
        jaxpr: closed, of a program, not to be differentiated further.
        places: from `moved_literals`.
        replaced: place -> a literal that takes the place of the jaxpr's own.

    Raises:
        StructureDiffers: a literal of `replaced` is where nothing is rewritten.

    >>> import jax
    >>> jaxpr = jax.make_jaxpr(lambda x: x / 0.5 + 7)(1.0)
    >>> half = {(id(jaxpr.jaxpr.eqns[0]), 1)}
    >>> lifted(jaxpr, half).values
    array([2.], dtype=float32)
    """
    inputs = Inputs(frozenset(places), replaced)
    level = _Level(inputs)
    variables: list[Any] = [Var(variable.aval) for variable in jaxpr.jaxpr.invars]
    results = level.run(jaxpr.jaxpr, [*jaxpr.jaxpr.constvars, *variables])
    outputs = [level.atom(result) for result in results]
    values = inputs.finished()
    if not inputs.are_replaced:
        raise StructureDiffers("literals that stay constants")
    if values.size:
        variables.append(level.array)
    inner = _replaced(jaxpr.jaxpr, variables, outputs, level.equations)
    return LiftedJaxpr(jaxpr.replace(jaxpr=inner), values, inputs)


class _Level:
    """The equations of one jaxpr as they are rewritten.

    Args:
        inputs: of the program.
    """

    def __init__(self, inputs: Inputs):
        self._inputs = inputs
        self.equations: list[Equation] = []
        self.array = inputs.new_array()
        self._scalars: dict[Var, Scalar] = {}
        """Variables that are a known scalar, or an array that repeats one."""
        self._terms: dict[Var, Term] = {}
        self._callers: Mapping[
            str, Callable[[Equation, list[Value]], list[Value] | None]
        ] = {
            "jit": self._jit,
            "custom_jvp_call": self._custom_derivative,
            "custom_vjp_call": self._custom_derivative,
            "checkpoint": self._checkpoint,
            "remat2": self._checkpoint,
            "while": self._while,
            "scan": self._scan,
            "cond": self._cond,
        }

    def run(self, jaxpr: Any, inputs: Sequence[Value]) -> list[Value]:
        """Rewrites a jaxpr, inlined.

        Args:
            jaxpr: open.
            inputs: its constants and its inputs.

        Returns:
            Its results.
        """
        names = [*jaxpr.constvars, *jaxpr.invars]
        values = dict(zip(names, inputs, strict=True))

        def value_of(atom: Any, place: LiteralPlace) -> Value:
            if isinstance(atom, Literal):
                return self._inputs.literal(atom, place)
            return values[atom]

        for equation in jaxpr.eqns:
            operands = [
                value_of(atom, (id(equation), index))
                for index, atom in enumerate(equation.invars)
            ]
            results = self._equation(equation, operands)
            values.update(zip(equation.outvars, results, strict=True))
        return [
            value_of(atom, (id(jaxpr), index))
            for index, atom in enumerate(jaxpr.outvars)
        ]

    def atom(self, value: Value, *, constant: bool = False) -> Any:
        """Returns a value as an operand; a scalar that moves is read from the input.

        Args:
            value: the value.
            constant: whether it is a constant even if it moves.
        """
        if constant and isinstance(value, Var) and value in self._scalars:
            scalar = self._scalars[value]
            if not scalar.moved:
                return value
            aval: Any = value.aval
            like = spread(aval.shape, scalar.value.dtype)
            (value,) = self._emit(like, [self.atom(scalar, constant=True)])
            return value
        if not isinstance(value, Scalar):
            return value
        if constant or not value.is_input:
            return self._inputs.constant(value)
        if value.variable is None:
            value.variable = self._read(value)
        return value.variable

    def _read(self, scalar: Scalar) -> Var:
        """Reads an element of the input array."""
        index, variable = self._inputs.add(scalar), self.array
        for step in reading(scalar.value.dtype):
            params = step.params
            if step.primitive is lax.slice_p:
                params = params | {
                    "start_indices": (index,),
                    "limit_indices": (index + 1,),
                }
            out = Var(step.outvars[0].aval)
            self.equations.append(
                step.replace(invars=[variable], outvars=[out], params=params)
            )
            variable = out
        variable.aval = scalar.aval
        return variable

    def _emit(self, equation: Equation, atoms: Sequence[Any]) -> list[Any]:
        variables = [Var(variable.aval) for variable in equation.outvars]
        self.equations.append(equation.replace(invars=[*atoms], outvars=variables))
        return variables

    def _constant(self, equation: Equation, operands: Sequence[Value]) -> list[Any]:
        """Keeps an equation, with constants."""
        return self._emit(
            equation, [self.atom(each, constant=True) for each in operands]
        )

    def _equation(self, equation: Equation, operands: list[Value]) -> list[Value]:
        """Rewrites an equation; returns its results."""
        name = equation.primitive.name
        scalars = self._known(operands)
        is_moved = any(scalar.moved for scalar in scalars.values())
        if called := called_jaxprs(equation):
            rewrite = self._callers.get(name)
            if (
                rewrite
                and (is_moved or any(map(self._inputs.contains, called)))
                and not any(map(_has_constants, called))
                and (results := rewrite(equation, operands)) is not None
            ):
                return results
            return self._constant(equation, operands)
        if len(scalars) == len(operands) == 1 and (
            name in _SPREADS or (name in _CONVERTS and equation.outvars[0].aval.shape)
        ):
            (result,) = self._emit(equation, [self.atom(operands[0])])
            scalar: Scalar | None = scalars[0]
            if name in _CONVERTS:
                of = {"new_dtype": result.aval.dtype}
                scalar = self._inputs.computed(name, of, [scalars[0]], of["new_dtype"])
                assert scalar is not None
            self._scalars[result] = scalar
            return [result]
        if operands and len(scalars) == len(operands) and len(equation.outvars) == 1:
            return self._computed(equation, operands, scalars)
        if (term := term_of(name, operands, scalars, self._inputs)) is not None:
            return [self._with_term(equation, operands, term)]
        if not is_moved:
            return self._emit(equation, [self.atom(operand) for operand in operands])
        return self._emit(
            equation,
            [
                self.atom(operand, constant=not keeps_bits(name, index))
                for index, operand in enumerate(operands)
            ],
        )

    def _known(self, operands: Sequence[Value]) -> dict[int, Scalar]:
        """Position -> value of the operands that are scalars, or arrays of one."""
        known = {}
        for index, operand in enumerate(operands):
            if isinstance(operand, Scalar):
                known[index] = operand
            elif isinstance(operand, Var) and operand in self._scalars:
                known[index] = self._scalars[operand]
        return known

    def _computed(
        self, equation: Equation, operands: list[Value], scalars: dict[int, Scalar]
    ) -> list[Value]:
        """Computes an equation of known scalars on the host, if one of them moves.

        One whose result is an array is kept.
        """
        aval, name = equation.outvars[0].aval, equation.primitive.name
        ordered = [scalars[index] for index in range(len(operands))]
        is_moved = any(scalar.moved for scalar in ordered)
        computed = self._inputs.computed(
            name, equation.params, ordered, aval.dtype, None if aval.shape else aval
        )
        if is_moved and computed is not None and not aval.shape:
            return [computed]
        keeps = all(keeps_bits(name, index) for index in range(len(operands)))
        atoms = [self.atom(each, constant=not keeps) for each in operands]
        (result,) = self._emit(equation, atoms)
        if computed is not None and (keeps or not is_moved):
            self._scalars[result] = computed
        return [result]

    def _with_term(
        self, equation: Equation, operands: list[Value], term: Term
    ) -> Value:
        """Rewrites a product or a sum with a scalar as XLA does with constants.

        Returns:
            The result.
        """
        before = self._terms.get(term.of)
        if (
            before is not None
            and before.operation == term.operation
            and (before.factor.moved or term.factor.moved)
        ):
            one, two = before.factor, term.factor
            factor = self._inputs.computed(
                term.operation, {}, [one, two], one.value.dtype
            )
            assert factor is not None
            term = before._replace(factor=factor)
        elif not term.factor.is_input:
            (result,) = self._constant(equation, operands)
            self._terms[result] = term
            return result
        like = operation(term.operation, term.factor.value.dtype)
        replaced = equation.replace(primitive=like.primitive, params=like.params)
        (result,) = self._emit(replaced, [term.of, self.atom(term.factor)])
        self._terms[result] = term
        return result

    # -- equations that call jaxprs

    def _jit(self, equation: Equation, operands: list[Value]) -> list[Value] | None:
        shardings = [
            *equation.params["in_shardings"],
            *equation.params["out_shardings"],
        ]
        if any(type(each).__name__ != "UnspecifiedValue" for each in shardings):
            return None
        return self.run(equation.params["jaxpr"].jaxpr, operands)

    def _custom_derivative(
        self, equation: Equation, operands: list[Value]
    ) -> list[Value]:
        # Nothing differentiates the program further.
        return self.run(equation.params["call_jaxpr"].jaxpr, operands)

    def _checkpoint(self, equation: Equation, operands: list[Value]) -> list[Value]:
        jaxpr, atoms = self._called_with(equation.params["jaxpr"], operands)
        params = equation.params | {"jaxpr": jaxpr}
        return self._emit(equation.replace(params=params), atoms)

    def _while(self, equation: Equation, operands: list[Value]) -> list[Value]:
        params = dict(equation.params)
        first, second = params["cond_nconsts"], params["body_nconsts"]
        carry = [self.atom(value) for value in operands[first + second :]]
        atoms: list[Any] = []
        for part, constants in (
            ("cond", operands[:first]),
            ("body", operands[first : first + second]),
        ):
            closed = params[f"{part}_jaxpr"]
            jaxpr, given = self._called_with(closed.jaxpr, constants)
            params[f"{part}_jaxpr"] = closed.replace(jaxpr=jaxpr)
            params[f"{part}_nconsts"] = len(given)
            atoms += given
        return self._emit(equation.replace(params=params), [*atoms, *carry])

    def _scan(self, equation: Equation, operands: list[Value]) -> list[Value]:
        closed, (count, _) = equation.params["jaxpr"], scan_operands(equation.params)
        jaxpr, given = self._called_with(closed.jaxpr, operands[:count])
        params = with_scan_constants(equation.params, len(given))
        params["jaxpr"] = closed.replace(jaxpr=jaxpr)
        if "linear" in params:
            linear = params["linear"][count:]
            params["linear"] = (*(False,) * len(given), *linear)
        rest = [self.atom(value) for value in operands[count:]]
        return self._emit(equation.replace(params=params), [*given, *rest])

    def _cond(self, equation: Equation, operands: list[Value]) -> list[Value]:
        index, *rest = operands
        branches, given = [], []
        for closed in equation.params["branches"]:
            jaxpr, given = self._called_with(closed.jaxpr, rest)
            branches.append(closed.replace(jaxpr=jaxpr))
        params = equation.params | {"branches": tuple(branches)}
        atoms = [self.atom(index, constant=True), *given]
        return self._emit(equation.replace(params=params), atoms)

    def _called_with(
        self, jaxpr: Any, operands: Sequence[Value]
    ) -> tuple[Any, list[Any]]:
        """Rewrites a jaxpr that is called with these first operands.

        Scalars that move are read inside of it, as XLA moves constants there.

        Returns:
            The jaxpr, with the array before its own inputs; its operands.
        """
        level = _Level(self._inputs)
        values: list[Value] = []
        variables: list[Any] = [level.array]
        atoms: list[Any] = [self.array]
        for index, variable in enumerate(jaxpr.invars):
            operand = operands[index] if index < len(operands) else None
            if isinstance(operand, Scalar) and operand.moved:
                values.append(dataclasses.replace(operand, variable=None))
                continue
            values.append(Var(variable.aval))
            variables.append(values[-1])
            if operand is not None:
                atoms.append(self.atom(operand))
        outputs = [level.atom(result) for result in level.run(jaxpr, values)]
        return _replaced(jaxpr, variables, outputs, level.equations), atoms


def _has_constants(jaxpr: Any) -> bool:
    return bool(getattr(jaxpr, "jaxpr", jaxpr).constvars)


def _replaced(
    jaxpr: Any, invars: Sequence[Var], outvars: Sequence[Any], equations: list[Equation]
) -> Any:
    return jaxpr.replace(
        invars=list(invars),
        outvars=list(outvars),
        eqns=equations,
        debug_info=jaxpr.debug_info.with_unknown_names(),
    )
