"""What layers a model function makes in each mode, and that they are the same ones."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Self

import jax

from specflow.contract import Mode
from specflow.diagnostics.errors import Diagnostic, spec_error
from specflow.executor.traced_once import Traced
from specflow.model import FlatForm, LinenModel, variable_forms
from specflow.runtime.typing import describe

__all__ = ["Discovery"]

_AUTOMATIC = re.compile(r"_\d+$")
"""How a name ends that Flax gave: the number counts the layers of its kind so far."""
_MOST_SHOWN = 6


class _Made(NamedTuple):
    """What one mode makes."""

    variables: FlatForm
    """Parameters and the rest, by dotted path."""
    layers: dict[str, tuple[str, ...]]
    """By the same paths, the names of a variable's layer and of those around it."""

    @classmethod
    def of(cls, params: FlatForm, model_state: FlatForm) -> Self:
        """What is made, of parameters and rest by dotted path."""
        layers = {name: tuple(name.split(".")[:-1]) for name in params}
        # The first part of what is no parameter is its collection.
        layers |= {name: tuple(name.split(".")[1:-1]) for name in model_state}
        return cls({**params, **model_state}, layers)

    @property
    def scopes(self) -> frozenset[tuple[str, ...]]:
        """Every layer that there is."""
        return frozenset(
            layer[:depth]
            for layer in self.layers.values()
            for depth in range(1, len(layer) + 1)
        )


class Discovery:
    """Learns the variables of a Linen model by running the model function in each mode.

    Linen names layers by counting them. A layer made in one mode alone shifts the names
    of those after it, and where shapes agree, the weights of one layer would be read as
    those of another without a word. So every mode has to make the same variables. Only
    layers that were given a name, which shifts nothing, may be left out after training.

    Args:
        name: of the model function, for messages.
        model: learns what the function makes in the first mode that runs.
    """

    def __init__(self, name: str, model: LinenModel):
        self._name, self._model = name, model
        self._made: dict[Mode, _Made] = {}
        self._diagnostic: Diagnostic | None = None

    def knows(self, mode: Mode) -> bool:
        """Whether the function was run in a mode.

        Raises:
            SpecError: it was found to make different variables.
        """
        if self._diagnostic is not None:
            raise spec_error(self._diagnostic)
        return mode in self._made

    def look(self, wanted: Mode, run: Callable[[Mode], Callable[[Any], Any]]) -> None:
        """Runs the function, abstractly: at first in every mode, later in one alone.

        Args:
            wanted: the mode that is asked for. Another one that fails is passed over,
                for it may be one that the function does not serve: it is looked at when
                it is asked for itself.
            run: mode -> a function of the module.

        Raises:
            SpecError: the modes make different variables.
        """
        for mode in [wanted] if self._made else Mode:
            try:
                self._run(mode, run(mode))
            except Exception:
                if mode is wanted:
                    raise
        self._compare()

    def admit(self, params: FlatForm, model_state: FlatForm) -> None:
        """Takes up named layers that training alone makes, as a checkpoint holds them.

        Args:
            params: what the checkpoint holds of parameters, by dotted path.
            model_state: likewise, of the rest.
        """
        scopes = frozenset().union(*(made.scopes for made in self._made.values()))
        layers = _Made.of(params, model_state).layers
        named = {name for name in layers if _was_named(layers[name], scopes)}
        self._model.carry(
            {name: form for name, form in params.items() if name in named},
            {name: form for name, form in model_state.items() if name in named},
        )

    def _run(self, mode: Mode, function: Callable[[Any], Any]) -> None:
        seed = jax.eval_shape(lambda: jax.random.key(0))
        make = Traced(lambda key: self._model.made(function, key), seed)
        # Training may make more than the others, so it has the last word.
        if not self._made or mode is Mode.TRAIN:
            self._model.learn(make, make.result)
        self._made[mode] = _Made.of(*variable_forms(make.result))

    def _compare(self) -> None:
        differences = [*_missing(self._made), *_unlike(self._made)]
        if differences:
            self._diagnostic = Diagnostic(
                self._name,
                "; ".join(differences),
                expected="the same layers in every mode: Flax names them by counting, "
                "so that one would get the weights of another",
                hint="Make every layer in every mode, or name those that are made in "
                'training alone: nn.Dense(10, name="auxiliary").',
                code="linen-modes",
            )
            raise spec_error(self._diagnostic)


def _missing(made: Mapping[Mode, _Made]) -> Iterator[str]:
    """What some modes make and others do not."""
    scopes = {mode: one.scopes for mode, one in made.items()}
    found: dict[tuple[Mode, ...], dict[str, Any]] = {}
    for first in made.values():
        for name, form in first.variables.items():
            lacking = tuple(
                mode
                for mode, other in made.items()
                if name not in other.variables
                and not (
                    name in getattr(made.get(Mode.TRAIN), "variables", ())
                    and _was_named(first.layers[name], scopes[mode])
                )
            )
            if lacking:
                found.setdefault(lacking, {})[name] = form
    for lacking, forms in found.items():
        shown = [f"{name} {describe(form)}" for name, form in forms.items()]
        more = len(shown) - _MOST_SHOWN
        listed = ", ".join(shown[:_MOST_SHOWN]) + (f", {more} more" if more > 0 else "")
        having = [mode for mode in made if mode not in lacking]
        do = "does" if len(lacking) == 1 else "do"
        make = "makes" if len(having) == 1 else "make"
        yield f"{_modes(having)} {make} {listed}, which {_modes(lacking)} {do} not"


def _unlike(made: Mapping[Mode, _Made]) -> Iterator[str]:
    """What is made in other shapes or types by some modes than by others."""
    (first, expected), *others = made.items()
    for name, form in expected.variables.items():
        forms: dict[str, list[Mode]] = {describe(form): [first]}
        for mode, other in others:
            if name in other.variables:
                forms.setdefault(describe(other.variables[name]), []).append(mode)
        if len(forms) > 1:
            each = (f"{form} in {_modes(modes)}" for form, modes in forms.items())
            yield f"{name} is {' and '.join(each)}"


def _modes(modes: Iterable[Mode]) -> str:
    names = [f"'{mode}'" for mode in modes]
    return f"mode{'s' if len(names) > 1 else ''} {' and '.join(names)}"


def _was_named(layer: tuple[str, ...], others: Collection[tuple[str, ...]]) -> bool:
    """Whether a layer is in one that others lack, and that was given its name."""
    for depth in range(1, len(layer) + 1):
        if layer[:depth] not in others:
            return not _AUTOMATIC.search(layer[depth - 1])
    return False
