"""Descriptions of GPUs for XLA's compiler, which needs no GPU with them."""

import functools
import importlib.resources
import tomllib
from typing import Any

from specflow.runtime.chips import Chip

__all__ = ["Figures", "figures", "sources", "target_config"]

Figures = dict[str, tuple[Any, str]]
"""Name of a figure -> its value, and the key of its source."""

_FILE = "gpu_targets.toml"


def target_config(
    chip: Chip, *, cudnn: tuple[int, int] = (9, 10), cuda: tuple[int, int] = (12, 9)
) -> str:
    """Returns the description of a GPU as a `GpuTargetConfigProto` in text form.

    Args:
        chip: a GPU that a topology can name.
        cudnn: major and minor version of cuDNN that the program will run with.
        cuda: likewise, of CUDA's runtime.

    >>> from specflow.runtime.chips import GPUS
    >>> print(target_config(GPUS["h100"]).splitlines()[-1])
    device_description_str: "NVIDIA H100 80GB HBM3"
    """
    known = {name: value for name, (value, _) in figures(chip).items()}
    kind = known.pop("device_kind")
    major, minor = f"{chip.capability}".split(".")
    lines = [f"  {name}: {value}" for name, value in known.items()]
    return "\n".join(
        [
            "gpu_device_info {",
            *lines,
            f"  cuda_compute_capability {{ major: {major} minor: {minor} }}",
            "}",
            'platform_name: "CUDA"',
            f"dnn_version_info {{ major: {cudnn[0]} minor: {cudnn[1]} }}",
            f"runtime_version {{ major: {cuda[0]} minor: {cuda[1]} }}",
            f'device_description_str: "{kind}"',
        ]
    )


def figures(chip: Chip) -> Figures:
    """Returns all figures of a GPU with the keys of their sources."""
    tables = _tables()
    parts = (
        tables["every_gpu"],
        tables["capability"][f"{chip.capability}"],
        tables["gpu"][chip.topology],
    )
    return {name: tuple(pair) for part in parts for name, pair in part.items()}


def sources() -> dict[str, str]:
    """Returns the source of each key."""
    return _tables()["sources"]


@functools.cache
def _tables() -> dict[str, Any]:
    file = importlib.resources.files("specflow.runtime").joinpath(_FILE)
    return tomllib.loads(file.read_text())
