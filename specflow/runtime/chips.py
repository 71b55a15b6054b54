"""Specifications of accelerator chips and of TPU slices.

Sources: the pages on v4, v5e, v5p and v6e in Google's Cloud TPU documentation (system
architecture and configurations), read in 2026; NVIDIA's datasheets of A100, H100 and
H200 (dense bf16: half of the figure with sparsity; their GB are GiB, as devices report
memory). `usable` is what libtpu 0.0.42 reports as available when a program is too
large; it reserves the rest. A bidirectional bandwidth counts once, as what leaves a
chip.
"""

import dataclasses
import itertools
import math
import re

from specflow.diagnostics.errors import ConfigError, Diagnostic, did_you_mean, nearest

__all__ = ["CHIPS", "TPUS", "Chip", "Topology", "chip_of", "known", "parse"]

_GIB = 1 << 30
_LARGE = 4
"""Side of the cubes of which larger three-dimensional slices are made."""
_FORM = re.compile(r"(?P<chip>[^:*]*)(?::(?P<shape>[^*]*))?(?:\*(?P<slices>.*))?")
_SHAPE = re.compile(r"\d+(x\d+)*")


@dataclasses.dataclass(frozen=True)
class Chip:
    """One chip; a JAX device is one chip on all of these but v2 and v3 TPUs."""

    name: str
    """Name in a topology."""
    kinds: tuple[str, ...]
    """Prefixes of JAX's `device_kind`."""
    flops: float
    """Peak FLOP/s in bf16."""
    hbm: int
    """Bytes of memory."""
    hbm_bandwidth: float
    """Memory bandwidth, bytes per second."""
    ici_bandwidth: float = 0.0
    """Outgoing bytes per second over all links to chips of the slice."""
    dcn_bandwidth: float = 0.0
    """Outgoing bytes per second and chip to other slices."""
    usable: int = 0
    """Bytes of memory available to a program."""
    shapes: tuple[tuple[int, ...], ...] = ()
    """Slices that are not made of cubes, smallest first."""
    chips: int = 0
    """Chips of the largest slice."""

    @property
    def is_cubic(self) -> bool:
        """True if larger slices are boxes made of cubes."""
        return any(len(shape) == 3 for shape in self.shapes)


_FLAT = ((1, 1), (2, 2), (2, 4), (4, 4), (4, 8), (8, 8), (8, 16), (16, 16))
_BOXES = ((2, 2, 1), (2, 2, 2), (2, 2, 4), (2, 4, 4))
TPUS = {
    chip.name: chip
    for chip in (
        Chip("v4", ("TPU v4",), 275e12, 32 * _GIB, 1200e9, 300e9, 50e9 / 8,
             usable=int(30.75 * _GIB), shapes=_BOXES, chips=4096),
        Chip("v5e", ("TPU v5 lite", "TPU v5e"), 197e12, 16 * _GIB, 819e9, 200e9,
             25e9 / 8, usable=int(15.75 * _GIB), shapes=_FLAT, chips=256),
        Chip("v5p", ("TPU v5",), 459e12, 96 * _GIB, 2765e9, 600e9, 50e9 / 8,
             usable=int(95.74 * _GIB), shapes=_BOXES, chips=8960),
        Chip("v6e", ("TPU v6 lite", "TPU v6e"), 918e12, 32 * _GIB, 1638e9, 400e9,
             100e9 / 8, usable=int(31.25 * _GIB), shapes=_FLAT, chips=256),
    )
}  # fmt: skip
"""TPUs by name, whose slices a topology can name."""
CHIPS = (
    *TPUS.values(),
    Chip("A100", ("NVIDIA A100",), 312e12, 80 * _GIB, 2039e9),
    Chip("A100 PCIe", ("NVIDIA A100 80GB PCIe",), 312e12, 80 * _GIB, 1935e9),
    Chip("A100 40GB", ("NVIDIA A100-SXM4-40GB", "NVIDIA A100-PCIE-40GB"), 312e12,
         40 * _GIB, 1555e9),
    Chip("H100", ("NVIDIA H100",), 989.4e12, 80 * _GIB, 3350e9),
    Chip("H100 PCIe", ("NVIDIA H100 PCIe",), 756.5e12, 80 * _GIB, 2000e9),
    Chip("H100 NVL", ("NVIDIA H100 NVL",), 835.5e12, 94 * _GIB, 3900e9),
    Chip("H200", ("NVIDIA H200",), 989.4e12, 141 * _GIB, 4800e9),
    Chip("H200 NVL", ("NVIDIA H200 NVL",), 835.5e12, 141 * _GIB, 4800e9),
)  # fmt: skip
"""All chips with known specifications."""


@dataclasses.dataclass(frozen=True)
class Topology:
    """A slice of a TPU, or several equal ones."""

    chip: Chip
    shape: tuple[int, ...]
    slices: int = 1

    @property
    def name(self) -> str:
        """Name of one slice in libtpu: `v5p:4x4x4`."""
        return f"{self.chip.name}:{'x'.join(map(str, self.shape))}"

    @property
    def size(self) -> int:
        """Chips of all slices."""
        return math.prod(self.shape) * self.slices

    def __str__(self) -> str:
        return self.name if self.slices == 1 else f"{self.name}*{self.slices}"


