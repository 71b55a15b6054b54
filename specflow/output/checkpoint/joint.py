"""Writing a checkpoint by several processes, each its own pieces, without barriers.

The files have Orbax's layout, and Orbax can read them. Orbax does not write them: its
processes would wait for each other where one of them may have failed.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from specflow.distributed import collectives
from specflow.output.checkpoint.snapshot import Share, array_digest

__all__ = ["join_shares", "write_share"]

_ZARR: dict[str, Any] = {"zarr_format": 2, "compressor": {"id": "zstd", "level": 1}}


def write_share(folder: Path, shares: Mapping[str, Share]) -> None:
    """Writes the pieces of this process to a database of its own.

    Args:
        folder: of the checkpoint, the same in every process.
        shares: name -> pieces of this process.
    """
    import tensorstore

    digests = {
        name: [[bounds, array_digest(piece)] for bounds, piece in share.pieces]
        for name, share in shares.items()
    }
    writes = []
    transaction = tensorstore.Transaction(atomic=True)
    own = _database(_own(folder, collectives.process_index()))
    for name, share in shares.items():
        # Arrays without elements are not written: the description has their shape.
        if not share.pieces or 0 in share.shape:
            continue
        store = tensorstore.open(
            {
                "driver": "zarr",
                "kvstore": {**own, "path": f"{name}/"},
                "metadata": {**_ZARR, "shape": share.shape, "chunks": share.chunk},
                # Zeros are written too: Orbax would treat them as absent.
                "store_data_equal_to_fill_value": True,
            },
            dtype=tensorstore.dtype(share.dtype),
            create=True,
            transaction=transaction,
        ).result()
        for bounds, piece in share.pieces:
            index = tuple(slice(*bound) for bound in bounds)
            writes.append(
                store[index].write(piece, can_reference_source_data_indefinitely=True)
            )
    for write in writes:
        write.result()
    transaction.commit_async().result()
    _digests(folder, collectives.process_index()).write_text(
        json.dumps(digests), encoding="utf-8"
    )


def join_shares(folder: Path, shares: Mapping[str, Share]) -> dict[str, Any]:
    """Merges the databases of all processes into one.

    Args:
        folder: of the checkpoint.
        shares: those of any process, for shapes and dtypes.

    Returns:
        Name -> shape and dtype of the array, bounds and digest of each piece.
    """
    import tensorstore

    state = folder / "state"
    processes = range(collectives.process_count())
    transaction = tensorstore.Transaction(atomic=True)
    # One context for all: only references to the data are copied.
    context = tensorstore.Context()
    merged = tensorstore.KvStore.open(_database(state), context=context).result()
    databases = [own for index in processes if (own := _own(folder, index)).exists()]
    for own in databases:
        part = tensorstore.KvStore.open(_database(own), context=context).result()
        part.experimental_copy_range_to(merged.with_transaction(transaction)).result()
    transaction.commit_async().result()
    with_elements = {
        name: share for name, share in shares.items() if 0 not in share.shape
    }
    if with_elements:
        metadata = _orbax_metadata(with_elements)
        (state / "_METADATA").write_text(metadata, encoding="utf-8")
    # Without this file, Orbax warns when it reads.
    (folder / "_CHECKPOINT_METADATA").write_text("{}", encoding="utf-8")
    files = [_digests(folder, index) for index in processes]
    digests = [json.loads(file.read_text(encoding="utf-8-sig")) for file in files]
    for file in files:
        file.unlink()
    return {
        name: {
            "dtype": share.dtype.name,
            "shape": list(share.shape),
            "shards": [piece for process in digests for piece in process[name]],
        }
        for name, share in shares.items()
    }


def _own(folder: Path, index: int) -> Path:
    return folder / "state" / f"ocdbt.process_{index}"


def _digests(folder: Path, index: int) -> Path:
    return folder / f"digests.{index}"


def _database(folder: Path) -> dict[str, Any]:
    base = {"driver": "file", "path": f"{folder}/"}
    # One node of the tree for all arrays, as Orbax has it.
    config = {"max_inline_value_bytes": 1024, "max_decoded_node_bytes": 100_000_000}
    return {"driver": "ocdbt", "base": base, "config": config, "assume_config": True}


def _orbax_metadata(shares: Mapping[str, Share]) -> str:
    """Metadata with which Orbax reads a flat dict of arrays."""
    tree = {
        str((name,)): {
            "key_metadata": [{"key": name, "key_type": 2}],
            "value_metadata": {
                "value_type": "jax.Array",
                "skip_deserialize": False,
                "write_shape": share.chunk,
            },
        }
        for name, share in shares.items()
    }
    return json.dumps(
        {
            "tree_metadata": tree,
            "use_ocdbt": True,
            "use_zarr3": False,
            "store_array_data_equal_to_fill_value": True,
            "custom_metadata": None,
        }
    )
