"""Hyperparameters of a config for TensorBoard's HPARAMS tab."""

import json
from collections.abc import Mapping
from typing import Any

from specflow.runtime.plain_tree import settings

__all__ = ["hparams_of"]


def hparams_of(tree: Mapping[str, Any]) -> dict[str, bool | int | float | str]:
    """Flattens a config to dotted keys; leaves out the section `output`.

    Defaults are included, so that all trials of a sweep have the same columns. Values
    without a TensorBoard type (null, lists) become JSON text.

    >>> hparams_of({"seed": 0, "model": {"hidden": [8], "dropout": None}})
    {'seed': 0, 'model.hidden': '[8]', 'model.dropout': 'null'}
    """
    sections = {key: value for key, value in tree.items() if key != "output"}
    return {
        key: value
        if isinstance(value, bool | int | float | str)
        else json.dumps(value, default=str)
        for key, value in settings(sections)
    }
