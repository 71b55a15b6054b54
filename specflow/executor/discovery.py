"""What layers a model function makes in each mode, and that they are the same ones."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple

import jax

from specflow.errors import Fault, spec_error
from specflow.executor.trace import Traced
from specflow.model import FlatForm, LinenModel, variable_forms
from specflow.spec import Mode
from specflow.typing import describe

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

    def knows(self, mode: Mode) -> bool:
        """Whether the function was run in a mode."""
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

    def _run(self, mode: Mode, function: Callable[[Any], Any]) -> None:
        seed = jax.eval_shape(lambda: jax.random.key(0))
        make = Traced(lambda key: self._model.made(function, key), seed)
        if not self._made:
            self._model.learn(make, make.result)
        params, rest = variable_forms(make.result)
        layers = {
            **{name: tuple(name.split(".")[:-1]) for name in params},
            # The first part of the rest is the collection.
            **{name: tuple(name.split(".")[1:-1]) for name in rest},
        }
        self._made[mode] = _Made({**params, **rest}, layers)

    def _compare(self) -> None:
        (first, expected), *others = self._made.items()
        faults = [
            Fault(
                self._name,
                difference,
                expected="the same layers in every mode, for Flax names them by "
                "counting, and weights would be read by another layer",
                mend="Make every layer in every mode, or name those of one mode alone: "
                'nn.Dense(10, name="auxiliary").',
                code="linen-modes",
            )
            for mode, made in others
            if (difference := _difference(first, expected, mode, made))
        ]
        if faults:
            self._made.clear()
            raise spec_error(*faults)


def _difference(first: Mode, one: _Made, second: Mode, other: _Made) -> str:
    """What two modes make differently; nothing, if they agree."""
    there, here = one.variables, other.variables
    lacking = [
        name
        for name in there
        if name not in here
        and not (first is Mode.TRAIN and _was_named(one.layers[name], other.scopes))
    ]
    added = [name for name in here if name not in there]
    unlike = [
        f"{name} is {describe(there[name])} in mode '{first}' and "
        f"{describe(here[name])} in mode '{second}'"
        for name in there
        if name in here and there[name] != here[name]
    ]
    found = [
        f"mode '{has}' makes {_listed(names, made)}, which mode '{lacks}' does not"
        for has, names, made, lacks in (
            (first, lacking, there, second),
            (second, added, here, first),
        )
        if names
    ]
    return "; ".join([*found, *unlike])


def _was_named(layer: tuple[str, ...], others: Collection[tuple[str, ...]]) -> bool:
    """Whether a layer is in one that others lack, and that was given its name."""
    for depth in range(1, len(layer) + 1):
        if layer[:depth] not in others:
            return not _AUTOMATIC.search(layer[depth - 1])
    return False


def _listed(names: Iterable[str], made: Mapping[str, Any]) -> str:
    shown = [f"{name} {describe(made[name])}" for name in names]
    more = len(shown) - _MOST_SHOWN
    return ", ".join(shown[:_MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")
