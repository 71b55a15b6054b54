"""Collectives and largest arrays of a compiled program, parsed from its HLO text.

The text is parsed line by line; unknown lines are skipped. Its shapes are those of one
device.
"""

import dataclasses
import math
import re
from collections.abc import Iterable, Iterator

from specflow.preflight.hlo_loops import Instruction, trips

__all__ = ["Array", "Collective", "Hlo", "bytes_of"]

_COMPUTATION = re.compile(r"^(?P<entry>ENTRY )?%?(?P<name>[^\s(]+) \(.*\{\s*$")
_INSTRUCTION = re.compile(
    r"^\s+(?:ROOT )?%?(?P<name>[^\s=]+) = (?P<shape>\(.*?\)|\S+) (?P<op>[a-z][\w-]*)\("
)
_ARRAY = re.compile(r"(?P<dtype>[a-z]+\d*\w*)\[(?P<dims>[\d,<=]*)\]")
_CALLED = re.compile(
    r"\b(?:calls|to_apply|body|condition|true_computation|false_computation|"
    r"called_computations|branch_computations)=(?:%?([\w.-]+)|\{([^}]*)\})"
)
_CHANNEL = re.compile(r"channel_id=(\d+)")
_EXPLICIT = re.compile(r"replica_groups=\{\{([\d,]+)\}")
_IOTA = re.compile(r"replica_groups=\[(\d+),(\d+)\]")
_MESH = re.compile(
    r"replica_groups=mesh\[(?P<axes>[^\]]*)\](?:, device_ids=\(\S*\))? "
    r"\{(?P<used>[^}]*)\}"
)
_PLACE = re.compile(r'source_file="([^"]*)"(?: source_line=(\d+))?')
_NAME = re.compile(r'op_name="([^"]*)"')
_FRAME = re.compile(r"stack_frame_id=(\d+)")

KINDS = (
    "all-gather",
    "all-reduce",
    "all-to-all",
    "collective-broadcast",
    "collective-permute",
    "ragged-all-to-all",
    "reduce-scatter",
    "send",
)
"""Collective operations; `recv` is the other end of `send`."""
_NOT_MADE = (
    "bitcast",
    "broadcast",
    "call",
    "conditional",
    "constant",
    "copy",
    "copy-done",
    "copy-start",
    "get-tuple-element",
    "iota",
    "parameter",
    "tuple",
    "while",
)
"""Operations without a result of their own in memory."""
_BITS = {"pred": 8, "token": 0, "s4": 4, "u4": 4, "s2": 2, "u2": 2, "c64": 64}


@dataclasses.dataclass(frozen=True)
class Collective:
    """A collective operation between chips."""

    kind: str
    """One of `KINDS`."""
    bytes: int
    """Bytes of its result on each chip; of a `reduce-scatter`, of its operand."""
    group: int
    """Number of participating chips; 0 if unknown."""
    times: int = 1
    """Executions per step."""

    @property
    def sent(self) -> float:
        """Minimum bytes that leave each chip, over all executions.

        Source: Patarasuk and Yuan, Bandwidth optimal all-reduce algorithms, 2009.
        """
        share = (self.group - 1) / self.group if self.group else 1.0
        share = {"all-reduce": 2 * share, "send": 1.0, "collective-permute": 1.0}.get(
            self.kind, share
        )
        return self.bytes * self.times * share


@dataclasses.dataclass(frozen=True)
class Array:
    """A temporary array on each chip."""

    shape: str
    bytes: int
    name: str
    """Operation of the jaxpr that produced it, such as `jvp()/dot_general`."""
    place: str
    """`file.py:line`; empty if unknown."""


class Hlo:
    """The text of a compiled program.

    Args:
        text: from `jax.stages.Compiled.as_text()`.
    """

    def __init__(self, text: str):
        self._frames = _frames(text)
        self._entry = ""
        self._computations: dict[str, list[Instruction]] = {}
        home = ""
        for line in text.splitlines():
            if head := _COMPUTATION.match(line):
                home = head["name"]
                if head["entry"]:
                    self._entry = home
            elif match := _INSTRUCTION.match(line):
                instruction = Instruction(
                    match["name"], match["shape"], match["op"], line, home
                )
                self._computations.setdefault(home, []).append(instruction)

    def collectives(self) -> list[Collective]:
        """Returns every collective, with its executions per step.

        A loop with an unknown trip count counts once, such as the training program's
        own loop over steps.
        """
        found: dict[str, Collective] = {}
        for number, (instruction, times) in enumerate(
            self._walk(self._entry, 1, fused=True)
        ):
            if (kind := _kind(instruction)) not in KINDS:
                continue
            # On TPU, an overlapped collective is written in pieces with one channel.
            channel = _CHANNEL.search(instruction.line)
            key = f"{kind} {channel[1]}" if channel else f"at {number}"
            collective = Collective(
                kind, _moved(instruction), _group(instruction.line), times
            )
            if key not in found or found[key].times < times:
                found[key] = collective
        return list(found.values())

    def arrays(self, count: int) -> list[Array]:
        """Returns the largest temporary arrays, one per source line."""
        found: dict[tuple[str, str], Array] = {}
        for instruction, _ in self._walk(self._entry, 1, fused=False):
            if instruction.op in _NOT_MADE or instruction.op.endswith("-done"):
                continue
            name, place = self._source(instruction.line)
            for array in instruction.shape.strip("()").split(", "):
                shape = _ARRAY.search(array)
                if shape is None or "S(" in array:  # S(1) and above are on-chip memory.
                    continue
                largest = Array(shape.group(), bytes_of(shape.group()), name, place)
                found.setdefault((largest.shape, place or name), largest)
        # Arrays without a source line are the compiler's, often buffers of others.
        placed = {array.shape for array in found.values() if array.place}
        arrays = [
            array
            for array in found.values()
            if array.place or array.shape not in placed
        ]
        return sorted(arrays, key=lambda array: -array.bytes)[:count]

    def _walk(
        self, computation: str, times: int, *, fused: bool
    ) -> Iterator[tuple[Instruction, int]]:
        """Yields the instructions that run, with their executions per step."""
        for instruction in self._computations.get(computation, ()):
            yield instruction, times
            if instruction.op == "fusion" and not fused:
                continue
            each = (
                times * trips(instruction, self._computations)
                if instruction.op == "while"
                else times
            )
            for called in _called(instruction.line):
                yield from self._walk(called, each, fused=fused)

    def _source(self, line: str) -> tuple[str, str]:
        name = _NAME.search(line)
        operation = _short(name[1]) if name else ""
        if place := _PLACE.search(line):
            return operation, _file(place[1], place[2])
        frame = _FRAME.search(line)
        return operation, self._frames.get(int(frame[1]), "") if frame else ""


