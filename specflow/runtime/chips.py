"""Specifications of accelerator chips.

Sources: the pages on v4, v5e, v5p and v6e in Google's Cloud TPU documentation (system
architecture and configurations), read in 2026; NVIDIA's datasheets of A100, H100, H200,
B200 and L4 and its Ada architecture whitepaper (dense bf16, accumulated in float32:
half of the figure with sparsity; their GB are GiB, as devices report memory).

`usable` is what libtpu 0.0.42 reports as available when a program is too large; it
reserves the rest. Of a GPU it is what CUDA reports in total: sources in
`gpu_targets.toml`, beside those of all that XLA's compiler needs to know.

A bidirectional bandwidth counts once, as what leaves a chip. Networks between nodes of
GPUs: a 400 Gb/s adapter for each GPU of a DGX H100, H200 or B200, 200 Gb/s in a DGX
A100 (NVIDIA's DGX user guides); elsewhere the fastest adapter for a slot of the GPU's
generation of PCIe, which is an upper bound.
"""

import dataclasses

__all__ = ["CHIPS", "GPUS", "TPUS", "Chip", "chip_of"]

_GIB = 1 << 30


@dataclasses.dataclass(frozen=True)
class Chip:
    """One chip; a JAX device is one chip on all of these but v2 and v3 TPUs."""

    name: str
    kinds: tuple[str, ...]
    """Prefixes of JAX's `device_kind`."""
    flops: float
    """Peak FLOP/s in bf16."""
    hbm: int
    """Bytes of memory."""
    hbm_bandwidth: float
    """Memory bandwidth, bytes per second."""
    ici_bandwidth: float = 0.0
    """Outgoing bytes per second over all links to chips of the slice or node."""
    dcn_bandwidth: float = 0.0
    """Outgoing bytes per second and chip to other slices or nodes."""
    usable: int = 0
    """Bytes of memory available to a program; of a GPU, before JAX takes its share."""
    shapes: tuple[tuple[int, ...], ...] = ()
    """Slices that are not made of cubes, or usual nodes of GPUs, smallest first."""
    chips: int = 0
    """Chips of the largest slice or node."""
    capability: float = 0.0
    """CUDA compute capability; 0: no GPU."""
    link: str = "ICI"
    """Name of the links to chips of the slice or node."""

    @property
    def topology(self) -> str:
        """Name in a topology.

        >>> GPUS["h100-nvl"].name, GPUS["h100-nvl"].topology
        ('H100 NVL', 'h100-nvl')
        """
        return self.name.lower().replace(" ", "-")

    @property
    def is_gpu(self) -> bool:
        """True for a GPU."""
        return self.capability > 0

    @property
    def unit(self) -> str:
        """Word for one of them."""
        return "GPU" if self.is_gpu else "chip"

    @property
    def is_cubic(self) -> bool:
        """True if larger slices are boxes made of cubes."""
        return any(len(shape) == 3 for shape in self.shapes)


_FLAT = ((1, 1), (2, 2), (2, 4), (4, 4), (4, 8), (8, 8), (8, 16), (16, 16))
_BOXES = ((2, 2, 1), (2, 2, 2), (2, 2, 4), (2, 4, 4))
_NODES = ((1,), (2,), (4,), (8,))
TPUS = {
    chip.topology: chip
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
GPUS = {
    chip.topology: chip
    for chip in (
        Chip("A100 40G", ("NVIDIA A100-SXM4-40GB", "NVIDIA A100-PCIE-40GB"), 312e12,
             40 * _GIB, 1555e9, 300e9, 200e9 / 8, usable=42_331_013_120,
             shapes=(*_NODES, (16,)), chips=16, capability=8.0, link="NVLink"),
        Chip("A100 80G", ("NVIDIA A100",), 312e12, 80 * _GIB, 2039e9, 300e9, 200e9 / 8,
             usable=85_100_068_864, shapes=_NODES, chips=8, capability=8.0,
             link="NVLink"),
        Chip("H100", ("NVIDIA H100",), 989.4e12, 80 * _GIB, 3350e9, 450e9, 400e9 / 8,
             usable=84_942_979_072, shapes=_NODES, chips=8, capability=9.0,
             link="NVLink"),
        # Bridges join pairs; PCIe, to the others, is slower.
        Chip("H100 NVL", ("NVIDIA H100 NVL",), 835.5e12, 94 * _GIB, 3900e9, 300e9,
             400e9 / 8, usable=99_857_989_632, shapes=_NODES, chips=8, capability=9.0,
             link="NVLink"),
        Chip("H200", ("NVIDIA H200",), 989.4e12, 141 * _GIB, 4800e9, 450e9, 400e9 / 8,
             usable=150_109_945_856, shapes=_NODES, chips=8, capability=9.0,
             link="NVLink"),
        Chip("B200", ("NVIDIA B200",), 2250e12, 180 * _GIB, 8000e9, 900e9, 400e9 / 8,
             usable=191_514_411_008, shapes=_NODES, chips=8, capability=10.0,
             link="NVLink"),
        Chip("L4", ("NVIDIA L4",), 121e12, 24 * _GIB, 300e9, 32e9, 200e9 / 8,
             usable=23_653_777_408, shapes=_NODES, chips=8, capability=8.9,
             link="PCIe"),
        Chip("RTX 4090", ("NVIDIA GeForce RTX 4090",), 165.2e12, 24 * _GIB, 1008e9,
             32e9, 200e9 / 8, usable=25_382_879_232, shapes=_NODES, chips=8,
             capability=8.9, link="PCIe"),
    )
}  # fmt: skip
"""GPUs by name, whose nodes a topology can name."""
CHIPS = (
    *TPUS.values(),
    *GPUS.values(),
    Chip("A100 PCIe", ("NVIDIA A100 80GB PCIe",), 312e12, 80 * _GIB, 1935e9,
         capability=8.0),
    Chip("H100 PCIe", ("NVIDIA H100 PCIe",), 756.5e12, 80 * _GIB, 2000e9,
         capability=9.0),
    Chip("H200 NVL", ("NVIDIA H200 NVL",), 835.5e12, 141 * _GIB, 4800e9,
         capability=9.0),
)  # fmt: skip
"""All chips with known specifications."""


def chip_of(kind: str) -> Chip | None:
    """Returns the chip with this `device_kind`, or None if it is unknown.

    >>> chip_of("TPU v5 lite").name, chip_of("TPU v5").name, chip_of("cpu")
    ('v5e', 'v5p', None)
    """
    matches = [
        (len(prefix), chip)
        for chip in CHIPS
        for prefix in chip.kinds
        if _is_of(kind, prefix)
    ]
    return max(matches, key=lambda match: match[0])[1] if matches else None


def _is_of(kind: str, prefix: str) -> bool:
    """An L40 is no L4, and an RTX 4090 Laptop GPU no RTX 4090."""
    if "GeForce" in prefix:
        return kind == prefix
    return kind.startswith(prefix) and not kind[len(prefix) :][:1].isdigit()
