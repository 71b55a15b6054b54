"""The classes of a head: their numbers, and what the labels call them."""

import dataclasses
from collections.abc import Sequence
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int
from numpy.typing import ArrayLike, NDArray

from specflow.diagnostics.errors import (
    DataError,
    Diagnostic,
    did_you_mean,
    nearest,
    spec_error,
)

__all__ = ["Classes", "Vocabulary", "vocabulary_of"]

Vocabulary: TypeAlias = Sequence[str] | Sequence[int] | tuple[str | int, ...]
"""The label of each class: all texts, or all integers."""


@dataclasses.dataclass(frozen=True)
class Classes:
    """How many classes there are, and the labels that mean them.

    Devices hold numbers only. A vocabulary of numbers is looked up there; one of texts
    on the host, by `encode` and `decode`, and names the classes of an export.

    >>> Classes(3, ("low", "middle", "high")).encode(["high", "low"])
    array([2, 0], dtype=int32)
    >>> Classes(2, (10, 20)).ids(jnp.array([20, 10, 15])).tolist()
    [1, 0, -1]
    """

    count: int
    vocabulary: Vocabulary | None = None

    @property
    def is_text(self) -> bool:
        """Whether the labels are texts."""
        return self.vocabulary is not None and isinstance(self.vocabulary[0], str)

    @property
    def names(self) -> list[str]:
        """What each class is called."""
        given = range(self.count) if self.vocabulary is None else self.vocabulary
        return list(map(str, given))

    def ids(self, labels: Array) -> Array:
        """The number of each label's class; -1 for a label that is no class's."""
        if self.vocabulary is None or self.is_text:
            return labels
        known = jnp.asarray(self.vocabulary).reshape(*(1,) * labels.ndim, -1)
        hits = labels[..., None] == known
        return jnp.where(hits.any(-1), hits.argmax(-1), -1)

    def named(self, ids: Int[Array, "..."]) -> Int[Array, "..."]:
        """The label of each class's number; the number itself where that is a text."""
        if self.vocabulary is None or self.is_text:
            return ids
        return jnp.asarray(self.vocabulary)[ids]

    def all(self, rows: Int[Array, "... 1"]) -> Int[Array, "... c"]:
        """Every class's number, for each row."""
        return jnp.broadcast_to(
            jnp.arange(self.count, dtype=jnp.int32), (*rows.shape[:-1], self.count)
        )

    def encode(self, labels: ArrayLike) -> NDArray[np.int32]:
        """The numbers of labels that are texts.

        Raises:
            DataError: a label is not in the vocabulary; its row is named.
        """
        texts = np.asarray(labels).astype(str)
        numbers = {name: number for number, name in enumerate(self.names)}
        known, inverse = np.unique(texts, return_inverse=True)
        ids = np.array([numbers.get(str(text), -1) for text in known], np.int32)
        encoded = ids[inverse].reshape(texts.shape)
        if (encoded < 0).any():
            first = tuple(np.argwhere(encoded < 0)[0])
            text = str(texts[first])
            raise DataError(
                Diagnostic(
                    "labels",
                    f"row {first[0]} has {text!r}",
                    expected=f"one of {', '.join(self.names)}",
                    hint=did_you_mean(nearest(text, self.names)),
                    code="label-vocabulary",
                )
            )
        return encoded

    def decode(self, ids: ArrayLike) -> NDArray[np.str_]:
        """The texts of classes' numbers.

        >>> Classes(2, ("no", "yes")).decode([1, 1, 0])
        array(['yes', 'yes', 'no'], dtype='<U3')
        """
        return np.array(self.names)[np.asarray(ids)]


def vocabulary_of(
    given: Vocabulary | None, count: int, *, where: str
) -> tuple[str | int, ...] | None:
    """The vocabulary, checked: as many labels as classes, all texts or all integers.

    Raises:
        SpecError: it is something else, or an integer that JAX cannot hold.
    """
    if given is None:
        return None
    labels: tuple[str | int, ...] = tuple(given)
    kinds = {type(label) for label in labels}
    if (
        isinstance(given, str)
        or len(set(labels)) != count
        or len(labels) != count
        or kinds not in ({str}, {int})
    ):
        raise spec_error(
            Diagnostic(
                f"{where}, label_vocabulary",
                f"got {given!r:.60}",
                expected=f"a list of {count} different labels, texts or integers",
                code="head",
            )
        )
    held = jnp.iinfo(jax.dtypes.canonicalize_dtype(jnp.int64))
    integers = [label for label in labels if isinstance(label, int)]
    wide = [label for label in integers if not held.min <= label <= held.max]
    if wide:
        raise spec_error(
            Diagnostic(
                f"{where}, label_vocabulary",
                f"has {wide[0]}",
                expected=f"integers in [{held.min}, {held.max}], as labels are",
                hint="Texts may be of any length.",
                code="head",
            )
        )
    return labels
