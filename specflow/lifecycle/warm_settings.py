"""What a warm start takes, and from where."""

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from specflow.config.sections.warm_start import WarmStartConfig
from specflow.diagnostics.errors import ConfigError, Diagnostic
from specflow.runtime.globs import matches

__all__ = ["Vocabulary", "WarmStartSettings", "build_warm_start"]

_BELOW = "**"
"""How both sides of a rename end that renames all below a path."""


@dataclasses.dataclass(frozen=True, slots=True)
class Vocabulary:
    """Two lists of tokens: rows of a parameter are moved by token from old to new."""

    new: str | Path
    """File with a token a line, as this model numbers them."""
    old: str | Path
    """The same, as the checkpoint numbers them."""


@dataclasses.dataclass(frozen=True)
class WarmStartSettings:
    """Where initial values come from, when the model's own directory has no checkpoint.

    Args:
        path: a model directory, its `checkpoints`, one checkpoint in there, or an
            export.
        vars_to_warm_start: regular expressions, matched at the start of a parameter's
            path; one or several. `.*` takes all parameters, None only those that have a
            vocabulary.
        state: `params`: parameters only; `model`: also floating model state, such as
            batch statistics; `full`: also the optimizer's state and all of the model's,
            as far as they are the same.
        renames: path of a parameter here -> its path in the checkpoint. Where both end
            in `**`, as `encoder.**` and `backbone.**`, all below is renamed.
        vocabularies: path of a parameter -> how its rows are numbered.
        include: globs of paths; what none of them covers is not taken. None: `**`.
        exclude: globs of paths that are not taken.

    Raises:
        ConfigError: the path is empty or no path; what should be an expression is none.
    """

    path: str | Path
    vars_to_warm_start: str | list[str] | None = ".*"
    state: Literal["params", "model", "full"] = "params"
    renames: Mapping[str, str] = dataclasses.field(default_factory=dict)
    vocabularies: Mapping[str, Vocabulary] = dataclasses.field(default_factory=dict)
    include: Sequence[str] | None = None
    exclude: Sequence[str] = ()

    @property
    def key(self) -> str:
        """What the settings are called where they were written, for messages."""
        return "WarmStartSettings" if self.include is None else "warm_start"

    def __post_init__(self) -> None:
        for field in ("include", "exclude"):
            if isinstance(one := getattr(self, field), str):
                object.__setattr__(self, field, (one,))
        if not isinstance(self.path, str | Path) or not str(self.path):
            raise ConfigError(
                Diagnostic(
                    "warm_start_from",
                    f"got {self.path!r:.60}",
                    code="warm-start",
                    expected="a model directory, a checkpoint or an export",
                )
            )
        wrong = [one for one in self.patterns() if not _is_expression(one)]
        if wrong:
            raise ConfigError(
                Diagnostic(
                    "WarmStartSettings.vars_to_warm_start",
                    f"got {wrong[0]!r:.60}",
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
        """The expressions as a list."""
        wanted = self.vars_to_warm_start
        if isinstance(wanted, Iterable) and not isinstance(wanted, str):
            return list(wanted)
        return [] if wanted is None else [wanted]

    def left_out(self, path: str) -> str:
        """Why the globs leave a path out; empty if they do not."""
        for glob in self.exclude:
            if matches(glob, path):
                return f"excluded by {glob}"
        included = self.include is None or any(matches(g, path) for g in self.include)
        return "" if included else "not included"

    def refused(self, path: str) -> str:
        """Why a parameter is not taken; empty if it is."""
        taken = path in self.vocabularies or any(
            re.match(pattern, path) for pattern in self.patterns()
        )
        return self.left_out(path) or ("" if taken else "not selected")

    def source(self, path: str) -> str:
        """Path in the checkpoint of a path here."""
        if path in self.renames:
            return self.renames[path]
        for here, there in self.renames.items():
            prefix = here.removesuffix(_BELOW)
            if here != prefix and path.startswith(prefix) and there.endswith(_BELOW):
                return there.removesuffix(_BELOW) + path.removeprefix(prefix)
        return path

    def idle(self, params: Iterable[str]) -> Iterator[str]:
        """The patterns and globs that match no parameter."""
        paths = [*params]
        for pattern in self.patterns():
            if not any(re.match(pattern, path) for path in paths):
                yield pattern
        for glob in (*(self.include or ()), *self.exclude):
            if not any(matches(glob, path) for path in paths):
                yield glob

    def idle_renames(self, taken: Iterable[str]) -> Iterator[str]:
        """The renames that rename none of these parameters."""
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
    """The settings that the section `warm_start` declares; None if there is none.

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
        include=config.include,
        exclude=config.exclude,
    )


def _is_expression(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(re.compile(value))
    except re.error:
        return False
