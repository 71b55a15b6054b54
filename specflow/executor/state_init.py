"""Initialization of the training state, sharded over the mesh."""

import copy
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from numpy.typing import NDArray

from specflow.contract import Mode
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
from specflow.executor.lifted_jaxpr import LiftedJaxpr, lifted
from specflow.executor.optimizer_step import Optimizer
from specflow.executor.program_inputs import ProgramInputs, traced_anew
from specflow.executor.tracing import Tracer, shapes
from specflow.executor.train_state import TrainState
from specflow.executor.xla_options import CPU_SINGLE_RUN, is_on_cpu
from specflow.mesh import Partitioner
from specflow.runtime.stopwatch import Stopwatch

__all__ = ["StateInitializer"]

_State = TypeVar("_State")

_SEED = jax.ShapeDtypeStruct((), jnp.uint32)
"""Lower bits of a seed."""


class _CompiledInit(NamedTuple):
    """A compiled initialization."""

    run: jax.stages.Compiled
    """Takes the lower bits of a seed, and the inputs unless there are none."""
    inputs: NDArray[np.float32]
    """Values computed from hyperparameters."""
    origin: ProgramInputs
    """Where they come from."""


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
        self._abstract: dict[Hashable, TrainState] = {}
        self._compiled: dict[tuple[Hashable, int], _CompiledInit] = {}
        self._earlier: dict[tuple[Hashable, int], _CompiledInit] = {}
        """Programs of an earlier optimizer."""
        self._earlier_abstract: dict[Hashable, TrainState] = {}
        """States of that optimizer."""

    def with_tracer(self, tracer: Tracer, timing: Stopwatch) -> "StateInitializer":
        """Returns one of a tracer that differs from this one's in the optimizer.

        Args:
            tracer: of the same model and function.
            timing: accumulates the seconds spent compiling, as `compile`.
        """
        other = copy.copy(self)
        other._tracer, other._timing = tracer, timing
        other._abstract, other._compiled = {}, {}
        other._earlier = {**self._earlier, **self._compiled}
        other._earlier_abstract = {**self._earlier_abstract, **self._abstract}
        return other

    def abstract(self, features: Features, labels: Labels) -> TrainState:
        """Shapes, dtypes and shardings of the state; nothing is allocated.

        Args:
            features: one training batch, or `jax.ShapeDtypeStruct`s of one.
            labels: likewise.
        """
        self._tracer.spec(Mode.TRAIN, features, labels)  # Makes the variables known.
        model_only = self.abstract_model_state()
        variables = model_only.params, model_only.model_state
        key = shapes((features, labels)), shapes(variables)
        if key in self._abstract:
            return self._abstract[key]
        optimizer, params = self._tracer.optimizer(features, labels), model_only.params
        earlier = self._earlier_abstract.get(key)
        if earlier is not None and self._initializes_alike(optimizer, key[0]):
            self._abstract[key] = earlier
            return earlier
        opt_state = jax.eval_shape(optimizer.init, params, model_only.model_state)
        shardings = {path: array.sharding for path, array in params.items()}
        step = jax.ShapeDtypeStruct((), jnp.int32)
        self._abstract[key] = model_only._replace(
            step=_sharded(step, self._partitioner.replicated),
            opt_state=jax.tree.map(
                _sharded,
                opt_state,
                self._partitioner.like_params(opt_state, params, shardings),
            ),
        )
        return self._abstract[key]

    def init(
        self,
        seed: int,
        features: Features,
        labels: Labels,
        *,
        meanwhile: Callable[[], None] | None = None,
    ) -> TrainState:
        """Initializes the state before the first step, in place on the mesh.

        Args:
            seed: of the initial weights and of the model's random streams.
            features: one training batch, or `jax.ShapeDtypeStruct`s of one.
            labels: likewise.
            meanwhile: is called while XLA compiles, if it has to.
        """
        optimizer = self._tracer.optimizer(features, labels)

        def start(params: Params, model_state: ModelState) -> TrainState:
            opt_state = optimizer.initialize(params, model_state)
            step = jnp.zeros((), jnp.int32)
            return TrainState(step, dict(params), dict(model_state), opt_state)

        abstract = self.abstract(features, labels)
        key = _init_key(shapes((features, labels)))
        return self._initialize(
            seed, start, abstract, key, optimizer.initialize, meanwhile=meanwhile
        )

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
        program: Hashable,
        part: TracedPart | None = None,
        *,
        meanwhile: Callable[[], None] | None = None,
    ) -> _State:
        """Computes `start` of the model's initial variables, in one program.

        Args:
            seed: of the model's initial values.
            start: (params, model_state) -> the state.
            abstract: shapes, dtypes and shardings of the state.
            program: identifies the program in the cache.
            part: a part of `start` that hyperparameters determine.
            meanwhile: is called while XLA compiles, if it has to.
        """
        shardings = jax.tree.map(lambda array: array.sharding, abstract)
        if self._model.is_built:
            # Its values do not depend on the seed: inside the program they would be
            # constants of it.
            variables = self._model.init(_random_key(seed % 2**32, seed >> 32))
            return jax.jit(start, out_shardings=shardings)(*variables)

        def init(low_bits: jax.Array) -> Tree:
            return start(*self._model.init(_random_key(low_bits, seed >> 32)))

        key = program, seed >> 32
        if key not in self._compiled:
            with self._timing("compile"):
                parts = () if part is None else (part,)
                self._compiled[key] = self._compiled_again(key, parts) or self._compile(
                    init, shardings, parts, meanwhile or _nothing
                )
        compiled = self._compiled[key]
        last_args = (compiled.inputs,) if compiled.inputs.size else ()
        return compiled.run(np.uint32(seed % 2**32), *last_args)

    def _initializes_alike(self, optimizer: Optimizer, batch: Hashable) -> bool:
        """Returns whether an earlier optimizer's state has the same form.

        That is seen from the trace that `init` needs too, so its program is kept.

        Args:
            optimizer: of now.
            batch: shapes of a training batch.
        """
        for key in self._earlier:
            of, _ = key
            if of == _init_key(batch):
                with self._timing("compile"):
                    program = self._compiled_again(key, (optimizer.initialize,))
                if program is not None:
                    self._compiled[key] = program
                return program is not None
        return False

    def _compiled_again(
        self, key: tuple[Hashable, int], parts: Sequence[TracedPart]
    ) -> "_CompiledInit | None":
        """Returns the program of an earlier optimizer with the inputs of this one."""
        program = self._earlier.get(key)
        values = None if program is None else program.origin.values_for(parts)
        if program is None or values is None:
            return None
        return program._replace(inputs=values)

    def _compile(
        self,
        init: Callable[[jax.Array], Tree],
        shardings: Shardings,
        parts: Sequence[TracedPart],
        meanwhile: Callable[[], None],
    ) -> "_CompiledInit":
        """Compiles an initialization, and calls `meanwhile` while XLA does."""
        jit_options, args = {"out_shardings": shardings}, (_SEED,)
        traced = jax.jit(init, **jit_options).trace(*args)
        jaxpr, places = traced.jaxpr, set().union(*moved_in_parts(traced.jaxpr, parts))
        inputs = LiftedJaxpr(jaxpr, np.zeros(0, np.float32))
        if places and (inputs := lifted(jaxpr, places)).values.size:
            traced = traced_anew(
                traced,
                inputs,
                args,
                sharding=self._partitioner.replicated,
                jit_options=jit_options,
            )
        mesh = self._partitioner.mesh
        # XLA holds no lock of Python, so a thread compiles on another core.
        with ThreadPoolExecutor(1, "compile") as thread:
            compiling = thread.submit(
                EXECUTABLES.compile,
                traced,
                traced.lower(),
                devices=tuple(mesh.devices.flat),
                options=CPU_SINGLE_RUN if is_on_cpu(mesh) else None,
            )
            meanwhile()
            compiled = compiling.result()
        origin = ProgramInputs(jaxpr, places, parts, inputs)
        return _CompiledInit(compiled, inputs.values, origin)


def _init_key(batch: Hashable) -> Hashable:
    """The key of the programs that initialize model and optimizer.

    Args:
        batch: shapes of a training batch.
    """
    return "init", batch


def _nothing() -> None:
    """What is done meanwhile if nothing is given."""


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
