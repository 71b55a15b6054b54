"""Turns what Pydantic finds while a spec is made into one `SpecError`."""

from typing import Any, ClassVar, NoReturn

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from specflow.contract.pytree import register
from specflow.diagnostics.errors import Diagnostic, SpecError, spec_error

__all__ = ["Checked", "Flaw", "refuse"]


class Flaw:
    """One broken rule of a field: like `Diagnostic`, placed relative to the field."""

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
    """Raises, inside a validator, every flaw of the field at once."""
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
    """Part of the contract: frozen, closed, and checked where it is made.

    Arrays are looked at by shape and dtype alone, never copied, compared or hashed, so
    that tracers may stand in for them.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        arbitrary_types_allowed=True,
        validate_default=True,
    )

    ARRAYS: ClassVar[tuple[str, ...]] = ()
    """The fields that hold trees of arrays: the leaves, where JAX asks."""

    def _fill(self, **fields: Any) -> None:
        """What every `__init__` comes down to: the fields, checked.

        Raises:
            SpecError: fields break the contract; all of them are named.
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
                "cannot be set: what is checked is frozen",
                hint="Make a new one.",
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
    """A field was set (of a named tuple the one, of a Pydantic model the other)."""


def _as_spec_error(owner: type[Checked], error: ValidationError) -> SpecError:
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
