"""The NNX module at the rim: outside flat dicts of arrays, inside a trace a module."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen, nnx
from jax.typing import DTypeLike

from specflow.diagnostics.errors import Diagnostic, spec_error
from specflow.model.flat_state import FlatState, by_name, key_impls
from specflow.model.precision import computing_in

__all__ = ["BuiltLinen", "SplitModel"]

_Path: TypeAlias = tuple[Any, ...]


class BuiltLinen(Exception):
    """A builder returned a Linen module, which is no matter for a `SplitModel`."""


class SplitModel:
    """A module taken apart: a static graph, and flat dicts of plain arrays.

    The arrays travel through `jax.jit` as dicts, which costs the host a tenth of what a
    module costs; the module lives only while a step is traced. What the optimizer may
    train (`nnx.Param`) is apart from the rest: statistics, random streams, constants.
    Random keys are carried as the integers they are made of, so that a checkpoint holds
    nothing but plain arrays.

    Args:
        model: a function that builds the module from its random streams, or a module
            that is already built: its values are then the initial ones.
        compute_dtype: what layers compute in that say no `dtype` of their own.

    Raises:
        SpecError: the builder returned something else, or two variables would have the
            same dotted path.

    >>> model = SplitModel(lambda rngs: nnx.Linear(2, 3, rngs=rngs))
    >>> model.abstract_params["kernel"].shape
    (2, 3)
    >>> params, model_state = model.init(jax.random.key(0))
    >>> sorted(params), model_state
    (['bias', 'kernel'], {})
    >>> model.merge(params, model_state, train=False)(jax.numpy.ones((5, 2))).shape
    (5, 3)
    """

    graphdef: nnx.GraphDef[nnx.Module]
    """The structure of the module, known without allocating it."""
    abstract_params: dict[str, jax.ShapeDtypeStruct]
    """Shape and dtype of each parameter."""
    abstract_model_state: dict[str, jax.ShapeDtypeStruct]
    """Shape and dtype of each array that is no parameter."""
    dim_names: dict[str, tuple[Any, ...]]
    """What the module calls the dimensions of a parameter, of those that it does: by
    Flax's own `nnx.with_partitioning`, or `out_sharding` of a variable."""
    statistics: dict[str, str]
    """Path of each batch statistic (floating `nnx.BatchStat`) -> path of its layer."""
    is_known = True
    """Whether the parameters are known; those of a `LinenModel` are not at first."""

    def __init__(
        self,
        model: Callable[[nnx.Rngs], nnx.Module] | nnx.Module,
        *,
        compute_dtype: DTypeLike | None = None,
    ):
        self._compute_dtype = compute_dtype
        self._given: FlatState | None = None
        if isinstance(model, nnx.Module):
            self._build = None
            self.graphdef, leaves = _taken_apart(model)
        else:
            self._build = model
            self.graphdef, leaves = _abstractly(model)
        self._paths = by_name(leaves)
        values = {name: _value(leaves[path]) for name, path in self._paths.items()}
        self._params = frozenset(
            name
            for name, path in self._paths.items()
            if isinstance(leaves[path], nnx.Param)
        )
        self.dim_names = {
            name: tuple(names)
            for name, path in self._paths.items()
            if name in self._params and (names := _dim_names(leaves[path]))
        }
        self.statistics = {
            name: name.rpartition(".")[0]
            for name, path in self._paths.items()
            if isinstance(leaves[path], nnx.BatchStat)
            and jnp.issubdtype(values[name].dtype, jnp.floating)
        }
        self._key_impls = key_impls(values)
        if self._build is None:
            self._given = self._plain(values)
        self.abstract_params, self.abstract_model_state = self._apart(
            jax.eval_shape(self._plain, values)
        )

    @property
    def is_built(self) -> bool:
        """Whether the module was given whole: `init` is then no function of its key."""
        return self._given is not None

    def init(self, key: jax.Array) -> tuple[FlatState, FlatState]:
        """The initial values; pure, so `jax.jit` with `out_shardings` can place them.

        Args:
            key: seed of the initial values and of the module's random streams; without
                meaning for a module that was already built. Calling this under
                `jax.jit` then puts the module's values into the program as constants:
                call it outside and `jax.device_put` the result.

        Returns:
            Parameters and rest, by dotted path. They share no memory with the module.
        """
        if self._given is not None:
            copied = {name: value.copy() for name, value in self._given.items()}
            return self._apart(copied)
        assert self._build is not None
        return self._apart(self._flat(_built(self._build, nnx.Rngs(key))))

    def call(
        self,
        function: Callable[[nnx.Module], Any],
        params: Mapping[str, jax.Array],
        model_state: Mapping[str, jax.Array],
        *,
        train: bool,
        frozen: Collection[str] = (),
    ) -> tuple[Any, FlatState]:
        """What a function makes of the module with these values, and the rest after it.

        Args:
            function: takes the module, and may call it as often as it likes.
            params: values by dotted path.
            model_state: likewise.
            train: whether the module is in train or in eval mode.
            frozen: paths of layers that are in eval mode in any case.
        """
        module = self.merge(params, model_state, train=train)
        for path, layer in nnx.iter_modules(module):
            if ".".join(map(str, path)) in frozen:
                layer.eval()
        with computing_in(self._compute_dtype, module):
            result = function(module)
        return result, self.rest_of(module)

    def merge(
        self,
        params: Mapping[str, jax.Array],
        model_state: Mapping[str, jax.Array],
        *,
        train: bool,
    ) -> nnx.Module:
        """The module with these values, in train or eval mode.

        It is a new one: what a call changes in it (statistics, counters) is read back
        by `rest_of` and reaches nobody else.
        """
        values = {**params, **model_state}
        for name, impl in self._key_impls.items():
            values[name] = jax.random.wrap_key_data(values[name], impl=impl)
        state = nnx.from_flat_state(
            [(path, values[name]) for name, path in self._paths.items()]
        )
        # copy=True: variables that kept their trace would refuse to change inside grad.
        module = nnx.merge(self.graphdef, state, copy=True)
        # Unlike nnx.view, these say nothing when no layer knows the flag.
        module.train() if train else module.eval()
        return module

    def rest_of(self, module: nnx.Module) -> FlatState:
        """What is no parameter, as the module holds it after a call.

        Variables that the call added are left out: the state keeps its form.
        """
        return self._apart(self._flat(module))[1]

    def _flat(self, module: nnx.Module) -> FlatState:
        _, leaves = _taken_apart(module)
        return self._plain(
            {name: _value(leaves[path]) for name, path in self._paths.items()}
        )

    def _plain(self, values: Mapping[str, Any]) -> FlatState:
        return {
            name: jax.random.key_data(value) if name in self._key_impls else value
            for name, value in values.items()
        }

    def _apart(
        self, values: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        params = {name: v for name, v in values.items() if name in self._params}
        model_state = {
            name: v for name, v in values.items() if name not in self._params
        }
        return params, model_state


def _taken_apart(
    module: nnx.Module,
) -> tuple[nnx.GraphDef[nnx.Module], dict[_Path, Any]]:
    for _, part in nnx.iter_modules(module):
        for name, value in list(vars(part).items()):
            # Until flax takes traced arrays for data: it would hold a plain array that
            # was made in a trace to be a part of the structure.
            if isinstance(value, jax.Array) and not nnx.is_data(value):
                setattr(part, name, nnx.data(value))
    graphdef, state = nnx.split(module)
    return graphdef, dict(nnx.to_flat_state(state))


def _abstractly(
    build: Callable[[nnx.Rngs], nnx.Module],
) -> tuple[nnx.GraphDef[nnx.Module], dict[_Path, Any]]:
    """The structure and the abstract leaves: nothing is computed, nothing allocated."""
    graphdefs: list[nnx.GraphDef[nnx.Module]] = []

    def trace() -> nnx.State[Any, Any]:
        graphdef, leaves = _taken_apart(_checked(_built(build, nnx.Rngs(0))))
        graphdefs.append(graphdef)
        return nnx.from_flat_state(list(leaves.items()))

    state = jax.eval_shape(trace)
    return graphdefs[0], dict(nnx.to_flat_state(state))


def _built(build: Callable[[nnx.Rngs], nnx.Module], rngs: nnx.Rngs) -> nnx.Module:
    # Names of dimensions are for the mesh's rules: a variable need not go where they
    # say when it is made, on a mesh that there is not.
    with nnx.use_eager_sharding(False):
        return build(rngs)


def _dim_names(leaf: Any) -> Any:
    named = isinstance(leaf, nnx.Variable) and leaf.has_metadata("out_sharding")
    return leaf.get_metadata("out_sharding") if named else None


def _checked(module: Any) -> nnx.Module:
    if isinstance(module, linen.Module):
        raise BuiltLinen
    if not isinstance(module, nnx.Module):
        raise spec_error(
            Diagnostic(
                "model",
                f"the builder returned {type(module).__module__}."
                f"{type(module).__qualname__}",
                expected="a flax.nnx.Module",
                kind=TypeError,
                code="model-type",
            )
        )
    return module


def _value(leaf: Any) -> Any:
    value = leaf.get_value() if isinstance(leaf, nnx.Variable) else leaf
    # A plain number, of Python or of NumPy, is held as an array, as programs do.
    return (
        jnp.asarray(value)
        if isinstance(value, complex | np.generic | float | int)
        else value
    )
