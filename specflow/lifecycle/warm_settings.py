"""Settings of a warm start: its checkpoint, and the arrays that are restored."""

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from specflow.config.sections.warm_start import WarmStartConfig
from specflow.diagnostics.errors import ConfigError, Diagnostic
from specflow.output import CheckpointStep
from specflow.runtime.globs import matches

__all__ = ["Vocabulary", "WarmStartSettings", "build_warm_start"]

_BELOW = "**"
"""Suffix of both sides of a rename that applies to all parameters below a path."""


@dataclasses.dataclass(frozen=True, slots=True)
class Vocabulary:
    """Token lists that map the rows of an embedding from a checkpoint to this model.

    Examples:
        >>> vocabulary = Vocabulary(new="tokens.txt", old="/runs/1/tokens.txt")
        >>> settings = WarmStartSettings(
        ...     "/runs/1", vocabularies={"embed.embedding": vocabulary}
        ... )
    """

    new: str | Path
    """File with one token per line, in the order of the rows of this model."""
    old: str | Path
    """The same, in the order of the rows of the checkpoint."""


@dataclasses.dataclass(frozen=True)
class WarmStartSettings:
    """Restores initial values from the checkpoint of another run.

    They apply only while the model directory has no checkpoint of its own.

    Args:
        path: A model directory, its `checkpoints`, one checkpoint of them, or an
            export.
        vars_to_warm_start: regular expressions that match at the start of a parameter's
            path; one or several. `.*` selects all parameters, None only those with a
            vocabulary.
        state: `params`: parameters only; `model`: also floating-point model state, such
            as batch statistics; `full`: also the optimizer state and all model state,
            where names and shapes agree.
        renames: path of a parameter of this model -> its path in the checkpoint. If
            both end in `**`, as `encoder.**` and `backbone.**`, all paths below are
            renamed.
        vocabularies: path of a parameter -> token lists of its rows.
        include: globs of the paths to restore; None: `**`.
        exclude: globs of paths that are not restored.
        step: checkpoint of the directory: a step, `best` (by the metric with which it
            was trained), `latest` or a tag; None: the newest, or the one that `path`
            names.

    Raises:
        ConfigError: the path is empty or not a path, or a pattern is not a regular
            expression.

    Examples:
        Restores the encoder of another run, under another name, without its head:

        >>> settings = WarmStartSettings(
        ...     "/runs/pretrained",
        ...     renames={"encoder.**": "backbone.**"},
        ...     exclude=["head.**"],
        ... )
        >>> settings.source("encoder.layer_0.kernel")
        'backbone.layer_0.kernel'
        >>> settings.refused("head.kernel")
        'excluded by head.**'
    """

    path: str | Path
    vars_to_warm_start: str | list[str] | None = ".*"
    state: Literal["params", "model", "full"] = "params"
    renames: Mapping[str, str] = dataclasses.field(default_factory=dict)
    vocabularies: Mapping[str, Vocabulary] = dataclasses.field(default_factory=dict)
    include: Sequence[str] | None = None
    exclude: Sequence[str] = ()
    step: CheckpointStep = None

    @property
    def key(self) -> str:
        """Name of the settings in messages: the Python class or the config section."""
        return "WarmStartSettings" if self.include is None else "warm_start"

    def __post_init__(self) -> None:
        for field in ("include", "exclude"):
            if isinstance(globs := getattr(self, field), str):
                object.__setattr__(self, field, (globs,))
        if not isinstance(self.path, str | Path) or not str(self.path):
            raise ConfigError(
                Diagnostic(
                    "warm_start_from",
                    f"got {self.path!r:.60}",
                    code="warm-start",
                    expected="a model directory, a checkpoint or an export",
                )
            )
        invalid = [item for item in self.patterns() if not _is_expression(item)]
        if invalid:
            raise ConfigError(
                Diagnostic(
                    "WarmStartSettings.vars_to_warm_start",
                    f"got {invalid[0]!r:.60}",
                    expected="a regular expression, several, or None",
                    code="warm-start",
                )
            )
        if self.state not in ("params", "model", "full"):
            raise ConfigError(
                Diagnostic(
                    "WarmStartSettings.state",
                    f"got {self.state!r:.60}",
                    expected="'params', 'model' or 'full'",
                    code="warm-start",
                )
            )

    def patterns(self) -> list[str]:
        """Returns the regular expressions as a list."""
        wanted = self.vars_to_warm_start
        if isinstance(wanted, Iterable) and not isinstance(wanted, str):
            return list(wanted)
        return [] if wanted is None else [wanted]

    def left_out(self, path: str) -> str:
        """Returns why the globs exclude a path; empty if they do not."""
        for glob in self.exclude:
            if matches(glob, path):
                return f"excluded by {glob}"
        included = self.include is None or any(matches(g, path) for g in self.include)
        return "" if included else "not included"

    def refused(self, path: str) -> str:
        """Returns why a parameter is not restored; empty if it is."""
        selected = path in self.vocabularies or any(
            re.match(pattern, path) for pattern in self.patterns()
        )
        return self.left_out(path) or ("" if selected else "not selected")

    def source(self, path: str) -> str:
        """Returns the path in the checkpoint of a path of this model."""
        if path in self.renames:
            return self.renames[path]
        for here, there in self.renames.items():
            prefix = here.removesuffix(_BELOW)
            if here != prefix and path.startswith(prefix) and there.endswith(_BELOW):
                return there.removesuffix(_BELOW) + path.removeprefix(prefix)
        return path

    def idle(self, params: Iterable[str]) -> Iterator[str]:
        """Yields the patterns and globs that match no parameter."""
        paths = [*params]
        for pattern in self.patterns():
            if not any(re.match(pattern, path) for path in paths):
                yield pattern
        for glob in (*(self.include or ()), *self.exclude):
            if not any(matches(glob, path) for path in paths):
                yield glob

    def idle_renames(self, taken: Iterable[str]) -> Iterator[str]:
        """Yields the renames that apply to none of these parameters."""
        paths = [*taken]
        for here, there in self.renames.items():
            prefix = here.removesuffix(_BELOW)
            if here == prefix or not there.endswith(_BELOW):
                is_used = here in paths
            else:
                is_used = any(path.startswith(prefix) for path in paths)
            if not is_used:
                yield here


def build_warm_start(config: WarmStartConfig | None) -> WarmStartSettings | None:
    """Builds the settings of the section `warm_start`; None if there is none.

    >>> build_warm_start(WarmStartConfig(path="/runs/1", exclude=["head.**"])).exclude
    ['head.**']
    """
    if config is None:
        return None
    return WarmStartSettings(
        config.path,
        state=config.state,
        renames=config.renames,
        vocabularies={
            path: Vocabulary(files.new, files.old)
            for path, files in config.vocabularies.items()
        },
        step=config.step,
        include=config.include,
        exclude=config.exclude,
    )


def _is_expression(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(re.compile(value))
    except re.error:
        return False
