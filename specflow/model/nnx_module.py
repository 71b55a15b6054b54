"""NNX modules: flat dicts of arrays outside a trace, a module inside."""

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
    """A builder returned a Linen module, which `SplitModel` does not support."""


class SplitModel:
    """A module split into a static graph and flat dicts of arrays.

    Passing dicts through `jax.jit` takes a tenth of the host time of passing a module;
    the module exists only while a step is traced. Trainable parameters (`nnx.Param`)
    are separate from the model state: statistics, random streams, constants. Random
    keys are stored as integers, so that a checkpoint holds only plain arrays.

    Args:
        model: a function that builds the module from its random streams, or a built
            module, whose values are then the initial ones.
        compute_dtype: dtype of layers without a `dtype` of their own.

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
    """Structure of the module, obtained without allocating it."""
    abstract_params: dict[str, jax.ShapeDtypeStruct]
    """Shape and dtype of each parameter."""
    abstract_model_state: dict[str, jax.ShapeDtypeStruct]
    """Shape and dtype of each array of the model state."""
    dim_names: dict[str, tuple[Any, ...]]
    """Parameter -> names of its dimensions, given by Flax's `nnx.with_partitioning` or
    a variable's `out_sharding`."""
    statistics: dict[str, str]
    """Path of each batch statistic (floating `nnx.BatchStat`) -> path of its layer."""
    is_known = True
    """True: the parameters are known; those of a `LinenModel` are not at first."""

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
        """True if a built module was given: `init` then ignores its key."""
        return self._given is not None

    def init(self, key: jax.Array) -> tuple[FlatState, FlatState]:
        """Returns the initial values; pure, so `jax.jit` with `out_shardings` can place
        them.

        Args:
            key: seed of the initial values and of the module's random streams; ignored
                for a built module. Under `jax.jit` the values of a built module would
                become constants of the program: call this outside, and
                `jax.device_put` the result.

        Returns:
            Parameters and model state, by dotted path. They share no memory with the
            module.
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
        """Calls a function of the module with these values, and returns the new model
        state.

        Args:
            function: takes the module, and may call it any number of times.
            params: values by dotted path.
            model_state: likewise.
            train: put the module in train mode; otherwise in eval mode.
            frozen: paths of layers that are always in eval mode.
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
        """Returns a new module with these values, in train or eval mode.

        `rest_of` reads what a call changes in it (statistics, counters).
        """
        values = {**params, **model_state}
        for name, impl in self._key_impls.items():
            values[name] = jax.random.wrap_key_data(values[name], impl=impl)
        state = nnx.from_flat_state(
            [(path, values[name]) for name, path in self._paths.items()]
        )
        # copy=True: variables of an outer trace cannot be changed inside grad.
        module = nnx.merge(self.graphdef, state, copy=True)
        # Unlike nnx.view, these accept modules without the flag.
        module.train() if train else module.eval()
        return module

    def rest_of(self, module: nnx.Module) -> FlatState:
        """Returns the model state of a module after a call.

        Variables that the call added are dropped: the state keeps its structure.
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
            # Workaround until Flax treats traced arrays as data: it considers a plain
            # array made in a trace a part of the structure.
            if isinstance(value, jax.Array) and not nnx.is_data(value):
                setattr(part, name, nnx.data(value))
    graphdef, state = nnx.split(module)
    return graphdef, dict(nnx.to_flat_state(state))


def _abstractly(
    build: Callable[[nnx.Rngs], nnx.Module],
) -> tuple[nnx.GraphDef[nnx.Module], dict[_Path, Any]]:
    """Returns structure and abstract leaves, without computing or allocating."""
    graphdefs: list[nnx.GraphDef[nnx.Module]] = []

    def trace() -> nnx.State[Any, Any]:
        graphdef, leaves = _taken_apart(_checked(_built(build, nnx.Rngs(0))))
        graphdefs.append(graphdef)
        return nnx.from_flat_state(list(leaves.items()))

    state = jax.eval_shape(trace)
    return graphdefs[0], dict(nnx.to_flat_state(state))


def _built(build: Callable[[nnx.Rngs], nnx.Module], rngs: nnx.Rngs) -> nnx.Module:
    # Names of dimensions are for the mesh's rules: variables are created without a
    # mesh, and need no sharding yet.
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
    # A plain number, of Python or NumPy, becomes an array, as in programs.
    return (
        jnp.asarray(value)
        if isinstance(value, complex | np.generic | float | int)
        else value
    )
