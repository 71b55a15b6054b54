"""Feature columns: numeric features in one matrix, and categorical features."""

import dataclasses
from collections.abc import Mapping, Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from specflow.diagnostics.errors import Diagnostic, did_you_mean, nearest, spec_error
from specflow.runtime.typing import Tree, describe, is_array, leaves

__all__ = ["Categorical", "Columns", "columns_of", "named"]


@dataclasses.dataclass(frozen=True)
class Categorical:
    """Categorical feature: a category index per example.

    A linear model learns a weight for each category, a dense network an embedding.
    Several categories per example, "b k", are summed in the former and averaged in the
    latter.

    >>> Categorical(1_000).vector_width, Categorical(1_000, width=16).vector_width
    (6, 16)

    Source: tf.feature_column.categorical_column_with_identity, embedding_column.
    """

    categories: int
    """Number of categories; indices are in [0, categories)."""
    width: int | None = None
    """Embedding size; None: the fourth root of the number of categories, rounded."""

    @property
    def vector_width(self) -> int:
        """Embedding size of a category."""
        if self.width is not None:
            return self.width
        return max(1, round(self.categories**0.25))


@dataclasses.dataclass(frozen=True)
class Columns:
    """Features of a batch, as a canned network takes them."""

    numbers: Float[Array, "b d"] | None
    """Numeric features, in the order of their names; None if there are none."""
    categories: dict[str, Int[Array, "b k"]]


def named(features: Tree) -> dict[str, Array]:
    """Flattens features by name, sorted: dotted paths if nested, `x` for an array.

    >>> list(named({"b": jnp.zeros(2), "a": {"c": jnp.zeros(2)}}))
    ['a.c', 'b']
    """
    return dict(sorted((path or "x", array) for path, array in leaves(features)))


def columns_of(
    features: Tree,
    categorical: Mapping[str, Categorical],
    *,
    among: Sequence[str] | None = None,
) -> Columns:
    """Splits features into a numeric matrix and category indices.

    Args:
        features: an array, or a (nested) dict of arrays, rows first.
        categorical: features that are category indices. All others are numeric, also
            integers.
        among: names of the features to use; None: all.

    Raises:
        SpecError: a named feature does not exist, or category indices are not integers.

    >>> features = {"b": jnp.ones((2, 3)), "a": jnp.zeros(2), "c": jnp.array([1, 0])}
    >>> columns = columns_of(features, {"c": Categorical(2)})
    >>> columns.numbers.tolist(), columns.categories["c"].shape
    ([[0.0, 1.0, 1.0, 1.0], [0.0, 1.0, 1.0, 1.0]], (2, 1))
    """
    arrays = named(features)
    _check_names([*categorical, *(among or ())], arrays)
    used = {name: arrays[name] for name in arrays if among is None or name in among}
    flat = {name: array.reshape(array.shape[0], -1) for name, array in used.items()}
    categories = {name: flat[name] for name in flat if name in categorical}
    for name, array in categories.items():
        if not jnp.issubdtype(array.dtype, jnp.integer):
            raise spec_error(
                Diagnostic(
                    f"features.{name}",
                    f"is {describe(arrays[name])}",
                    expected="integers, category indices",
                    code="canned",
                )
            )
    numbers = [
        flat[name].astype(jnp.float32) for name in flat if name not in categorical
    ]
    matrix = jnp.concatenate(numbers, axis=1) if numbers else None
    return Columns(matrix, categories)


def _check_names(names: Sequence[str], arrays: Mapping[str, Array]) -> None:
    diagnostics = [
        Diagnostic(
            f"features.{name}",
            "there is no such feature",
            expected=f"one of {', '.join(arrays)}",
            hint=did_you_mean(nearest(name, arrays)),
            code="canned",
        )
        for name in dict.fromkeys(names)
        if not is_array(arrays.get(name))
    ]
    if diagnostics:
        raise spec_error(*diagnostics)
