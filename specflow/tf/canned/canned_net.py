"""Networks of the canned estimators: an affine map, dense layers, or both."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from specflow.runtime.typing import Tree
from specflow.tf.canned.feature_columns import Categorical, Columns, columns_of

__all__ = ["Deep", "Net", "Wide"]


class Wide(nn.Module):
    """Affine map: one weight per number and per category, initialized to zero."""

    outputs: int
    categorical: Mapping[str, Categorical]

    @nn.compact
    def __call__(self, columns: Columns) -> Float[Array, "b c"]:
        zeros = nn.initializers.zeros_init()
        parts = [
            nn.Embed(
                self.categorical[name].categories,
                self.outputs,
                embedding_init=zeros,
                name=_label(name),
            )(ids).sum(axis=1)
            for name, ids in columns.categories.items()
        ]
        if columns.numbers is not None:
            dense = nn.Dense(
                self.outputs, use_bias=False, kernel_init=zeros, name="numbers"
            )
            parts.append(dense(columns.numbers))
        bias = self.param("bias", zeros, (self.outputs,))
        return sum(parts[1:], parts[0]) + bias[None]


class Deep(nn.Module):
    """Dense layers over the numbers and the embeddings of the categories."""

    outputs: int
    hidden_units: Sequence[int]
    activation_fn: Callable[[Array], Array]
    dropout: float | None
    batch_norm: bool
    categorical: Mapping[str, Categorical]

    @nn.compact
    def __call__(self, columns: Columns, *, train: bool) -> Float[Array, "b c"]:
        parts = [] if columns.numbers is None else [columns.numbers]
        for name, ids in columns.categories.items():
            column = self.categorical[name]
            embed = nn.Embed(column.categories, column.vector_width, name=_label(name))
            parts.append(embed(ids).mean(axis=1))
        x = jnp.concatenate(parts, axis=1)
        glorot = nn.initializers.glorot_uniform()
        for index, width in enumerate(self.hidden_units):
            x = nn.Dense(width, kernel_init=glorot, name=f"hidden_{index}")(x)
            x = self.activation_fn(x)
            if self.dropout:
                x = nn.Dropout(self.dropout, deterministic=not train)(x)
            if self.batch_norm:
                x = nn.BatchNorm(use_running_average=not train)(x)
        return nn.Dense(self.outputs, kernel_init=glorot, name="logits")(x)


class Net(nn.Module):
    """Sum of a wide and a deep part, with the parameters `linear.*` and `dnn.*`."""

    outputs: int
    categorical: Mapping[str, Categorical]
    wide: bool = False
    wide_features: Sequence[str] | None = None
    deep: Mapping[str, Any] | None = None
    """Arguments of `Deep`, without outputs and categories; None: no deep part."""
    deep_features: Sequence[str] | None = None

    @nn.compact
    def __call__(self, features: Tree, *, train: bool) -> Float[Array, "b c"]:
        parts = []
        if self.wide:
            columns = columns_of(features, self.categorical, among=self.wide_features)
            wide = Wide(self.outputs, self.categorical, name="linear")
            parts.append(wide(columns))
        if self.deep is not None:
            columns = columns_of(features, self.categorical, among=self.deep_features)
            deep = Deep(
                self.outputs,
                categorical=self.categorical,
                name="dnn",
                **self.deep,
            )
            parts.append(deep(columns, train=train))
        return sum(parts[1:], parts[0])


def _label(feature: str) -> str:
    """Returns the name of a category's weights in parameter paths."""
    return f"category_{feature.replace('.', '_')}"
