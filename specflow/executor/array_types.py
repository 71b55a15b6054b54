"""Type aliases of arrays, batches and states, as training programs take them."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import jax
import numpy as np
from jax.extend import core
from numpy.typing import NDArray

from specflow.runtime.typing import ArrayLike, Tree

__all__ = [
    "Abstract",
    "Array",
    "Batch",
    "Equation",
    "Features",
    "HostTensors",
    "Jaxpr",
    "Labels",
    "Mask",
    "ModelState",
    "OptState",
    "Params",
    "Predictions",
    "RowIndices",
    "Shardings",
    "TrainOpLike",
    "Tree",
    "Weights",
]

Array: TypeAlias = jax.Array | NDArray[Any]
"""An array on devices or on the host."""
Abstract: TypeAlias = ArrayLike
"""A shape and a dtype: an array, a tracer or a `jax.ShapeDtypeStruct`."""

Features: TypeAlias = Tree
"""Batch-major arrays `[batch, ...]`, or stacked batches `[steps, batch, ...]`; where
only shapes and dtypes are read, `jax.ShapeDtypeStruct`s of them."""
Labels: TypeAlias = Tree
"""Like `Features`; None where a batch has no labels."""
Batch: TypeAlias = tuple[Features, Labels]
"""Features and labels."""
Mask: TypeAlias = Any
"""bool[batch]: True for real rows, False for padding; an array or its shape."""
RowIndices: TypeAlias = int | NDArray[np.intp]
"""Real rows of a batch: the number of leading rows, or the indices of all."""
Predictions: TypeAlias = Tree
"""Batch-major arrays `[batch, ...]` of a PREDICT spec."""
HostTensors: TypeAlias = Tree
"""Batch-major tensors of `host_call`; `()` without one."""

Params: TypeAlias = Mapping[str, Any]
"""Parameters, or their shapes and dtypes, by dotted path."""
ModelState: TypeAlias = Mapping[str, Any]
"""Non-parameter variables (batch statistics, random streams) by dotted path."""
Weights: TypeAlias = dict[str, Any]
"""Parameters and model state together, by dotted path."""
OptState: TypeAlias = Tree
"""State of an optimizer: any pytree."""
Shardings: TypeAlias = Tree
"""`jax.sharding.NamedSharding`s in the structure of the arrays they belong to."""
TrainOpLike: TypeAlias = Any
"""An optax transformation, a `TrainOp`, or a function (state, batch) -> (state,
metrics)."""

Jaxpr: TypeAlias = core.ClosedJaxpr | core.Jaxpr
"""A traced function."""
Equation: TypeAlias = Any
"""One operation of a `Jaxpr`, a `jax.extend.core.JaxprEqn`."""