def bytes_of(shape: str) -> int:
    """Returns the bytes of a shape in HLO syntax.

    >>> bytes_of("f32[2,3]"), bytes_of("bf16[]"), bytes_of("pred[7]")
    (24, 2, 7)
    """
    found = _ARRAY.match(shape)
    if found is None:
        return 0
    digits = re.search(r"\d+", found["dtype"])
    bits = _BITS.get(found["dtype"], int(digits[0]) if digits else 0)
    dims = [int(size.lstrip("<=")) for size in found["dims"].split(",") if size]
    return math.prod(dims) * bits // 8


def _kind(instruction: Instruction) -> str:
    """The operation, without the suffix of its asynchronous form."""
    kind = instruction.op.removesuffix("-start")
    # On TPU: fused with the slice of its result.
    fused = kind == "all-reduce" and "reduce-scatter" in instruction.home
    return "reduce-scatter" if fused else kind


def _moved(instruction: Instruction) -> int:
    """Bytes of the result; of a reduce-scatter, of the operand."""
    arrays = [bytes_of(array.group()) for array in _ARRAY.finditer(instruction.shape)]
    if instruction.op.endswith("-start") or instruction.op == "send":
        # A tuple of operand, result and synchronization flags.
        largest = max(arrays, default=0)
    else:
        largest = sum(arrays)
    scattered = instruction.op.startswith(
        "reduce-scatter"
    ) and not instruction.op.endswith("-start")
    return largest * (max(1, _group(instruction.line)) if scattered else 1)


def _group(line: str) -> int:
    if found := _EXPLICIT.search(line):
        return found[1].count(",") + 1
    if found := _IOTA.search(line):
        return int(found[2])
    if found := _MESH.search(line):
        sizes = dict(re.findall(r"'([^']+)'=(\d+)", found["axes"]))
        used = re.findall(r"'([^']+)'", found["used"])
        return math.prod(int(sizes[axis]) for axis in used)
    return 0


def _called(line: str) -> Iterable[str]:
    for single, several in _CALLED.findall(line):
        yield from [single] if single else re.findall(r"[\w.-]+", several)


def _short(name: str) -> str:
    """Removes the enclosing functions from an operation's name.

    >>> _short("jit(train_loop)/while/body/transpose(jvp())/dot_general")
    'transpose(jvp())/dot_general'
    """
    parts = name.split("/")
    while len(parts) > 2:
        parts = parts[1:]
    return "/".join(parts)


def _file(path: str, line: str | None) -> str:
    file = "/".join(path.rsplit("/", 2)[-2:])
    return f"{file}:{line}" if line else file


def _frames(text: str) -> dict[int, str]:
    """Source line of each stack frame, from the tables at the top of the text."""
    tables: dict[str, dict[int, str]] = {}
    table: dict[int, str] = {}
    for line in text.splitlines():
        if line in ("FileNames", "FunctionNames", "FileLocations", "StackFrames"):
            table = tables.setdefault(line, {})
        elif _COMPUTATION.match(line):
            break
        elif row := re.match(r"(\d+) (.*)", line):
            table[int(row[1])] = row[2]
    files = {n: name.strip('"') for n, name in tables.get("FileNames", {}).items()}
    locations = {n: _fields(row) for n, row in tables.get("FileLocations", {}).items()}
    frames = {n: _fields(row) for n, row in tables.get("StackFrames", {}).items()}
    return {number: _outside(number, frames, locations, files) for number in frames}


def _fields(row: str) -> dict[str, int]:
    return {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", row)}


def _outside(
    number: int,
    frames: dict[int, dict[str, int]],
    locations: dict[int, dict[str, int]],
    files: dict[int, str],
) -> str:
    """The innermost source line outside installed packages, or else the innermost."""
    places = []
    while frame := frames.get(number):
        location = locations.get(frame.get("file_location_id", 0), {})
        file = files.get(location.get("file_name_id", 0), "")
        places.append(_file(file, str(location.get("line", ""))))
        if "site-packages" not in file:
            return places[-1]
        parent = frame.get("parent_frame_id", 0) - 1  # Also counted from 1.
        if parent >= number:
            break
        number = parent
    return places[0] if places else ""
