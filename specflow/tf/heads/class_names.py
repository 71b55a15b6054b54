"""Class indices of a head, and their labels."""

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
"""Label of each class: all strings, or all integers."""


@dataclasses.dataclass(frozen=True)
class Classes:
    """Number of classes, and the label of each.

    Devices hold numbers only. An integer vocabulary is looked up there; a vocabulary of
    strings on the host, by `encode` and `decode`. It names the classes of an export.

    >>> Classes(3, ("low", "middle", "high")).encode(["high", "low"])
    array([2, 0], dtype=int32)
    >>> Classes(2, (10, 20)).ids(jnp.array([20, 10, 15])).tolist()
    [1, 0, -1]
    """

    count: int
    vocabulary: Vocabulary | None = None

    @property
    def is_text(self) -> bool:
        """True if the labels are strings."""
        return self.vocabulary is not None and isinstance(self.vocabulary[0], str)

    @property
    def names(self) -> list[str]:
        """Names of the classes, as strings."""
        labels = range(self.count) if self.vocabulary is None else self.vocabulary
        return list(map(str, labels))

    def ids(self, labels: Array) -> Array:
        """Returns the class index of each label; -1 for an unknown label."""
        if self.vocabulary is None or self.is_text:
            return labels
        vocabulary = jnp.asarray(self.vocabulary).reshape(*(1,) * labels.ndim, -1)
        hits = labels[..., None] == vocabulary
        return jnp.where(hits.any(-1), hits.argmax(-1), -1)

    def named(self, ids: Int[Array, "..."]) -> Int[Array, "..."]:
        """Returns the integer label of each class index, or the index for strings."""
        if self.vocabulary is None or self.is_text:
            return ids
        return jnp.asarray(self.vocabulary)[ids]

    def all(self, rows: Int[Array, "... 1"]) -> Int[Array, "... c"]:
        """Returns all class indices, for each row."""
        return jnp.broadcast_to(
            jnp.arange(self.count, dtype=jnp.int32), (*rows.shape[:-1], self.count)
        )

    def encode(self, labels: ArrayLike) -> NDArray[np.int32]:
        """Encodes string labels as class indices.

        Raises:
            DataError: a label is not in the vocabulary; the message names its row.
        """
        texts = np.asarray(labels).astype(str)
        id_of = {name: index for index, name in enumerate(self.names)}
        unique, inverse = np.unique(texts, return_inverse=True)
        ids = np.array([id_of.get(str(text), -1) for text in unique], np.int32)
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
        """Decodes class indices to string labels.

        >>> Classes(2, ("no", "yes")).decode([1, 1, 0])
        array(['yes', 'yes', 'no'], dtype='<U3')
        """
        return np.array(self.names)[np.asarray(ids)]


def vocabulary_of(
    vocabulary: Vocabulary | None, count: int, *, where: str
) -> tuple[str | int, ...] | None:
    """Checks a vocabulary: one label per class, all strings or all integers.

    Raises:
        SpecError: labels repeat, are too few or many, of mixed types, or an integer
            exceeds JAX's integer type.
    """
    if vocabulary is None:
        return None
    labels: tuple[str | int, ...] = tuple(vocabulary)
    kinds = {type(label) for label in labels}
    if (
        isinstance(vocabulary, str)
        or len(set(labels)) != count
        or len(labels) != count
        or kinds not in ({str}, {int})
    ):
        raise spec_error(
            Diagnostic(
                f"{where}, label_vocabulary",
                f"got {vocabulary!r:.60}",
                expected=f"a list of {count} different labels, strings or integers",
                code="head",
            )
        )
    limits = jnp.iinfo(jax.dtypes.canonicalize_dtype(jnp.int64))
    integers = [label for label in labels if isinstance(label, int)]
    wide = [label for label in integers if not limits.min <= label <= limits.max]
    if wide:
        raise spec_error(
            Diagnostic(
                f"{where}, label_vocabulary",
                f"has {wide[0]}",
                expected=f"integers in [{limits.min}, {limits.max}], as labels are",
                hint="Use strings for larger ones.",
                code="head",
            )
        )
    return labels
