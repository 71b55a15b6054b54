"""Features as a canned model takes them: numbers in one matrix, and categories."""

import dataclasses
from collections.abc import Mapping, Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from specflow.diagnostics.errors import Diagnostic, did_you_mean, nearest, spec_error
from specflow.runtime.typing import Tree, describe, is_array, leaves

__all__ = ["Categorical", "Columns", "columns_of", "named"]


@dataclasses.dataclass(frozen=True)
class Categorical:
    """A feature that is the number of a category, not a quantity.

    A linear model learns a weight for each category, a dense net a vector. Several
    categories an example, "b k", are added up in the one and averaged in the other.

    >>> Categorical(1_000).vector_width, Categorical(1_000, width=16).vector_width
    (6, 16)

    Source: tf.feature_column.categorical_column_with_identity, embedding_column.
    """

    categories: int
    """How many there are; the feature is in [0, categories)."""
    width: int | None = None
    """Size of the vector; None: the fourth root of the number of categories."""

    @property
    def vector_width(self) -> int:
        """Size of the vector of a category."""
        if self.width is not None:
            return self.width
        return max(1, round(self.categories**0.25))


@dataclasses.dataclass(frozen=True)
class Columns:
    """The features of a batch."""

    numbers: Float[Array, "b d"] | None
    """All numbers, in the order of the features' names; None if there are none."""
    categories: dict[str, Int[Array, "b k"]]


def named(features: Tree) -> dict[str, Array]:
    """The features by name, sorted; nested ones by dotted path, a bare array as `x`.

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
    """The features, numbers flattened and joined.

    Args:
        features: an array, or a (nested) dict of arrays, rows first.
        categorical: features that are categories. All others are numbers, integers too.
        among: names of the features that are taken; None: all.

    Raises:
        SpecError: a name is no feature's, or categories are no integers.

    >>> features = {"b": jnp.ones((2, 3)), "a": jnp.zeros(2), "c": jnp.array([1, 0])}
    >>> columns = columns_of(features, {"c": Categorical(2)})
    >>> columns.numbers.tolist(), columns.categories["c"].shape
    ([[0.0, 1.0, 1.0, 1.0], [0.0, 1.0, 1.0, 1.0]], (2, 1))
    """
    given = named(features)
    _check_names([*categorical, *(among or ())], given)
    taken = {name: given[name] for name in given if among is None or name in among}
    flat = {name: array.reshape(array.shape[0], -1) for name, array in taken.items()}
    categories = {name: flat[name] for name in flat if name in categorical}
    for name, array in categories.items():
        if not jnp.issubdtype(array.dtype, jnp.integer):
            raise spec_error(
                Diagnostic(
                    f"features.{name}",
                    f"is {describe(given[name])}",
                    expected="integers, the number of a category",
                    code="canned",
                )
            )
    numbers = [
        flat[name].astype(jnp.float32) for name in flat if name not in categorical
    ]
    joined = jnp.concatenate(numbers, axis=1) if numbers else None
    return Columns(joined, categories)


def _check_names(wanted: Sequence[str], given: Mapping[str, Array]) -> None:
    diagnostics = [
        Diagnostic(
            f"features.{name}",
            "there is no such feature",
            expected=f"one of {', '.join(given)}",
            hint=did_you_mean(nearest(name, given)),
            code="canned",
        )
        for name in dict.fromkeys(wanted)
        if not is_array(given.get(name))
    ]
    if diagnostics:
        raise spec_error(*diagnostics)