def chip_of(kind: str) -> Chip | None:
    """Returns the chip with this `device_kind`, or None if it is unknown.

    >>> chip_of("TPU v5 lite").name, chip_of("TPU v5").name, chip_of("cpu")
    ('v5e', 'v5p', None)
    """
    matches = [
        (len(prefix), chip)
        for chip in CHIPS
        for prefix in chip.kinds
        if kind.startswith(prefix)
    ]
    return max(matches, key=lambda match: match[0])[1] if matches else None


def known() -> str:
    """Lists the known slices, one line per chip.

    >>> print(known().splitlines()[1])
    v5e  1x1 2x2 2x4 4x4 4x8 8x8 8x16 16x16
    """
    lines = []
    for chip in TPUS.values():
        shapes = [*chip.shapes]
        if chip.is_cubic:
            shapes += [shape for shape in _boxes(chip) if shape[2] <= 4 * shape[0]]
        listed = " ".join("x".join(map(str, shape)) for shape in shapes[:12])
        more = ""
        if chip.is_cubic:
            more = f" ... (boxes of 4x4x4, up to {chip.chips:,} chips)"
        lines.append(f"{chip.name:<4} {listed}{more}")
    return "\n".join(lines)


def parse(text: str, *, where: str = "--topology") -> Topology:
    """Parses a topology: `v5p:4x4x4`, or two slices of it, `v5p:4x4x4*2`.

    Args:
        text: chip, shape and number of slices.
        where: name of the option, for messages.

    Raises:
        ConfigError: the chip is unknown, or has no slice of that shape.

    >>> parse("v5p:4x4x4*2").size
    128
    >>> parse("v5e:3x4", where="slice")
    Traceback (most recent call last):
    specflow.ConfigError: slice: v5e has no slice 3x4. Expected a shape of its slices,
    such as 2x4, 4x4 or 4x8.
    """
    parts = _FORM.fullmatch(text.strip().lower())
    if parts is None or not parts["chip"]:
        raise _diagnostic(where, f"got {text!r}", "a chip and a shape, as in v5p:4x4x4")
    chip = TPUS.get(parts["chip"])
    if chip is None:
        raise _diagnostic(
            where,
            f"got {text!r}, and {parts['chip']} is an unknown chip",
            f"one of {', '.join(TPUS)}, and a shape, as in v5p:4x4x4",
            hint=did_you_mean(nearest(parts["chip"], TPUS)),
        )
    slices = parts["slices"]
    if slices is not None and not (slices.isdecimal() and int(slices)):
        raise _diagnostic(
            where, f"got {slices!r} slices", "a whole number, as in v5p:4x4x4*2"
        )
    shape = parts["shape"] or ""
    if not _SHAPE.fullmatch(shape):
        raise _diagnostic(
            where,
            f"got {text!r}, without a shape of {chip.name}",
            f"one such as {chip.name}:{_spelt(chip.shapes[3])}",
        )
    wanted = tuple(int(length) for length in shape.split("x"))
    shapes = [*chip.shapes, *_boxes(chip)]
    if wanted not in shapes:
        *others, last = sorted(map(_spelt, _nearest_shapes(wanted, shapes)), key=_chips)
        raise _diagnostic(
            where,
            f"{chip.name} has no slice {shape}",
            f"a shape of its slices, such as {', '.join(others)} or {last}",
        )
    return Topology(chip, wanted, int(slices or 1))


def _diagnostic(where: str, problem: str, expected: str, hint: str = "") -> ConfigError:
    return ConfigError(
        Diagnostic(
            where,
            problem,
            expected=expected,
            hint=hint,
            code="topology",
            origin="command line" if where.startswith("-") else "",
        )
    )


def _spelt(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _chips(shape: str) -> tuple[int, str]:
    return math.prod(map(int, shape.split("x"))), shape


def _boxes(chip: Chip) -> list[tuple[int, ...]]:
    """Boxes made of cubes, shortest side first, smallest box first."""
    if not chip.is_cubic:
        return []
    sides = range(_LARGE, chip.chips // _LARGE**2 + 1, _LARGE)
    boxes = []
    for a, b in itertools.combinations_with_replacement(sides, 2):
        if a * b * b > chip.chips:
            continue
        boxes += [(a, b, c) for c in range(b, chip.chips // (a * b) + 1, _LARGE)]
    return sorted(boxes, key=lambda box: (math.prod(box), box))


def _nearest_shapes(
    wanted: tuple[int, ...], shapes: list[tuple[int, ...]]
) -> list[tuple[int, ...]]:
    """Returns the three most similar shapes, by the ratios of their sides."""

    def distance(shape: tuple[int, ...]) -> tuple[float, int]:
        sides = itertools.zip_longest(
            sorted(shape, reverse=True), sorted(wanted, reverse=True), fillvalue=1
        )
        # A side of zero has no ratio.
        ratios = (abs(math.log(a / b)) if a and b else 99.0 for a, b in sides)
        return sum(ratios), math.prod(shape)

    return sorted(shapes, key=distance)[:3]
