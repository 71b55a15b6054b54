"""How often a loop of a compiled program runs, as far as its text tells."""

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
    """A line of a program."""

    name: str
    shape: str
    op: str
    line: str
    home: str
    """The computation that it stands in."""

    @property
    def operands(self) -> list[str]:
        """Names of what it takes."""
        given = self.line.partition(f" {self.op}(")[2].partition("), ")[0]
        return _OPERAND.findall(f"{given})")

    @property
    def number(self) -> int | None:
        """Its value, if it is a constant whole number."""
        found = _CONSTANT.search(self.line) if self.op == "constant" else None
        return int(found[1]) if found else None


Computations = Mapping[str, Sequence[Instruction]]
"""Name -> the instructions in it; its result is the last."""


def trips(loop: Instruction, computations: Computations) -> int:
    """How often a loop runs.

    It is said; or the loop counts up to a constant that stands in its condition, by
    what its body adds. The pieces of a product that is computed while its operand
    arrives, for one, are taken two at a time. Where neither is to be seen, it is 1.
    """
    if said := _TRIPS.search(loop.line):
        return int(said[1])
    condition = [*_of(loop, "condition", computations)]
    for one in condition:
        if one.op == "fusion":
            condition += _of(one, "calls", computations)
    limits = {one.number for one in condition if one.number is not None}
    if len(limits) != 1:
        return 1
    (limit,) = limits
    places = {
        int(found[1])
        for one in condition
        if one.op == "get-tuple-element" and (found := _INDEX.search(one.line))
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
    """What the counter is at first: 0, unless a constant says otherwise."""
    known = {one.name: one for one in around}
    given = known.get(loop.operands[0]) if loop.operands else None
    first = _at(given, place, known)
    while first is not None and first.op in ("copy", "bitcast") and first.operands:
        first = known.get(first.operands[0])
    return (first.number or 0) if first is not None else 0


def _step(place: int, body: Sequence[Instruction]) -> int:
    """What the body adds to the counter: 1, unless a constant says otherwise."""
    known = {one.name: one for one in body}
    added = _at(body[-1] if body else None, place, known)
    if added is None or added.op != "add":
        return 1
    numbers = [known[name].number for name in added.operands if name in known]
    return next((number for number in numbers if number), 1)


def _at(
    made: Instruction | None, place: int, known: Mapping[str, Instruction]
) -> Instruction | None:
    """What stands at a place of a tuple."""
    if made is None or made.op != "tuple" or place >= len(made.operands):
        return None
    return known.get(made.operands[place])
