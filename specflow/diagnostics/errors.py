"""Diagnostics as data, and the exceptions that carry them.

Every message has one form: where, the problem with the value, its origin, what was
expected, and a hint.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from functools import cache, partial
from typing import Any, Self

from specflow.diagnostics.passwords import without_password

__all__ = [
    "MACHINE",
    "MISTAKE",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "Diagnostic",
    "ExportError",
    "MachineError",
    "NanLossDuringTrainingError",
    "OutputError",
    "SpecError",
    "SpecflowError",
    "SpecflowWarning",
    "UserCodeError",
    "config_error",
    "did_you_mean",
    "first_of",
    "is_slip",
    "nearest",
    "spec_error",
]

MISTAKE = 2
"""Exit status of a user's mistake: the same command fails again, on any machine."""
MACHINE = 75
"""Exit status of an error of the machine: the same command may succeed later, or on
another machine (`EX_TEMPFAIL` of `sysexits.h`)."""
MOST_SHOWN = 100
"""Number of problems that are shown; the others are counted."""
_LONGEST_ORIGIN = 400
"""Length to which an override is shortened in messages, in characters."""
_LONGEST = 100
"""Length up to which a name is compared with others, which takes its square."""
_ABBREVIATION = 3
"""Least number of letters that abbreviate a name."""


@dataclasses.dataclass(frozen=True, slots=True)
class Diagnostic:
    """One reported problem, as data.

    >>> print(Diagnostic("optimizer.lr", "got 'fast'", expected="a number > 0",
    ...             hint="Try lr=3e-4.", origin="command line"))
    optimizer.lr: got 'fast' (command line). Expected a number > 0. Try lr=3e-4.
    """

    where: str
    """Dotted key, field, file or row, as the user typed it or can find it."""
    problem: str
    """The problem, with the value."""
    expected: str = ""
    """A description of valid values; a noun phrase."""
    hint: str = ""
    """Advice to the user; full sentences."""
    origin: str = ""
    """`file:line:column`, or the override, that set the value."""
    code: str = ""
    """Stable name of the kind of problem, as in `docs/errors.md`: `unknown-key`, ..."""
    kind: type[Exception] = ValueError
    """Built-in exception that the raised error also is."""
    cause: BaseException | None = dataclasses.field(
        default=None, compare=False, repr=False
    )
    """Exception of the user's code, if that is the problem."""
    more: int = 0
    """Number of further problems that this one stands for; it is the last."""

    def __post_init__(self) -> None:
        # An override, or the message of a database driver, may have one.
        for name in ("where", "problem", "expected", "hint", "origin"):
            if "://" in (text := str(getattr(self, name))):
                object.__setattr__(self, name, without_password(text))

    @classmethod
    def of(cls, texts: Mapping[str, str]) -> Self:
        """Builds the diagnostic that another process sent.

        Args:
            texts: field -> text.

        >>> print(Diagnostic.of({"where": "seed", "problem": "got -1"}))
        seed: got -1.
        """
        return cls(**texts)  # type: ignore[arg-type]

    def __str__(self) -> str:
        text = f"{self.where}: {self.problem}" if self.where else self.problem
        if self.origin:
            origin = self.origin
            if len(origin) > _LONGEST_ORIGIN:
                origin = f"{origin[: _LONGEST_ORIGIN - 3]}..."
            text = f"{text.rstrip('.')} ({origin})"
        text = text.rstrip(".") + "."
        if self.expected:
            text += f" Expected {self.expected.rstrip('.')}."
        return f"{text} {self.hint}" if self.hint else text


class SpecflowError(Exception):
    """Base class of every error that specflow raises deliberately.

    Args:
        *diagnostics: the problems; a plain text becomes a diagnostic without a place.
    """

    exit_code = 1
    """Exit status of the command; 1 means an unexpected error."""

    def __init__(self, *diagnostics: Diagnostic | str):
        self.diagnostics = first_of(
            diagnostic
            if isinstance(diagnostic, Diagnostic)
            else Diagnostic("", diagnostic)
            for diagnostic in diagnostics
        )
        super().__init__("\n".join(map(str, self.diagnostics)))
        causes = (
            diagnostic.cause
            for diagnostic in self.diagnostics
            if diagnostic.cause is not None
        )
        self.__cause__ = next(causes, None)


