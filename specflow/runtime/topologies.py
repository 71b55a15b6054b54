"""Topologies as they are typed: slices of TPUs, and nodes of GPUs."""

import dataclasses
import math
import re
from typing import NoReturn

from specflow.diagnostics.errors import ConfigError, Diagnostic, did_you_mean, nearest
from specflow.runtime.chips import GPUS, TPUS, Chip
from specflow.runtime.tpu_slices import boxes, nearest_shapes, spelt

__all__ = ["Topology", "known", "parse"]

_FORM = re.compile(r"(?P<chip>[^:*]*)(?::(?P<shape>[^*]*))?(?:\*(?P<copies>.*))?")
_SHAPE = re.compile(r"\d+(x\d+)*")
_CHIPS = {**TPUS, **GPUS}
_WIDTH = max(map(len, _CHIPS))


@dataclasses.dataclass(frozen=True)
class Topology:
    """A slice of a TPU or a node of GPUs, or several equal ones."""

    chip: Chip
    shape: tuple[int, ...]
    """Sides of a slice; number of GPUs of a node."""
    slices: int = 1
    """Number of slices or nodes."""

    @property
    def name(self) -> str:
        """Name of one slice or node: `v5p:4x4x4`, `h100:8`."""
        return f"{self.chip.topology}:{spelt(self.shape)}"

    @property
    def size(self) -> int:
        """Chips of all slices or nodes."""
        return math.prod(self.shape) * self.slices

    def __str__(self) -> str:
        return self.name if self.slices == 1 else f"{self.name}*{self.slices}"


def known() -> str:
    """Lists the known slices and nodes, one line per chip.

    >>> print(known().splitlines()[1])
    v5e       1x1 2x2 2x4 4x4 4x8 8x8 8x16 16x16
    """
    lines = []
    for chip in TPUS.values():
        shapes = [*chip.shapes]
        if chip.is_cubic:
            shapes += [shape for shape in boxes(chip) if shape[2] <= 4 * shape[0]]
        more = ""
        if chip.is_cubic:
            more = f" ... (boxes of 4x4x4, up to {chip.chips:,} chips)"
        lines.append(f"{chip.topology:<{_WIDTH}}  {_listed(shapes[:12])}{more}")
    for chip in GPUS.values():
        lines.append(
            f"{chip.topology:<{_WIDTH}}  {_listed(chip.shapes)} ... (up to "
            f"{chip.chips} GPUs a node, of {chip.usable / 2**30:.1f} GiB)"
        )
    return "\n".join(lines)


def parse(text: str, *, where: str = "--topology") -> Topology:
    """Parses a topology: `v5p:4x4x4` or `h100:8`; `h100:8*4` is four nodes of it.

    Args:
        text: chip, shape or count, and number of slices or nodes.
        where: name of the option, for messages.

    Raises:
        ConfigError: the chip is unknown, has no slice of that shape, or has no node of
            so many GPUs.

    >>> parse("v5p:4x4x4*2").size, parse("h100:8*4").size
    (128, 32)
    >>> parse("v5e:3x4", where="slice")
    Traceback (most recent call last):
    specflow.ConfigError: slice: v5e has no slice 3x4. Expected a shape of its slices,
    such as 2x4, 4x4 or 4x8.
    """
    parts = _FORM.fullmatch(text.strip().lower())
    if parts is None or not parts["chip"]:
        _refuse(
            where,
            f"got {text!r}",
            "a chip and a shape or count, as in v5p:4x4x4 or h100:8",
        )
    chip = _CHIPS.get(parts["chip"])
    if chip is None:
        _refuse(
            where,
            f"got {text!r}, and {parts['chip']} is an unknown chip",
            f"one of {', '.join(TPUS)}, and a shape, as in v5p:4x4x4; or of "
            f"{', '.join(GPUS)}, and a count, as in h100:8",
            hint=_meant(parts["chip"]),
        )
    copies, shape = parts["copies"], parts["shape"] or ""
    sizes = _count(shape, chip, text, where) if chip.is_gpu else None
    if copies is not None and not (copies.isdecimal() and int(copies)):
        unit, example = ("nodes", "h100:8") if chip.is_gpu else ("slices", "v5p:4x4x4")
        _refuse(where, f"got {copies!r} {unit}", f"a whole number, as in {example}*2")
    sizes = sizes or _slice(shape, chip, text, where)
    return Topology(chip, sizes, int(copies or 1))


def _slice(shape: str, chip: Chip, text: str, where: str) -> tuple[int, ...]:
    """Returns the sides of a slice."""
    if not _SHAPE.fullmatch(shape):
        _refuse(
            where,
            f"got {text!r}, without a shape of {chip.name}",
            f"one such as {chip.name}:{spelt(chip.shapes[3])}",
        )
    wanted = tuple(int(length) for length in shape.split("x"))
    if wanted not in (*chip.shapes, *boxes(chip)):
        *others, last = nearest_shapes(wanted, chip)
        _refuse(
            where,
            f"{chip.name} has no slice {shape}",
            f"a shape of its slices, such as {', '.join(others)} or {last}",
        )
    return wanted


def _count(shape: str, chip: Chip, text: str, where: str) -> tuple[int]:
    """Returns the number of GPUs of a node."""
    largest = f"{chip.topology}:{chip.chips}"
    if not shape:
        _refuse(
            where,
            f"got {text!r}, without a count",
            f"a number of GPUs, as in {largest}",
        )
    if not (shape.isdecimal() and int(shape)):
        _refuse(
            where,
            f"got {shape!r} GPUs",
            f"a whole number from 1 to {chip.chips}, as in {largest}",
        )
    count = int(shape)
    if count > chip.chips:
        nodes, rest = divmod(count, chip.chips)
        _refuse(
            where,
            f"got {shape} GPUs, and a node of {chip.topology} has at most {chip.chips}",
            f"a whole number from 1 to {chip.chips}, and nodes, as in {largest}*2",
            hint="" if rest else f"Try {largest}*{nodes}.",
        )
    return (count,)


def _meant(name: str) -> str:
    """Suggests a chip; a name without its size, such as `a100`, is one of several."""
    variants = [chip for chip in _CHIPS if chip.startswith(f"{name}-")]
    return did_you_mean(" or ".join(variants) or nearest(name, _CHIPS))


def _listed(shapes: list[tuple[int, ...]] | tuple[tuple[int, ...], ...]) -> str:
    return " ".join(map(spelt, shapes))


def _refuse(where: str, problem: str, expected: str, hint: str = "") -> NoReturn:
    raise ConfigError(
        Diagnostic(
            where,
            problem,
            expected=expected,
            hint=hint,
            code="topology",
            origin="command line" if where.startswith("-") else "",
        )
    )
