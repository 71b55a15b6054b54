"""`warm_start`: initial values from another run."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt

from specflow.config.base import Config, UserPath

__all__ = ["VocabularyConfig", "WarmStartConfig"]


_Path = Annotated[UserPath, Field(min_length=1)]


class VocabularyConfig(Config):
    """Two vocabulary files with one token per line, which map rows of a parameter."""

    new: _Path
    """Vocabulary of this model."""
    old: _Path
    """Vocabulary of the checkpoint."""


class WarmStartConfig(Config):
    """Source of initial values; a resumed run restores its own checkpoint instead."""

    path: _Path
    """Run directory, checkpoint, or export."""
    step: NonNegativeInt | Annotated[str, Field(min_length=1)] | None = None
    """Checkpoint of the run: a step, `best`, `latest` or a tag; null: the newest, or
    the one that `path` names."""
    state: Literal["params", "model", "full"] = "params"
    """`params`: parameters; `model`: parameters and model state; `full`: also the
    optimizer state and random streams, where they match."""
    include: list[str] = Field(default=["**"], min_length=1)
    """Globs of this model's paths that are restored."""
    exclude: list[str] = []
    """Globs of paths that are excluded from `include`."""
    renames: dict[str, str] = {}
    """Path here -> path in the checkpoint; `encoder.**: backbone.**` renames a
    subtree."""
    vocabularies: dict[str, VocabularyConfig] = {}
    """Path of a parameter here -> vocabularies that map its rows."""
