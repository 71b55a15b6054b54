"""Initialization of the training state, sharded over the mesh."""

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding

from specflow.executor.array_types import (
    Abstract,
    Features,
    Labels,
    ModelState,
    Params,
    Shardings,
    Tree,
)
from specflow.executor.executables import EXECUTABLES
from specflow.executor.hyperparameters import TracedPart, moved_in_parts
from specflow.executor.lifted_jaxpr import lifted
from specflow.executor.program_inputs import traced_anew
from specflow.executor.tracing import Tracer, shapes
from specflow.executor.train_state import TrainState
from specflow.executor.xla_options import CPU_SINGLE_RUN, is_on_cpu
from specflow.mesh import Partitioner
from specflow.runtime.stopwatch import Stopwatch

__all__ = ["StateInitializer"]

_State = TypeVar("_State")

_SEED = jax.ShapeDtypeStruct((), jnp.uint32)
"""Lower bits of a seed."""


class StateInitializer:
    """Initializes states on the mesh, and describes them without allocating.

    Args:
        tracer: traces the model function, whose `train_op` is the optimizer.
        partitioner: shardings of parameters and optimizer state.
        timing: accumulates the seconds spent compiling, as `compile`.
    """

    def __init__(self, tracer: Tracer, partitioner: Partitioner, timing: Stopwatch):
        self._tracer, self._model = tracer, tracer.model
        self._partitioner = partitioner
        self._timing = timing
        self._compiled: dict[Hashable, tuple[jax.stages.Compiled, tuple[Any, ...]]] = {}

    def abstract(self, features: Features, labels: Labels) -> TrainState:
        """Shapes, dtypes and shardings of the state; nothing is allocated.

        Args:
            features: one training batch, or `jax.ShapeDtypeStruct`s of one.
            labels: likewise.
        """
        optimizer = self._tracer.optimizer(features, labels)
        model_only = self.abstract_model_state()
        params = model_only.params
        opt_state = jax.eval_shape(optimizer.init, params, model_only.model_state)
        shardings = {path: array.sharding for path, array in params.items()}
        step = jax.ShapeDtypeStruct((), jnp.int32)
        return model_only._replace(
            step=_sharded(step, self._partitioner.replicated),
            opt_state=jax.tree.map(
                _sharded,
                opt_state,
                self._partitioner.like_params(opt_state, params, shardings),
            ),
        )

    def init(self, seed: int, features: Features, labels: Labels) -> TrainState:
        """Initializes the state before the first step, in place on the mesh.

        Args:
            seed: of the initial weights and of the model's random streams.
            features: one training batch, or `jax.ShapeDtypeStruct`s of one.
            labels: likewise.
        """
        optimizer = self._tracer.optimizer(features, labels)

        def start(params: Params, model_state: ModelState) -> TrainState:
            opt_state = optimizer.initialize(params, model_state)
            step = jnp.zeros((), jnp.int32)
            return TrainState(step, dict(params), dict(model_state), opt_state)

        key = ("init", shapes((features, labels)))
        abstract = self.abstract(features, labels)
        return self._initialize(seed, start, abstract, key, optimizer.initialize)

    def init_optimizer(
        self, state: TrainState, features: Features, labels: Labels
    ) -> TrainState:
        """Initializes the optimizer's state anew, from the state's own parameters.

        Used for parameters that did not come from `init`: moving averages start at
        them.

        Args:
            state: of a training that has not begun.
            features: one training batch, or `jax.ShapeDtypeStruct`s of one.
            labels: likewise.
        """
        optimizer = self._tracer.optimizer(features, labels)
        abstract = self.abstract(features, labels).opt_state
        shardings = jax.tree.map(lambda array: array.sharding, abstract)
        init = jax.jit(optimizer.init, out_shardings=shardings)
        return state._replace(opt_state=init(state.params, state.model_state))

    def abstract_model_state(self) -> TrainState:
        """Like `abstract`, without the optimizer's state: enough to evaluate."""
        model = self._model
        params, model_state = model.abstract_params, model.abstract_model_state
        replicated = self._partitioner.replicated
        return TrainState(
            0,
            jax.tree.map(
                _sharded, params, self._partitioner.params(params, model.dim_names)
            ),
            {path: _sharded(array, replicated) for path, array in model_state.items()},
            (),
        )

    def init_model_state(self, seed: int) -> TrainState:
        """Like `init`, without the optimizer's state."""
        abstract = self.abstract_model_state()
        params, model_state = self._initialize(
            seed,
            lambda *variables: variables,
            (abstract.params, abstract.model_state),
            "init model",
        )
        return TrainState(0, params, model_state, ())

    def _initialize(
        self,
        seed: int,
        start: Callable[..., _State],
        abstract: _State,
        key: Hashable,
        part: TracedPart | None = None,
    ) -> _State:
        """Computes `start` of the model's initial variables, in one program.

        Args:
            seed: of the model's initial values.
            start: (params, model_state) -> the state.
            abstract: shapes, dtypes and shardings of the state.
            key: identifies the program in the cache.
            part: a part of `start` that hyperparameters determine.
        """
        shardings = jax.tree.map(lambda array: array.sharding, abstract)
        if self._model.is_built:
            # Its values do not depend on the seed: inside the program they would be
            # constants of it.
            variables = self._model.init(_random_key(seed % 2**32, seed >> 32))
            return jax.jit(start, out_shardings=shardings)(*variables)

        def init(low_bits: jax.Array) -> Tree:
            return start(*self._model.init(_random_key(low_bits, seed >> 32)))

        key = key, seed >> 32
        if key not in self._compiled:
            with self._timing("compile"):
                self._compiled[key] = self._compile(init, shardings, part)
        compiled, last_args = self._compiled[key]
        return compiled(np.uint32(seed % 2**32), *last_args)

    def _compile(
        self,
        init: Callable[[jax.Array], Tree],
        shardings: Shardings,
        part: TracedPart | None,
    ) -> tuple[jax.stages.Compiled, tuple[Any, ...]]:
        """Compiles an initialization.

        Returns:
            The program, and its arguments after the seed.
        """
        jit_options, args = {"out_shardings": shardings}, (_SEED,)
        traced, last_args = jax.jit(init, **jit_options).trace(*args), ()
        places = set().union(*moved_in_parts(traced.jaxpr, [part] if part else []))
        if places and (inputs := lifted(traced.jaxpr, places)).values.size:
            last_args = (inputs.values,)
            traced = traced_anew(
                traced,
                inputs,
                args,
                sharding=self._partitioner.replicated,
                jit_options=jit_options,
            )
        mesh = self._partitioner.mesh
        compiled = EXECUTABLES.compile(
            traced,
            traced.lower(),
            devices=tuple(mesh.devices.flat),
            options=CPU_SINGLE_RUN if is_on_cpu(mesh) else None,
        )
        return compiled, last_args


def _sharded(array: Abstract, sharding: NamedSharding) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=sharding)


def _random_key(low_bits: jax.Array | int, high_bits: int = 0) -> jax.Array:
    """Makes a random key from all bits of a seed.

    Args:
        low_bits: the lower 32 bits.
        high_bits: the bits above; folded in 32 at a time.
    """
    key = jax.random.key(low_bits)
    while high_bits:
        key = jax.random.fold_in(key, np.uint32(high_bits % 2**32))
        high_bits >>= 32
    return key
