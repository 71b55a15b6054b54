"""Trained tokenizers in files: of Hugging Face's tokenizers, or of SentencePiece."""

import base64
import dataclasses
import functools
import hashlib
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from specflow.columns.ragged import Ragged
from specflow.diagnostics.errors import ConfigError, DataError, Diagnostic
from specflow.runtime.filesystem import expanded

__all__ = ["TokenizerFile"]


@dataclasses.dataclass(frozen=True)
class TokenizerFile:
    """A trained tokenizer, which the content of its file is.

    Tokens are numbers below `size`; none is added at the ends of a text, and no text is
    cut or padded, whatever the file says.
    """

    content: bytes
    """Of a `tokenizer.json`, or of a SentencePiece model."""

    @classmethod
    def read(cls, path: str, *, key: str) -> Self:
        """Reads a file.

        Args:
            path: as the user wrote it.
            key: dotted key of the path, for messages.

        Raises:
            ConfigError: the package of the tokenizer is not installed.
            DataError: there is no such file, or it is no tokenizer.
        """
        file = expanded(path, key)
        try:
            tokenizer = cls(file.read_bytes())
        except OSError as error:
            raise DataError(
                Diagnostic(
                    key,
                    f"{path!r} cannot be read: {error.strerror}",
                    expected="a tokenizer.json, or a SentencePiece model",
                    code="missing-file",
                )
            ) from error
        tokenizer.check(path, key)
        return tokenizer

    def check(self, where: str, key: str) -> None:
        """Loads the tokenizer, for its errors.

        Args:
            where: its file.
            key: setting that names it.

        Raises:
            ConfigError: its package is not installed.
            DataError: it is no tokenizer.
        """
        try:
            assert self.size > 0
        except ModuleNotFoundError as error:
            if error.name != self.package:
                raise
            raise ConfigError(
                Diagnostic(
                    key,
                    f"{where} needs the package {self.package}, which is not installed",
                    hint="Run pip install 'specflow-jax[tokenizers]'.",
                    code="package-missing",
                )
            ) from error
        except Exception as error:
            raise DataError(
                Diagnostic(
                    where,
                    f"is no tokenizer: {error}",
                    expected="a tokenizer.json as of Hugging Face's tokenizers, or a "
                    "SentencePiece model",
                    code="data-file",
                )
            ) from error

    @property
    def package(self) -> str:
        """Package that loads it."""
        is_json = self.content.lstrip()[:1] == b"{"
        return "tokenizers" if is_json else "sentencepiece"

    @property
    def suffix(self) -> str:
        """Suffix of its file."""
        return ".json" if self.package == "tokenizers" else ".model"

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of the content."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def size(self) -> int:
        """Number of tokens: one more than the largest."""
        loaded = _loaded(self)
        if self.package == "sentencepiece":
            return loaded.vocab_size()
        return 1 + max(loaded.get_vocab(with_added_tokens=True).values())

    def number(self, token: str) -> int | None:
        """The number of a token by name, such as `</s>`; None if there is none."""
        loaded = _loaded(self)
        if self.package == "tokenizers":
            return loaded.token_to_id(token)
        found = loaded.piece_to_id(token)
        return found if loaded.id_to_piece(found) == token else None

    def encode(self, texts: Sequence[str]) -> Ragged:
        """Tokens of texts, int32."""
        loaded = _loaded(self)
        # A lone surrogate, which JSON may have, is in no token.
        whole = [text.encode("utf-8", "replace").decode() for text in texts]
        if self.package == "sentencepiece":
            rows = loaded.encode(whole, out_type=int)
        else:
            encoded = loaded.encode_batch(whole, add_special_tokens=False)
            rows = [each.ids for each in encoded]
        lengths = np.array([len(row) for row in rows], np.int64)
        arrays = [np.zeros(0, np.int32), *(np.array(row, np.int32) for row in rows)]
        return Ragged(np.concatenate(arrays), lengths)

    def decode(self, tokens: npt.NDArray[Any]) -> str:
        """The text of some tokens, special ones included."""
        numbers = [int(token) for token in tokens]
        if self.package == "sentencepiece":
            return _loaded(self).decode(numbers)
        return _loaded(self).decode(numbers, skip_special_tokens=False)

    def write(self, path: Path) -> None:
        """Writes the file."""
        path.write_bytes(self.content)

    def to_json(self) -> str:
        """The compressed content as text."""
        return base64.b64encode(zlib.compress(self.content, 9)).decode()

    @classmethod
    def from_json(cls, plain: str) -> Self:
        """The tokenizer of the result of `to_json`."""
        return cls(zlib.decompress(base64.b64decode(plain)))


@functools.lru_cache(4)
def _loaded(tokenizer: TokenizerFile) -> Any:
    """The tokenizer of the package."""
    if tokenizer.package == "sentencepiece":
        import sentencepiece  # type: ignore[import-not-found]

        return sentencepiece.SentencePieceProcessor(model_proto=tokenizer.content)
    import tokenizers  # Hugging Face's.

    loaded: Any = tokenizers
    loaded = loaded.Tokenizer.from_str(tokenizer.content.decode())
    loaded.no_truncation()
    loaded.no_padding()
    return loaded
