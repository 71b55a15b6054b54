"""Trip counts of loops in a compiled program, as far as its text has them."""

import dataclasses
import re
from collections.abc import Mapping, Sequence

__all__ = ["Computations", "Instruction", "trips"]

_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')
_CONSTANT = re.compile(r" constant\((\d+)\)")
_INDEX = re.compile(r", index=(\d+)")
_OPERAND = re.compile(r"%([\w.-]+)(?=[,)])")


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One instruction of an HLO program."""

    name: str
    shape: str
    op: str
    line: str
    home: str
    """Name of its computation."""

    @property
    def operands(self) -> list[str]:
        """Names of its operands."""
        given = self.line.partition(f" {self.op}(")[2].partition("), ")[0]
        return _OPERAND.findall(f"{given})")

    @property
    def number(self) -> int | None:
        """Its value if it is an integer constant, else None."""
        found = _CONSTANT.search(self.line) if self.op == "constant" else None
        return int(found[1]) if found else None


Computations = Mapping[str, Sequence[Instruction]]
"""Computation -> its instructions; the last is its result."""


def trips(loop: Instruction, computations: Computations) -> int:
    """Returns the trip count of a loop.

    It is annotated, or follows from the constant in the condition and the increment in
    the body (loops over the pieces of a collective matmul advance by two, for example).
    1 if neither is found.
    """
    if said := _TRIPS.search(loop.line):
        return int(said[1])
    condition = [*_of(loop, "condition", computations)]
    for instruction in condition:
        if instruction.op == "fusion":
            condition += _of(instruction, "calls", computations)
    limits = {
        instruction.number
        for instruction in condition
        if instruction.number is not None
    }
    if len(limits) != 1:
        return 1
    (limit,) = limits
    places = {
        int(found[1])
        for instruction in condition
        if instruction.op == "get-tuple-element"
        and (found := _INDEX.search(instruction.line))
    }
    if len(places) != 1:
        return limit
    (place,) = places
    start = _start(loop, place, computations.get(loop.home, ()))
    step = _step(place, _of(loop, "body", computations))
    return max(1, -(-(limit - start) // step))


def _of(
    loop: Instruction, part: str, computations: Computations
) -> Sequence[Instruction]:
    found = re.search(rf"\b{part}=%?([\w.-]+)", loop.line)
    return computations.get(found[1], ()) if found else ()


def _start(loop: Instruction, place: int, around: Sequence[Instruction]) -> int:
    """Initial value of the counter: 0, unless it is another constant."""
    known = {instruction.name: instruction for instruction in around}
    given = known.get(loop.operands[0]) if loop.operands else None
    first = _at(given, place, known)
    while first is not None and first.op in ("copy", "bitcast") and first.operands:
        first = known.get(first.operands[0])
    return (first.number or 0) if first is not None else 0


def _step(place: int, body: Sequence[Instruction]) -> int:
    """Increment of the counter: 1, unless it is another constant."""
    known = {instruction.name: instruction for instruction in body}
    added = _at(body[-1] if body else None, place, known)
    if added is None or added.op != "add":
        return 1
    numbers = [known[name].number for name in added.operands if name in known]
    return next((number for number in numbers if number), 1)


def _at(
    made: Instruction | None, place: int, known: Mapping[str, Instruction]
) -> Instruction | None:
    """The instruction at an index of a tuple."""
    if made is None or made.op != "tuple" or place >= len(made.operands):
        return None
    return known.get(made.operands[place])
