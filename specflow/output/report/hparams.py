"""A config as the hyperparameters that TensorBoard's HPARAMS tab compares."""

import json
from collections.abc import Mapping
from typing import Any

from specflow.runtime.plain_tree import settings

__all__ = ["hparams_of"]


def hparams_of(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted key -> text, number or truth value, of every leaf but those of `output`.

    Every default is in it, so that trials of one kind have the same columns. What
    TensorBoard has no type for (null, lists) is JSON text.

    >>> hparams_of({"seed": 0, "model": {"hidden": [8], "dropout": None}})
    {'seed': 0, 'model.hidden': '[8]', 'model.dropout': 'null'}
    """
    inner = {key: value for key, value in tree.items() if key != "output"}
    return {
        key: value
        if isinstance(value, bool | int | float | str)
        else json.dumps(value, default=str)
        for key, value in settings(inner)
    }
