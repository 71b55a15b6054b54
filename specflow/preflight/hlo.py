"""What a compiled program's text tells: collectives, and the largest arrays.

XLA's HLO is read as it prints it, line by line; what is not understood is passed over.
Shapes in it are those of one device.
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
"""Ways in which chips speak to each other; `recv` is the other end of `send`."""
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
"""Operations that make nothing new, or nothing that has to be kept."""
_BITS = {"pred": 8, "token": 0, "s4": 4, "u4": 4, "s2": 2, "u2": 2, "c64": 64}


@dataclasses.dataclass(frozen=True)
class Collective:
    """An exchange between chips."""

    kind: str
    """One of `KINDS`."""
    bytes: int
    """Of what it makes on each chip; of a `reduce-scatter`, of what it takes."""
    group: int
    """How many chips take part in each exchange; 0: it is not said."""
    times: int = 1
    """How often a step does it."""

    @property
    def sent(self) -> float:
        """Bytes that leave each chip at the least, all times together.

        Source: Patarasuk and Yuan, Bandwidth optimal all-reduce algorithms, 2009.
        """
        share = (self.group - 1) / self.group if self.group else 1.0
        share = {"all-reduce": 2 * share, "send": 1.0, "collective-permute": 1.0}.get(
            self.kind, share
        )
        return self.bytes * self.times * share


@dataclasses.dataclass(frozen=True)
class Array:
    """An array that a program makes on each chip while it runs."""

    shape: str
    bytes: int
    name: str
    """The operation in the jaxpr that asked for it, as `jvp()/dot_general`."""
    place: str
    """`file.py:line`, where that is known."""


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
            elif made := _INSTRUCTION.match(line):
                one = Instruction(made["name"], made["shape"], made["op"], line, home)
                self._computations.setdefault(home, []).append(one)

    def collectives(self) -> list[Collective]:
        """Every exchange between chips, and how often one step does it.

        A loop whose trips are not known counts once: a training program's own loop over
        steps is one.
        """
        found: dict[str, Collective] = {}
        for number, (one, times) in enumerate(self._walk(self._entry, 1, fused=True)):
            if (kind := _kind(one)) not in KINDS:
                continue
            # A TPU's compiler writes the pieces of one that other work hides: each
            # piece names the same channel.
            channel = _CHANNEL.search(one.line)
            key = f"{kind} {channel[1]}" if channel else f"at {number}"
            made = Collective(kind, _moved(one), _group(one.line), times)
            if key not in found or found[key].times < times:
                found[key] = made
        return list(found.values())

    def arrays(self, count: int) -> list[Array]:
        """The largest arrays that the program makes, each place in the source once."""
        found: dict[tuple[str, str], Array] = {}
        for one, _ in self._walk(self._entry, 1, fused=False):
            if one.op in _NOT_MADE or one.op.endswith("-done"):
                continue
            name, place = self._source(one.line)
            for array in one.shape.strip("()").split(", "):
                shape = _ARRAY.search(array)
                if shape is None or "S(" in array:  # S(1) and above are on the chip.
                    continue
                made = Array(shape.group(), bytes_of(shape.group()), name, place)
                found.setdefault((made.shape, place or name), made)
        # What has no place is what the compiler added: room for one that has, perhaps.
        placed = {made.shape for made in found.values() if made.place}
        told = [
            made for made in found.values() if made.place or made.shape not in placed
        ]
        return sorted(told, key=lambda made: -made.bytes)[:count]

    def _walk(
        self, computation: str, times: int, *, fused: bool
    ) -> Iterator[tuple[Instruction, int]]:
        """The instructions that run, and how often."""
        for one in self._computations.get(computation, ()):
            yield one, times
            if one.op == "fusion" and not fused:
                continue
            each = (
                times * trips(one, self._computations) if one.op == "while" else times
            )
            for called in _called(one.line):
                yield from self._walk(called, each, fused=fused)

    def _source(self, line: str) -> tuple[str, str]:
        name = _NAME.search(line)
        operation = _short(name[1]) if name else ""
        if place := _PLACE.search(line):
            return operation, _file(place[1], place[2])
        frame = _FRAME.search(line)
        return operation, self._frames.get(int(frame[1]), "") if frame else ""


def bytes_of(shape: str) -> int:
    """Bytes of an array as XLA writes it.

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


def _kind(one: Instruction) -> str:
    """The operation, whether it waits for its end or not."""
    kind = one.op.removesuffix("-start")
    # Fused with the cut of its result, on a TPU.
    fused = kind == "all-reduce" and "reduce-scatter" in one.home
    return "reduce-scatter" if fused else kind


def _moved(one: Instruction) -> int:
    """Bytes of what an exchange makes; of a reduce-scatter, of what it takes."""
    arrays = [bytes_of(array.group()) for array in _ARRAY.finditer(one.shape)]
    if one.op.endswith("-start") or one.op == "send":
        # What it takes, what it makes, and what tells when it is done.
        largest = max(arrays, default=0)
    else:
        largest = sum(arrays)
    scattered = one.op.startswith("reduce-scatter") and not one.op.endswith("-start")
    return largest * (max(1, _group(one.line)) if scattered else 1)


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
    """An operation's name without the functions around it.

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
    """The place of each stack frame: XLA writes them as tables above the program."""
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
    """The innermost place that is not inside an installed package, or the innermost."""
    places = []
    while frame := frames.get(number):
        location = locations.get(frame.get("file_location_id", 0), {})
        file = files.get(location.get("file_name_id", 0), "")
        places.append(_file(file, str(location.get("line", ""))))
        if "site-packages" not in file:
            return places[-1]
        parent = frame.get("parent_frame_id", 0) - 1  # It is counted from 1, too.
        if parent >= number:
            break
        number = parent
    return places[0] if places else ""
