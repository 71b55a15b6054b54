"""Records: rows of named fields that a source reads by number."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

__all__ = ["RecordField", "Records"]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RecordField:
    """A field, as far as its source knows it.

    >>> RecordField(kind="numbers", dtype=np.dtype(np.uint8), shape=(28, 28)).shape
    (28, 28)
    """

    kind: Literal["numbers", "list", "image", "text", "other"]
    """`numbers`: of one shape; `list`: numbers of any length; `image`: an encoded
    picture; `text`: a text or bytes; `other`: what cannot be an array."""
    dtype: np.dtype[Any] | None = None
    """Of numbers and lists."""
    shape: tuple[int, ...] = ()
    """Of a row of numbers."""
    classes: tuple[str, ...] | None = None
    """Names of the classes of integers from 0 up."""
    about: str = ""
    """Type as the source names it, for messages."""


@runtime_checkable
class Records(Protocol):
    """The records of one part of a data source.

    A plugin implements it; `specflow.data.RecordSource` makes batches of it. Reads come
    from one thread at a time.
    """

    @property
    def files(self) -> Mapping[str, str]:
        """Name of each file -> digest of its content, by which a resumed run knows that
        its data is the same.
        """
        ...

    @property
    def fields(self) -> Mapping[str, RecordField] | None:
        """The fields, if the source knows them; None: they are inferred from the first
        records.
        """
        ...

    def __len__(self) -> int:
        """The number of records."""
        ...

    def read(
        self, rows: npt.NDArray[np.int64], fields: Sequence[str] | None
    ) -> Mapping[str, Any]:
        """Reads records, in the requested order.

        Args:
            rows: numbers of the records.
            fields: names of the fields; None: all that the records have.

        Returns:
            Field -> its values: an array, rows first; or a list with, for each record,
            a one-dimensional array, bytes, a text, or None where the record lacks it.

        Raises:
            DataError: a record cannot be read, with its file.
        """
        ...

    def place(self, row: int) -> str:
        """File and number of a record, for messages."""
        ...
