"""What can go wrong, said once: faults as data, and the few exceptions that carry them.

Every message has one form: where, what is wrong (with the value), where it came from,
what was expected, what to do.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from functools import cache, partial
from typing import Any, Self

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
    "nearest",
    "spec_error",
]

MISTAKE = 2
"""Exit status of a mistake of the user's: the same command fails again, anywhere."""
MACHINE = 75
"""Exit status of a fault of the machine: the same command may succeed later, or on
another machine (`EX_TEMPFAIL` of `sysexits.h`)."""


@dataclasses.dataclass(frozen=True, slots=True)
class Diagnostic:
    """One thing that is wrong, as data.

    >>> print(Diagnostic("optimizer.lr", "got 'fast'", expected="a number > 0",
    ...             hint="Try lr=3e-4.", origin="command line"))
    optimizer.lr: got 'fast' (command line). Expected a number > 0. Try lr=3e-4.
    """

    where: str
    """What the user typed or can find again: a dotted key, a field, a file, a row."""
    problem: str
    """What is wrong, with the value."""
    expected: str = ""
    """What would have been right; a noun phrase."""
    hint: str = ""
    """What to do; whole sentences."""
    origin: str = ""
    """`file:line:column`, or the override, that set the value."""
    code: str = ""
    """A stable name of the kind of fault, as in `docs/errors.md`: `unknown-key`, ..."""
    kind: type[Exception] = ValueError
    """The plain exception that this fault also is."""
    cause: BaseException | None = dataclasses.field(
        default=None, compare=False, repr=False
    )
    """What code of the user's raised, where that is what is wrong."""

    @classmethod
    def of(cls, texts: Mapping[str, str]) -> Self:
        """The fault that another process told: field -> text.

        >>> print(Diagnostic.of({"where": "seed", "problem": "got -1"}))
        seed: got -1.
        """
        return cls(**texts)  # type: ignore[arg-type]

    def __str__(self) -> str:
        text = f"{self.where}: {self.problem}" if self.where else self.problem
        if self.origin:
            text += f" ({self.origin})"
        text = text.rstrip(".") + "."
        if self.expected:
            text += f" Expected {self.expected.rstrip('.')}."
        return f"{text} {self.hint}" if self.hint else text


class SpecflowError(Exception):
    """The parent of every error that specflow raises on purpose.

    Args:
        *diagnostics: what is wrong; a plain text is a fault without a place.
    """

    exit_code = 1
    """Exit status of the command line; 1 is what nobody foresaw."""

    def __init__(self, *diagnostics: Diagnostic | str):
        self.diagnostics = tuple(
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
    """The experiment as written cannot be run; all its faults at once."""

    exit_code = MISTAKE
    processes: Any = None
    """What the experiment says of `mesh.processes`, to tell the others."""


class DataError(SpecflowError, ValueError):
    """The data cannot be used: a missing file, no rows, a NaN, a label out of range."""

    exit_code = MISTAKE


class SpecError(SpecflowError):
    """A model function's result breaks the contract; all its faults at once.

    What is raised is always a subclass that is also a `ValueError`, a `TypeError` or a
    `RuntimeError`, as the faults are.
    """

    exit_code = MISTAKE


class CheckpointError(SpecflowError, ValueError):
    """A checkpoint is missing, damaged, or of another model."""

    exit_code = MISTAKE


class ExportError(SpecflowError, ValueError):
    """An exported model cannot be made, is missing or damaged, or is asked wrongly."""

    exit_code = MISTAKE


class OutputError(SpecflowError, OSError):
    """The run directory cannot be written; what was already there is untouched."""

    exit_code = MACHINE


class UserCodeError(SpecflowError, RuntimeError):
    """Code of the user's failed in another process, whose traceback it has."""

    exit_code = MISTAKE


class MachineError(SpecflowError, RuntimeError):
    """The machine lacks what the experiment needs: a device, say."""

    exit_code = MACHINE


class NanLossDuringTrainingError(SpecflowError, RuntimeError):
    """The training loss is no longer finite; the state was not saved."""

    # Every step is a function of the seed: another start ends at the same one.
    exit_code = MISTAKE


class SpecflowWarning(UserWarning):
    """What is probably not as it was meant, while the work goes on.

    Args:
        diagnostic: what it is.
    """

    def __init__(self, diagnostic: Diagnostic):
        self.diagnostic = diagnostic
        super().__init__(str(diagnostic))


class _ArgumentError(ConfigError, TypeError):
    """A `ConfigError` of an argument that there is not, or that is no number, say."""


# One name for users and for other processes, whatever plain error it also is.
_ArgumentError.__name__ = _ArgumentError.__qualname__ = "ConfigError"


def config_error(*diagnostics: Diagnostic) -> ConfigError:
    """The `ConfigError` for these faults; also a `TypeError`, where one of them is.

    >>> diagnostic = Diagnostic("train_batch_size", "got 'x'", kind=TypeError)
    >>> isinstance(config_error(diagnostic), TypeError)
    True
    """
    is_type = any(issubclass(diagnostic.kind, TypeError) for diagnostic in diagnostics)
    return (_ArgumentError if is_type else ConfigError)(*diagnostics)


@cache
def _spec_error_class(kinds: frozenset[type[Exception]]) -> type[SpecError]:
    # A kind whose own child is there says nothing more, and Python may refuse the pair.
    lowest = [
        kind
        for kind in sorted(kinds, key=lambda kind: kind.__name__)
        if not any(issubclass(other, kind) for other in kinds - {kind})
    ]
    return type("SpecError", (SpecError, *lowest), {"__module__": __name__})


def spec_error(*diagnostics: Diagnostic) -> SpecError:
    """The `SpecError` for these faults, which is also what each of them is.

    >>> error = spec_error(Diagnostic("loss", "is missing", kind=ValueError))
    >>> isinstance(error, SpecError), isinstance(error, ValueError)
    (True, True)
    """
    return _spec_error_class(frozenset(diagnostic.kind for diagnostic in diagnostics))(
        *diagnostics
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

    >>> nearest("fspd", ["data", "fsdp", "single"])
    'fsdp'
    """
    import difflib  # Only mistakes need it.

    known = list(choices)
    close = difflib.get_close_matches(name, known, n=5, cutoff=0.6)
    slips = [
        other for other in known if len(name + other) > 2 and _slips(name, other) == 1
    ]
    choice = min([*close, *slips], key=partial(_slips, name), default=None)
    # A name that is many slips away was probably abbreviated: difflib ranks those.
    return close[0] if close and choice and _slips(name, choice) > 2 else choice


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
