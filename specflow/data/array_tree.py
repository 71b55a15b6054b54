"""Walks batches, trees of NumPy arrays, without JAX."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from specflow.runtime.typing import Tree, leaves

__all__ = ["batch_rows", "map_leaves", "named_leaves"]


def map_leaves(function: Callable[..., Any], tree: Tree, *others: Tree) -> Tree:
    """Applies `function` to each leaf and its counterparts in `others`.

    None is a tree without leaves, so absent labels stay absent.

    >>> map_leaves(max, {"x": 1, "y": (2, None)}, {"x": 0, "y": (3, None)})
    {'x': 1, 'y': (3, None)}
    """
    if tree is None:
        return None
    if isinstance(tree, Mapping):
        return {
            key: map_leaves(function, value, *(other[key] for other in others))
            for key, value in tree.items()
        }
    if isinstance(tree, list | tuple):
        values = (
            map_leaves(function, *peers) for peers in zip(tree, *others, strict=True)
        )
        return list(values) if isinstance(tree, list) else tuple(values)
    return function(tree, *others)


def named_leaves(features: Tree, labels: Tree) -> list[tuple[str, Any]]:
    """Lists the arrays of a batch by key path, `features.<name>` or `labels[.<name>]`.

    >>> [path for path, _ in named_leaves({"image": 0, "meta": {"id": 1}}, 2)]
    ['features.image', 'features.meta.id', 'labels']
    """
    both = leaves({"features": features, "labels": labels})
    return [(path, leaf) for path, leaf in both if leaf is not None]


def batch_rows(features: Tree, labels: Tree) -> dict[str, int | None]:
    """Returns the number of rows of each array by key path; None for a scalar.

    >>> batch_rows({"x": np.zeros((4, 2))}, np.zeros(4))
    {'features.x': 4, 'labels': 4}
    """
    return {
        path: np.shape(leaf)[0] if np.ndim(leaf) else None
        for path, leaf in named_leaves(features, labels)
    }
