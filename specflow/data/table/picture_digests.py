"""Digests of many pictures, as a run keeps them."""

import base64
import dataclasses

__all__ = ["PictureDigests", "mark_of"]

_MARK = 3
"""Bytes of a picture's digest that a run keeps, to name it once the whole differs: two
pictures have the same ones once in 16,777,216 pairs."""


@dataclasses.dataclass(frozen=True, slots=True)
class PictureDigests:
    """Digests of pictures in the order of their paths, as a run keeps them."""

    sha256: str
    """Of all paths and contents."""
    marks: str
    """The beginning of each picture's digest: four characters of Base64."""

    def mark(self, number: int) -> str:
        """The beginning of the digest of one picture."""
        return self.marks[4 * number : 4 * number + 4]

    def __len__(self) -> int:
        return len(self.marks) // 4

    def to_json(self) -> dict[str, str]:
        """The digests as plain values."""
        return {"sha256": self.sha256, "marks": self.marks}


def mark_of(digest: bytes) -> str:
    """The part of a picture's digest that a run keeps."""
    return base64.b64encode(digest[:_MARK]).decode()