class ConfigError(SpecflowError, ValueError):
    """An invalid experiment; carries all its diagnostics at once."""

    exit_code = MISTAKE
    processes: Any = None
    """`mesh.processes` of the experiment, with which to reach the other processes."""


class DataError(SpecflowError, ValueError):
    """Unusable data: a missing file, no rows, a NaN, a label out of range."""

    exit_code = MISTAKE


class SpecError(SpecflowError):
    """A model function's result breaks the contract; carries all diagnostics at once.

    The raised error is a subclass that is also a `ValueError`, a `TypeError` or a
    `RuntimeError`, by the `kind` of its diagnostics.
    """

    exit_code = MISTAKE


class CheckpointError(SpecflowError, ValueError):
    """A missing or corrupted checkpoint, or one of another model."""

    exit_code = MISTAKE


class ExportError(SpecflowError, ValueError):
    """A failed export, or an export that is missing, corrupted or misused."""

    exit_code = MISTAKE


class OutputError(SpecflowError, OSError):
    """An output that cannot be written; existing files are unchanged."""

    exit_code = MACHINE


class UserCodeError(SpecflowError, RuntimeError):
    """The user's code failed in another process, which printed the traceback."""

    exit_code = MISTAKE


class MachineError(SpecflowError, RuntimeError):
    """The machine lacks what the experiment needs, such as a device."""

    exit_code = MACHINE


class NanLossDuringTrainingError(SpecflowError, RuntimeError):
    """The training loss is not finite; the state was not saved."""

    # Every step is a function of the seed: a rerun fails at the same step.
    exit_code = MISTAKE


class SpecflowWarning(UserWarning):
    """A probable mistake that does not stop the work.

    Args:
        diagnostic: the problem.
    """

    def __init__(self, diagnostic: Diagnostic):
        self.diagnostic = diagnostic
        super().__init__(str(diagnostic))


class _ArgumentError(ConfigError, TypeError):
    """A `ConfigError` for an unknown argument, or one of the wrong type."""


# One name for users and for other processes, whichever built-in error it also is.
_ArgumentError.__name__ = _ArgumentError.__qualname__ = "ConfigError"
# Tracebacks show the public name: specflow.ConfigError.
for _public in (*SpecflowError.__subclasses__(), _ArgumentError, SpecflowError):
    _public.__module__ = "specflow"
SpecflowWarning.__module__ = "specflow"


def config_error(*diagnostics: Diagnostic) -> ConfigError:
    """Returns a `ConfigError`; also a `TypeError` if the kind of a diagnostic is.

    >>> diagnostic = Diagnostic("train_batch_size", "got 'x'", kind=TypeError)
    >>> isinstance(config_error(diagnostic), TypeError)
    True
    """
    is_type = any(issubclass(diagnostic.kind, TypeError) for diagnostic in diagnostics)
    return (_ArgumentError if is_type else ConfigError)(*diagnostics)


@cache
def _spec_error_class(kinds: frozenset[type[Exception]]) -> type[SpecError]:
    # A kind is redundant beside its subclass, and Python may refuse the pair as bases.
    lowest = [
        kind
        for kind in sorted(kinds, key=lambda kind: kind.__name__)
        if not any(issubclass(other, kind) for other in kinds - {kind})
    ]
    return type("SpecError", (SpecError, *lowest), {"__module__": "specflow"})


def spec_error(*diagnostics: Diagnostic) -> SpecError:
    """Returns a `SpecError` that is also the kind of each diagnostic.

    >>> error = spec_error(Diagnostic("loss", "is missing", kind=ValueError))
    >>> isinstance(error, SpecError), isinstance(error, ValueError)
    (True, True)
    """
    return _spec_error_class(frozenset(diagnostic.kind for diagnostic in diagnostics))(
        *diagnostics
    )


