"""A checkpoint that several processes write, each its share, none waiting for another.

It is laid on disk as Orbax lays it, which reads it, and not by Orbax: that has the
processes wait for each other where one of them may have failed.
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
    """Writes what is this process's: its pieces, in a database of their own.

    Args:
        folder: of the checkpoint, the same in every process.
        shares: name -> what this process has of the array.
    """
    import tensorstore

    digests = {
        name: [[bounds, array_digest(piece)] for bounds, piece in share.pieces]
        for name, share in shares.items()
    }
    written = []
    transaction = tensorstore.Transaction(atomic=True)
    own = _database(_own(folder, collectives.process_index()))
    for name, share in shares.items():
        # Arrays without elements are not written: their shape says all there is.
        if not share.pieces or 0 in share.shape:
            continue
        store = tensorstore.open(
            {
                "driver": "zarr",
                "kvstore": {**own, "path": f"{name}/"},
                "metadata": {**_ZARR, "shape": share.shape, "chunks": share.chunk},
                # Zeros are written too: Orbax would take them for absent.
                "store_data_equal_to_fill_value": True,
            },
            dtype=tensorstore.dtype(share.dtype),
            create=True,
            transaction=transaction,
        ).result()
        for bounds, piece in share.pieces:
            cut = tuple(slice(*each) for each in bounds)
            written.append(
                store[cut].write(piece, can_reference_source_data_indefinitely=True)
            )
    for each in written:
        each.result()
    transaction.commit_async().result()
    _digests(folder, collectives.process_index()).write_text(
        json.dumps(digests), encoding="utf-8"
    )


def join_shares(folder: Path, shares: Mapping[str, Share]) -> dict[str, Any]:
    """Makes one database of those that all processes have written.

    Args:
        folder: of the checkpoint.
        shares: those of any process: what the arrays are.

    Returns:
        name -> shape and dtype of the array, bounds and digest of each piece.
    """
    import tensorstore

    state = folder / "state"
    everyone = range(collectives.process_count())
    transaction = tensorstore.Transaction(atomic=True)
    # One for all: what is copied between them is where to find it.
    context = tensorstore.Context()
    whole = tensorstore.KvStore.open(_database(state), context=context).result()
    databases = [own for index in everyone if (own := _own(folder, index)).exists()]
    for own in databases:
        part = tensorstore.KvStore.open(_database(own), context=context).result()
        part.experimental_copy_range_to(whole.with_transaction(transaction)).result()
    transaction.commit_async().result()
    full = {name: share for name, share in shares.items() if 0 not in share.shape}
    if full:
        (state / "_METADATA").write_text(_for_orbax(full), encoding="utf-8")
    # Without it, Orbax warns when it reads.
    (folder / "_CHECKPOINT_METADATA").write_text("{}", encoding="utf-8")
    files = [_digests(folder, index) for index in everyone]
    found = [json.loads(file.read_text(encoding="utf-8-sig")) for file in files]
    for file in files:
        file.unlink()
    return {
        name: {
            "dtype": share.dtype.name,
            "shape": list(share.shape),
            "shards": [piece for one in found for piece in one[name]],
        }
        for name, share in shares.items()
    }


def _own(folder: Path, index: int) -> Path:
    return folder / "state" / f"ocdbt.process_{index}"


def _digests(folder: Path, index: int) -> Path:
    return folder / f"digests.{index}"


def _database(folder: Path) -> dict[str, Any]:
    base = {"driver": "file", "path": f"{folder}/"}
    # One node of the tree for all, as Orbax has it.
    config = {"max_inline_value_bytes": 1024, "max_decoded_node_bytes": 100_000_000}
    return {"driver": "ocdbt", "base": base, "config": config, "assume_config": True}


def _for_orbax(shares: Mapping[str, Share]) -> str:
    """What Orbax has to know of a flat dict of arrays, to read it."""
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
