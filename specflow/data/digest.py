"""Digests of rows, with which processes compare their data."""

from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from specflow.data.array_tree import named_leaves
from specflow.data.source import RowSpec, Source

__all__ = ["block_digests", "compared_blocks", "row_digests", "row_forms"]

_WHOLE = 64 << 20
"""Size of a data set, in bytes, up to which all rows are compared."""
_BLOCKS = 64
_SEED = 0


def row_forms(source: Source) -> dict[str, str]:
    """Returns shape and dtype of one row of each array.

    >>> from specflow.data import ArraySource
    >>> row_forms(ArraySource(np.zeros((5, 2), np.float32)))
    {'features': 'float32[2]'}
    """
    return {
        path: f"{spec.dtype}{list(spec.shape)}".replace(" ", "")
        for path, spec in _specs(source)
    }


def compared_blocks(source: Source) -> list[slice]:
    """Chooses the rows to compare, equally in every process.

    All rows of a data set up to 64 MiB; of a larger one as many bytes in blocks: the
    first, the last, and others at random positions.

    >>> from specflow.data import ArraySource
    >>> compared_blocks(ArraySource(np.zeros((130, 2), np.float32)))[-1]
    slice(129, 130, None)
    """
    rows = len(source)
    row_bytes = sum(_bytes(spec) for _, spec in _specs(source))
    fitting = max(1, _WHOLE // max(1, row_bytes))
    if rows <= fitting:
        size = -(-rows // _BLOCKS)
        return [slice(at, min(at + size, rows)) for at in range(0, rows, size)]
    size = max(1, fitting // _BLOCKS)
    count = rows // size
    inner = min(count, _BLOCKS, fitting) - 2
    random = np.random.default_rng(_SEED)
    numbers = {0, *(1 + random.choice(count - 2, max(0, inner), replace=False))}
    blocks = [slice(int(n) * size, (int(n) + 1) * size) for n in sorted(numbers)]
    return [*blocks, slice(rows - size, rows)]


def block_digests(source: Source) -> dict[str, list[str]]:
    """Returns the digests of each array's `compared_blocks`: of values and their order.

    >>> from specflow.data import ArraySource
    >>> one, other = (block_digests(ArraySource(np.array(x))) for x in ([1, 2], [2, 1]))
    >>> one == other
    False
    """
    found: dict[str, list[str]] = {path: [] for path, _ in _specs(source)}
    for block in compared_blocks(source):
        for path, array in named_leaves(*source.take(block)):
            found[path].append(_digest(array))
    return found


def row_digests(source: Source, path: str, block: slice) -> list[tuple[str, Any]]:
    """Returns digest and shown value of each row in a block of one array.

    >>> from specflow.data import ArraySource
    >>> row_digests(ArraySource(np.array([7, 5])), "features", slice(1, 2))[0][1]
    5
    """
    array = dict(named_leaves(*source.take(block)))[path]
    return [(_digest(row), _shown(row)) for row in array]


def _shown(row: npt.NDArray[np.generic]) -> Any:
    if row.size <= 4:
        return row.tolist()
    return f"{row.dtype}{list(row.shape)} of digest {_digest(row)[:8]}"


def _digest(array: npt.NDArray[np.generic]) -> str:
    # As bytes: bfloat16 and similar dtypes export no buffer.
    return xxhash.xxh3_64_hexdigest(np.ascontiguousarray(array).view(np.uint8).data)


def _specs(source: Source) -> list[tuple[str, RowSpec]]:
    return named_leaves(*source.spec())


def _bytes(spec: RowSpec) -> int:
    return int(np.prod(spec.shape)) * spec.dtype.itemsize
