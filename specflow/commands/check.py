"""`specflow check`: every mode traced; nothing allocated on a device or trained."""

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import jax

from specflow.commands import session
from specflow.data import Data, build_data
from specflow.estimator import TPUEstimator
from specflow.executor import fingerprint as combined
from specflow.experiment import check_labels
from specflow.spec import Mode, TPUEstimatorSpec
from specflow.typing import leaves

if TYPE_CHECKING:
    from specflow.compose import Composed

__all__ = ["check"]

_SHORT = {"float": "f", "bfloat": "bf", "int": "i", "uint": "u", "bool": "bool"}


def check(composed: "Composed", *, fingerprint: bool = False) -> dict[str, Any]:
    """Prints what each mode means, and where each parameter goes.

    Args:
        composed: the experiment.
        fingerprint: print hashes of the lowered programs instead.

    Returns:
        The same as plain values.

    Raises:
        SpecflowError: what is wrong with the experiment, as training would find it.
    """
    config = composed.config
    session.start(config.mesh)
    data = build_data(config.data)
    estimator = TPUEstimator.from_config(config, data=data)
    check_labels(config, estimator, data)
    if fingerprint:
        steps = config.loop.train_steps
        programs = estimator.fingerprints(data.train, data.eval, max_steps=steps)
        programs["all"] = combined(programs)
        print(columns(list(programs.items())))
        return {"fingerprints": programs}
    optimizer = getattr(config.optimizer, "name", None) or config.optimizer.path
    modes = mode_rows(estimator, data, optimizer=optimizer)
    print(columns(modes))
    print()
    print(parameter_table(estimator, data))
    parameters = as_dicts(parameter_rows(estimator, data))
    return {"modes": as_dicts(modes), "parameters": parameters}


def mode_rows(
    estimator: TPUEstimator, data: Data, *, optimizer: str
) -> list[tuple[str, ...]]:
    """A head, and a row for each mode: what its spec holds."""
    rows = [("mode", "loss", "train_op", "eval tensors (batch-major)", "export")]
    for mode in Mode:
        source = data.train if mode is Mode.TRAIN else data.eval
        spec = estimator.abstract_spec(mode, source)
        rows.append(
            (
                str(mode),
                short(spec.loss) if spec.loss is not None else "-",
                optimizer if spec.train_op is not None else "-",
                _eval_tensors(spec),
                _signatures(spec) if mode is Mode.PREDICT else "-",
            )
        )
    return rows


def parameter_rows(estimator: TPUEstimator, data: Data) -> list[tuple[str, ...]]:
    """A head, and a row for each parameter: where it goes, why, and what it costs."""
    state = estimator.abstract_state(data.train)
    placements = estimator.partitioner.placements(state.params)
    rows = [("parameter", "array", "placement", "rule", "bytes a device")]
    for path, array in state.params.items():
        placement = placements[path]
        axes = ", ".join(axis or "-" for axis in placement.axes)
        rows.append(
            (
                path,
                short(array),
                f"({axes})",
                placement.rule or "-",
                f"{bytes_per_device(array):,}",
            )
        )
    return rows


def parameter_table(estimator: TPUEstimator, data: Data) -> str:
    """One line for each parameter, and what the whole state costs on which mesh."""
    state = estimator.abstract_state(data.train)
    placements = estimator.partitioner.placements(state.params)
    mesh = estimator.partitioner.mesh
    axes = " x ".join(f"{name} {size}" for name, size in mesh.shape.items() if size > 1)
    split = sum(any(placement.axes) for placement in placements.values())
    trees = {
        "parameters": state.params,
        "optimizer": state.opt_state,
        "rest": state.rest,
    }
    cost = ", ".join(
        f"{name} {human(sum(map(bytes_per_device, jax.tree.leaves(tree))))}"
        for name, tree in trees.items()
    )
    return (
        f"{columns(parameter_rows(estimator, data), right=(4,))}\n\n"
        f"mesh        {axes or 'single device'} ({mesh.size} devices)\n"
        f"parameters  {estimator.parameter_count():,} numbers in {len(placements)} "
        f"arrays, {split} of them split\n"
        f"a device    {cost}"
    )


def bytes_per_device(array: Any) -> int:
    """Bytes of an abstract array on each device that holds a part of it."""
    return math.prod(array.sharding.shard_shape(array.shape)) * array.dtype.itemsize


def human(count: int) -> str:
    """A number of bytes, for people.

    >>> human(512), human(3 << 20)
    ('512 B', '3.0 MiB')
    """
    size, units = float(count), iter(("B", "KiB", "MiB", "GiB", "TiB"))
    unit = next(units)
    while size >= 1024 and unit != "TiB":
        size, unit = size / 1024, next(units)
    return f"{count} B" if unit == "B" else f"{size:.1f} {unit}"


def short(array: Any) -> str:
    """An array as XLA writes it.

    >>> import numpy as np
    >>> short(np.zeros((2, 3), np.float32)), short(np.zeros((), np.bool_))
    ('f32[2,3]', 'bool[]')
    """
    name = str(array.dtype)
    word = name.rstrip("0123456789")
    dtype = _SHORT.get(word, word) + name[len(word) :]
    return f"{dtype}[{','.join(map(str, array.shape))}]"


def columns(rows: Iterable[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """Rows of texts, aligned.

    >>> print(columns([("a", "1"), ("bcd", "20")], right=(1,)))
    a     1
    bcd  20
    """
    table = list(rows)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = (
        "  ".join(
            text.rjust(width) if place in right else text.ljust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    )
    return "\n".join(lines)


def as_dicts(rows: Sequence[Sequence[str]]) -> list[dict[str, str]]:
    """Rows below a head, as dicts.

    >>> as_dicts([("mode", "loss"), ("train", "f32[]")])
    [{'mode': 'train', 'loss': 'f32[]'}]
    """
    head, *rest = rows
    return [dict(zip(head, row, strict=True)) for row in rest]


def _eval_tensors(spec: TPUEstimatorSpec) -> str:
    if spec.eval_metrics is None:
        return "-"
    return "  ".join(f"{name} {short(x)}" for name, x in spec.eval_metrics.named())


def _signatures(spec: TPUEstimatorSpec) -> str:
    return "; ".join(
        f"{name}: {', '.join(path for path, _ in leaves(output.tensors()))}"
        for name, output in spec.export_outputs.items()
    )
