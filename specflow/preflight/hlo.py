"""Collectives and largest arrays of a compiled program, parsed from its HLO text.

The text is parsed line by line; unknown lines are skipped. Its shapes are those of one
device.
"""

import dataclasses
import re
from collections.abc import Iterable, Iterator, Sequence

from specflow.preflight.hlo_calls import Call, library_call
from specflow.preflight.hlo_groups import group_size, nodes_joined
from specflow.preflight.hlo_loops import Instruction, trips
from specflow.preflight.hlo_shapes import ARRAY, bytes_of

__all__ = ["Array", "Call", "Collective", "Hlo", "bytes_of"]

_COMPUTATION = re.compile(r"^(?P<entry>ENTRY )?%?(?P<name>[^\s(]+) \(.*\{\s*$")
_INSTRUCTION = re.compile(
    r"^\s+(?:ROOT )?%?(?P<name>[^\s=]+) = (?P<shape>\(.*?\)|\S+) (?P<op>[a-z][\w-]*)\("
)
_CALLED = re.compile(
    r"\b(?:calls|to_apply|body|condition|true_computation|false_computation|"
    r"called_computations|branch_computations)=(?:%?([\w.-]+)|\{([^}]*)\})"
)
_CHANNEL = re.compile(r"channel_id=(\d+)")
_STARTED = re.compile(r"\(\(.*\), \(")
_PLACE = re.compile(r'source_file="([^"]*)"(?: source_line=(\d+))?')
_NAME = re.compile(r'op_name="([^"]*)"')
_FRAME = re.compile(r"stack_frame_id=(\d+)")
_LIBRARY = re.compile(r"site-packages/(?!specflow/)|^<frozen ")
"""A file of an installed package other than specflow, or one of Python's own."""

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
    nodes: int = 1
    """Number of nodes of GPUs that a group spans."""

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

    @property
    def sent_between(self) -> float:
        """Minimum bytes that each GPU sends to other nodes: its share of its node's."""
        if self.nodes == 1:
            return 0.0
        if self.kind in ("collective-permute", "send"):
            return float(self.bytes * self.times)
        # Within a node, what has arrived once is passed on over the faster links.
        arriving = self.nodes - 1
        if self.kind in ("all-to-all", "ragged-all-to-all"):
            arriving = self.group - self.group / self.nodes
        share = arriving / self.group if self.group else 0.0
        return self.bytes * self.times * share * (1 + (self.kind == "all-reduce"))

    @property
    def sent_within(self) -> float:
        """Minimum bytes that each chip sends to others of its slice or node."""
        return self.sent - self.sent_between


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

    def collectives(self, node_of: Sequence[int] = ()) -> list[Collective]:
        """Returns every collective, with its executions per step.

        A loop with an unknown trip count counts once, such as the training program's
        own loop over steps.

        Args:
            node_of: node of each GPU of the mesh, in its order; empty for one node.
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
            line = instruction.line
            nodes = nodes_joined(line, node_of) if len({*node_of}) > 1 else 1
            collective = Collective(
                kind, _moved(instruction), group_size(line), times, nodes
            )
            if key not in found or found[key].times < times:
                found[key] = collective
        return list(found.values())

    def calls(self) -> list[Call]:
        """Returns the calls of library kernels, with their executions per step."""
        found = []
        for instruction, times in self._walk(self._entry, 1, fused=False):
            if instruction.op != "custom-call":
                continue
            shapes = self._shapes(instruction.home)
            operands = [shapes.get(name, "") for name in instruction.operands]
            call = library_call(instruction.line, instruction.shape, operands, times)
            if call is not None:
                found.append(call)
        return found

    def arrays(self, count: int) -> list[Array]:
        """Returns the largest temporary arrays, one per source line."""
        found: dict[tuple[str, str], Array] = {}
        for instruction, _ in self._walk(self._entry, 1, fused=False):
            if instruction.op in _NOT_MADE or instruction.op.endswith("-done"):
                continue
            name, place = self._source(instruction.line)
            for array in instruction.shape.strip("()").split(", "):
                shape = ARRAY.search(array)
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

    def _shapes(self, computation: str) -> dict[str, str]:
        instructions = self._computations.get(computation, ())
        return {instruction.name: instruction.shape for instruction in instructions}

    def _source(self, line: str) -> tuple[str, str]:
        name = _NAME.search(line)
        operation = _short(name[1]) if name else ""
        if place := _PLACE.search(line):
            return operation, _file(place[1], place[2])
        frame = _FRAME.search(line)
        return operation, self._frames.get(int(frame[1]), "") if frame else ""


def _kind(instruction: Instruction) -> str:
    """The operation, without the suffix of its asynchronous form."""
    kind = instruction.op.removesuffix("-start")
    # On TPU: fused with the slice of its result.
    fused = kind == "all-reduce" and "reduce-scatter" in instruction.home
    return "reduce-scatter" if fused else kind


def _moved(instruction: Instruction) -> int:
    """Bytes of the results; of a reduce-scatter, of the operands."""
    shape, line = instruction.shape, instruction.line
    scatters = instruction.op.startswith("reduce-scatter")
    if _STARTED.match(shape):
        # On GPU: a tuple of operands, one of results; several arrays move at once.
        operands, _, results = shape.partition("), (")
        return _bytes(operands if scatters else results)
    arrays = [bytes_of(array.group()) for array in ARRAY.finditer(shape)]
    started = instruction.op.endswith("-start")
    if (started and instruction.op != "all-reduce-start") or instruction.op == "send":
        # A tuple of operand, result and synchronization flags.
        return max(arrays, default=0)
    return sum(arrays) * (max(1, group_size(line)) if scatters else 1)


def _bytes(shape: str) -> int:
    return sum(bytes_of(array.group()) for array in ARRAY.finditer(shape))


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
    """The innermost source line outside other packages, or else the innermost."""
    places = []
    while frame := frames.get(number):
        location = locations.get(frame.get("file_location_id", 0), {})
        file = files.get(location.get("file_name_id", 0), "")
        places.append(_file(file, str(location.get("line", ""))))
        if not _LIBRARY.search(file):
            return places[-1]
        parent = frame.get("parent_frame_id", 0) - 1  # Also counted from 1.
        if parent >= number:
            break
        number = parent
    return places[0] if places else ""
