"""Base class of the contract's types: frozen, and validated into one `SpecError`."""

from typing import Any, ClassVar, NoReturn

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from specflow.contract.pytree import register
from specflow.diagnostics.errors import Diagnostic, SpecError, spec_error

__all__ = ["Checked", "Flaw", "refuse"]


class Flaw:
    """A violated rule of a field: a `Diagnostic` whose place is relative to the field.

    Args:
        problem: the problem, with the value.
        kind: exception that the `SpecError` also is.
        at: path within the field, such as `[1]['logits']`.
        expected: the values that are accepted.
        hint: what the user should do.
    """

    def __init__(
        self,
        problem: str,
        *,
        kind: type[Exception] = ValueError,
        at: str = "",
        expected: str = "",
        hint: str = "",
    ):
        self.problem, self.kind, self.at = problem, kind, at
        self.expected, self.hint = expected, hint


def refuse(*flaws: Flaw) -> NoReturn:
    """Raises all flaws of a field together, from inside a validator."""
    raise ValidationError.from_exception_data(
        "spec",
        [
            InitErrorDetails(
                type=PydanticCustomError("contract", "broken", {"flaw": flaw}),
                input=None,
            )
            for flaw in flaws
        ],
    )


class Checked(BaseModel):
    """Base of specs and export outputs: frozen, closed, validated on construction.

    Arrays are checked by shape and dtype alone, and never copied, compared or hashed,
    so that tracers and abstract arrays are accepted.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        arbitrary_types_allowed=True,
        validate_default=True,
    )

    ARRAYS: ClassVar[tuple[str, ...]] = ()
    """Fields with trees of arrays, which become the leaves of the pytree."""

    def _fill(self, **fields: Any) -> None:
        """Validates and sets the fields; every `__init__` ends here.

        Raises:
            SpecError: fields violate the contract; all of them are named.
        """
        register(type(self))
        try:
            BaseModel.__init__(self, **fields)
        except ValidationError as error:
            raise _as_spec_error(type(self), error) from None

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise spec_error(
            Diagnostic(
                f"{type(self).__name__}.{name}",
                "cannot be set: it is frozen",
                hint="Create a new one.",
                kind=_FrozenError,
                code="spec",
            )
        )

    # Two specs are never compared by value: their arrays may be tracers.
    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)


class _FrozenError(AttributeError, ValueError):
    """A frozen field was set: named tuples raise the first, Pydantic the second."""


def _as_spec_error(owner: type[Checked], error: ValidationError) -> SpecError:
    """Converts Pydantic's error into diagnostics, one for each flaw."""
    diagnostics = []
    for detail in error.errors(include_url=False):
        where = ".".join([owner.__name__, *map(str, detail["loc"])])
        flaw = detail.get("ctx", {}).get("flaw")
        if flaw is None:
            unknown = detail["type"] == "extra_forbidden"
            known = ", ".join(owner.model_fields)
            flaw = Flaw(
                "no such field" if unknown else detail["msg"],
                kind=TypeError if unknown else ValueError,
                expected=f"one of {known}" if unknown else "",
            )
        diagnostics.append(
            Diagnostic(
                f"{where}{flaw.at}",
                flaw.problem,
                expected=flaw.expected,
                hint=flaw.hint,
                kind=flaw.kind,
                code="spec",
            )
        )
    return spec_error(*diagnostics)