def first_of(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    r"""Returns the first of many diagnostics, and one with the number of the others.

    Args:
        diagnostics: any number; those that stand for more are counted with the others.

    >>> first, *_, last = first_of(Diagnostic(str(row), "got x") for row in range(5000))
    >>> print(first, last, sep="\n")
    0: got x.
    4,900 more errors. Fix these first: they may have one cause.
    """
    given = [*diagnostics]
    own = [diagnostic for diagnostic in given if not diagnostic.more]
    more = len(own[MOST_SHOWN:]) + sum(diagnostic.more for diagnostic in given)
    if not more:
        return tuple(own)
    problem = f"{more:,} more error{'s' * (more > 1)}"
    hint = "Fix these first: they may have one cause."
    return (
        *own[:MOST_SHOWN],
        Diagnostic("", problem, hint=hint, code="more-errors", more=more),
    )


def did_you_mean(choice: str | None, *, prefix: str = "") -> str:
    """Returns the sentence of a hint that suggests a choice, or an empty text.

    Args:
        choice: as returned by `nearest`.
        prefix: text that precedes it where the user types it: `optimizer.`, `mesh=`.

    >>> did_you_mean(nearest("l", ["lr", "b1"]), prefix="optimizer.")
    'Did you mean optimizer.lr?'
    >>> did_you_mean(nearest("momentum", ["lr", "b1"]))
    ''
    """
    return f"Did you mean {prefix}{choice}?" if choice else ""


def nearest(name: str, choices: Iterable[str]) -> str | None:
    """Returns the choice that a misspelled name most likely means, or None.

    Capitals and the sign between words do not count; a name that begins a single
    choice is its abbreviation.

    >>> nearest("fspd", ["data", "fsdp", "single"])
    'fsdp'
    >>> nearest("AdamW", ["adam", "adamw"]), nearest("acc", ["accuracy", "auc"])
    ('adamw', 'accuracy')
    """
    import difflib  # Only mistakes need it.

    known: dict[str, str] = {}
    for choice in choices:
        known.setdefault(_letters(choice), choice)
    name = _letters(name)
    if name in known:
        return known[name]
    if len(name) > _LONGEST:
        return None
    begun = [other for other in known if other.startswith(name)]
    if len(begun) == 1 and len(name) >= _ABBREVIATION:
        return known[begun[0]]
    close = difflib.get_close_matches(name, known, n=5, cutoff=0.6)
    slips = [
        other for other in known if len(name + other) > 2 and _slips(name, other) == 1
    ]
    choice = min([*close, *slips], key=partial(_slips, name), default=None)
    if choice is None:
        return None
    # A name that is many slips away was probably abbreviated: difflib ranks those.
    return known[close[0] if close and _slips(name, choice) > 2 else choice]


def is_slip(name: str, meant: str) -> bool:
    """Returns whether a name is another one but for a single typing slip, or capitals.

    >>> is_slip("trainSteps", "train_steps"), is_slip("lr", "lars")
    (True, False)
    """
    if abs(len(name) - len(meant)) > 1:
        return False
    return _slips(_letters(name), _letters(meant)) <= 1


def _letters(name: str) -> str:
    return name.lower().replace("-", "_")


def _slips(name: str, meant: str) -> int:
    """Counts typing slips between two names: a letter added, left out, other, swapped.

    Source: Damerau, A technique for computer detection and correction of spelling
    errors, 1964; in its restricted form.

    >>> _slips("fspd", "fsdp"), _slips("r", "r2"), _slips("admaw", "adamaxw")
    (1, 1, 2)
    """
    rows = [list(range(len(meant) + 1))]
    for i, letter in enumerate(name, 1):
        row = [i]
        for j, other in enumerate(meant, 1):
            least = min(
                rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (letter != other)
            )
            if i > 1 and j > 1 and (letter, name[i - 2]) == (meant[j - 2], other):
                least = min(least, rows[-2][j - 2] + 1)
            row.append(least)
        rows.append(row)
    return rows[-1][-1]
