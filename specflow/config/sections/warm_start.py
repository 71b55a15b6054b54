"""`warm_start`: initial values taken from another run."""

from typing import Annotated, Literal

from pydantic import Field

from specflow.config.base import Config, UserPath

__all__ = ["VocabularyConfig", "WarmStartConfig"]


_Path = Annotated[UserPath, Field(min_length=1)]


class VocabularyConfig(Config):
    """Two files with a token a line, by which rows of a parameter are moved."""

    new: _Path
    """How this model numbers its tokens."""
    old: _Path
    """How the checkpoint numbers them."""


class WarmStartConfig(Config):
    """Where initial values come from; a run that resumes has its own."""

    path: _Path
    """A run directory (its newest checkpoint), one checkpoint, or an export."""
    state: Literal["params", "model", "full"] = "params"
    """`params`: parameters only; `model`: batch statistics too; `full`: also the
    optimizer's state and random streams, as far as they are the same."""
    include: list[str] = Field(default=["**"], min_length=1)
    """Globs of paths, as this model names them, that are taken."""
    exclude: list[str] = []
    """Globs of those among them that are not."""
    renames: dict[str, str] = {}
    """Path here -> path in the checkpoint; `encoder.**: backbone.**` renames all that
    is below."""
    vocabularies: dict[str, VocabularyConfig] = {}
    """Path of a parameter here -> vocabularies by which its rows are moved."""
