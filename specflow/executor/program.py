"""The only place that compiles: a model function as sharded programs, one a mode."""

import contextlib
import functools
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from specflow.contract import Mode, TPUEstimatorSpec
from specflow.diagnostics.errors import Diagnostic
from specflow.distributed import collectives
from specflow.executor.fingerprint import fingerprint, fingerprints
from specflow.executor.flops import saved
from specflow.executor.gradients import host_tensors
from specflow.executor.lowered import Lowered
from specflow.executor.measured import Measured
from specflow.executor.model_call import ModelFn
from specflow.executor.step_settings import PLAIN, StepSettings
from specflow.executor.steps import (
    StepOutputs,
    eval_step,
    predict_step,
    single_step,
    train_loop,
    train_step,
)
from specflow.executor.traced_once import Traced, has_convolution
from specflow.executor.tracing import Tracer, row_count, shapes
from specflow.executor.train_state import TrainState
from specflow.mesh import Partitioner, Placement, batch_parts
from specflow.model import Model
from specflow.runtime.malloc_trim import give_back
from specflow.runtime.stopwatch import Stopwatch

__all__ = ["CPU_CONVOLUTIONS", "Program"]

CPU_CONVOLUTIONS = {
    "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT"
}
"""Leaves matrix products to XLA's YNN kernels on CPU, and takes convolutions from them:
a convolutional training step is two to three times faster so (jax 0.10 to 0.12)."""

_CPU_ONCE: dict[str, Any] = {"xla_backend_optimization_level": 1}
"""For a program that runs once: XLA on CPU compiles it in half the time."""


class Program:
    """A model function, traced once a mode and compiled for a mesh when first run.

    Args:
        model_fn: returns a `TPUEstimatorSpec`; see `ModelFn`.
        model: the module that is handed to it.
        partitioner: the mesh, and where parameters go on it.
        extras: mode -> `params` and `config` for the function, as far as there are any.
        tuned: whether programs that convolve are compiled around what is slow in XLA on
            CPU; elsewhere it makes no difference.
        settings: how training steps are computed.
    """

    def __init__(
        self,
        model_fn: Callable[..., Any],
        model: Model,
        partitioner: Partitioner,
        *,
        extras: Callable[[Mode], Mapping[str, Any]] | None = None,
        tuned: bool = True,
        settings: StepSettings = PLAIN,
    ):
        self.model = model
        self.settings = settings
        self.tuned = tuned
        self.partitioner = partitioner
        self.timing = Stopwatch()
        """Seconds by name; `compile` is tracing, lowering and compiling."""
        self.tracer = Tracer(
            model_fn,
            model,
            extras=extras,
            timing=self.timing,
            settings=settings,
            placing=partitioner.activations if partitioner.lays_activations else None,
        )
        self.meanwhile: Callable[[], None] = lambda: None
        """Called when the training program is compiled: the devices are busy from now
        on, and the host is free."""
        self._compiled: dict[Any, Any] = {}
        self.lowered: dict[Mode, Lowered] = {}
        """The programs lowered so far; of several of one mode, the first."""

    @property
    def model_fn(self) -> ModelFn:
        """The model function, called by the names it takes."""
        return self.tracer.model_fn

    @property
    def traces(self) -> Counter[Mode]:
        """How often the model function's Python ran, by mode."""
        return self.tracer.traces

    def spec(self, mode: Mode, features: Any, labels: Any = None) -> TPUEstimatorSpec:
        """The spec of a mode, abstract; see `Tracer.spec`."""
        return self.tracer.spec(mode, features, labels)

    @property
    def is_known(self) -> bool:
        """Whether it is known, before any batch, what variables the model has."""
        return self.model.is_known

    def learn(self, mode: Mode, features: Any, labels: Any = None) -> None:
        """Learns from a batch what variables the model has; see `Tracer.learn`."""
        self.tracer.learn(mode, features, labels)

    def admit(self, saved: Mapping[str, Any]) -> None:
        """Takes up what a checkpoint alone knows of; see `Tracer.admit`."""
        self.tracer.admit(saved)

    # -- state

    def abstract_state(self, features: Any, labels: Any) -> TrainState:
        """Shapes, dtypes and shardings of the state; nothing is allocated.

        Args:
            features: one training batch, or `jax.ShapeDtypeStruct`s of one.
            labels: likewise.
        """
        optimizer = self.tracer.optimizer(features, labels)
        model_state = self.abstract_model_state()
        params = model_state.params
        opt_state = jax.eval_shape(optimizer.init, params, model_state.model_state)
        shardings = {path: array.sharding for path, array in params.items()}
        return model_state._replace(
            step=_placed(
                jax.ShapeDtypeStruct((), jnp.int32), self.partitioner.replicated
            ),
            opt_state=jax.tree.map(
                _placed,
                opt_state,
                self.partitioner.like_params(opt_state, params, shardings),
            ),
        )

    def init_state(self, seed: int, features: Any, labels: Any) -> TrainState:
        """The state before the first step, made in place on the mesh.

        Args:
            seed: of the initial weights and of the model's random streams.
            features: one training batch, or `jax.ShapeDtypeStruct`s of one.
            labels: likewise.
        """
        optimizer = self.tracer.optimizer(features, labels)

        def start(params: Any, model_state: Any) -> TrainState:
            opt_state = optimizer.init(params, model_state)
            return TrainState(jnp.zeros((), jnp.int32), params, model_state, opt_state)

        key = ("init", shapes((features, labels)))
        return self._made(seed, start, self.abstract_state(features, labels), key)

    def init_optimizer(
        self, state: TrainState, features: Any, labels: Any
    ) -> TrainState:
        """The state with the optimizer's part made anew, from the parameters it holds.

        For parameters that did not come from `init_state`: averages begin as them.

        Args:
            state: of a training that has not begun.
            features: one training batch, or `jax.ShapeDtypeStruct`s of one.
            labels: likewise.
        """
        optimizer = self.tracer.optimizer(features, labels)
        like = self.abstract_state(features, labels).opt_state
        shardings = jax.tree.map(lambda array: array.sharding, like)
        init = jax.jit(optimizer.init, out_shardings=shardings)
        return state._replace(opt_state=init(state.params, state.model_state))

    def _made(self, seed: int, start: Callable[..., Any], like: Any, key: Any) -> Any:
        """What `start` makes of the initial values, laid out as `like`, in one go."""
        shardings = jax.tree.map(lambda array: array.sharding, like)
        if self.model.is_built:
            # Its values are no function of a seed; inside the program they would be
            # constants of it.
            given = self.model.init(_key(seed % 2**32, seed >> 32))
            return jax.jit(start, out_shardings=shardings)(*given)

        def init(low: jax.Array) -> Any:
            return start(*self.model.init(_key(low, seed >> 32)))

        key = key, seed >> 32
        if key not in self._compiled:
            with self.timing("compile"):
                self._compiled[key] = (
                    jax.jit(init, out_shardings=shardings)
                    .lower(jax.ShapeDtypeStruct((), jnp.uint32))
                    .compile(compiler_options=_CPU_ONCE if self._is_on_cpu else None)
                )
                give_back()
        return self._compiled[key](np.uint32(seed % 2**32))

    def abstract_model_state(self) -> TrainState:
        """Like `abstract_state`, without the optimizer's part: enough to evaluate."""
        params, model_state = (
            self.model.abstract_params,
            self.model.abstract_model_state,
        )
        whole = self.partitioner.replicated
        return TrainState(
            0,
            jax.tree.map(
                _placed, params, self.partitioner.params(params, self.model.dim_names)
            ),
            {path: _placed(array, whole) for path, array in model_state.items()},
            (),
        )

    def init_model_state(self, seed: int) -> TrainState:
        """Like `init_state`, without the optimizer's part."""
        like = self.abstract_model_state()
        both = (like.params, like.model_state)
        params, model_state = self._made(seed, lambda *parts: parts, both, "init model")
        return TrainState(0, params, model_state, ())

    def placements(self) -> dict[str, Placement]:
        """Parameter path -> where it goes, and by which rule."""
        return self.partitioner.placements(
            self.model.abstract_params, self.model.dim_names
        )

    def warnings(self) -> list[Diagnostic]:
        """What is no fault of the mesh's rules, but may not be as it was meant."""
        return self.partitioner.warnings(
            self.model.abstract_params, self.model.dim_names
        )

    # -- batches

    def put(self, batch: Any, *, axis: int = 0) -> Any:
        """Host rows of this process as global arrays, cut along `axis` over the mesh.

        Rows that the mesh does not divide are given whole to every device.
        """
        rows, whole = self.partitioner.rows(axis), self.partitioner.replicated
        parts = batch_parts(self.partitioner.mesh)
        if jax.process_count() == 1:
            return jax.tree.map(
                lambda array: jax.device_put(
                    array, whole if array.shape[axis] % parts else rows
                ),
                batch,
            )
        return jax.tree.map(lambda array: self._joined(array, axis), batch)

    def _joined(self, array: Any, axis: int) -> jax.Array:
        """Rows of this process as its part of the rows of all."""
        places = self.partitioner.local_rows(array.shape[axis])
        parts, of = self.partitioner.local_parts
        shape = list(array.shape)
        shape[axis] = shape[axis] // len(parts) * of
        divides = shape[axis] % batch_parts(self.partitioner.mesh) == 0
        sharding = (
            self.partitioner.rows(axis) if divides else self.partitioner.replicated
        )
        before = (slice(None),) * axis

        def of_device(index: Any) -> Any:
            start, stop, _ = index[axis].indices(shape[axis])
            first = int(np.searchsorted(places, start))
            return array[(*before, slice(first, first + stop - start))]

        return jax.make_array_from_callback(tuple(shape), sharding, of_device)

    def feed(self, batch: Any) -> Any:
        """Host rows of one batch, as `evaluate` and `predict` take them.

        A single device reads them where they are, in less time than it takes to make
        arrays of them; nobody may change them until its results are there.
        """
        return batch if self._is_alone else self.put(batch)

    @property
    def _is_alone(self) -> bool:
        """Whether a single device does everything."""
        return self.partitioner.mesh.size == 1 and jax.process_count() == 1

    # -- running

    def train(
        self,
        state: TrainState,
        features: Any,
        labels: Any,
        start: int,
        stop: int,
        wanted: NDArray[np.bool_] | None = None,
    ) -> tuple[TrainState, jax.Array, StepOutputs]:
        """Runs stacked batches `start` to `stop`; the given state is used up.

        Args:
            state: what to start from; dead after this call, its memory is used again.
            features: stacked batches on the mesh, from `put(..., axis=1)`.
            labels: likewise, or None.
            start: first batch.
            stop: one past the last batch.
            wanted: for each stacked batch whether its step is reported: on CPU, others
                are not measured. None: all are.

        Returns:
            The state after; the losses of all stacked batches, NaN where none ran; what
            else their steps gave, stacked likewise.
        """
        key = ("train", shapes((features, labels)))
        if key not in self._compiled:
            self._compiled[key] = self._compile_train(state, features, labels)
        compiled, looped, empty = self._compiled[key]
        if wanted is None:
            wanted = np.ones(row_count(features), bool)
        said: Any = np.full(row_count(features), np.nan, np.float32), empty()
        if looped:
            bounds = np.int32(start), np.int32(stop)
            return compiled(state, *said, features, labels, wanted, *bounds)
        for index in range(start, stop):
            batch = features, labels, wanted, np.int32(index)
            state, *said = compiled(state, *said, *batch)
        return state, *said

    def _compile_train(
        self, state: TrainState, features: Any, labels: Any
    ) -> tuple[Any, bool, Callable[[], Any]]:
        """The program, whether it loops by itself (else it takes one step), and what
        gives it room for the outputs of steps.
        """
        with self.timing("compile"):
            lowered, forward, looped, outputs = self._lower_train(
                state, features, labels
            )
            self._agree(Mode.TRAIN, lowered)
            compiled = self.compile(lowered, forward)
            empty = self._empty(outputs, row_count(features))
        self.meanwhile()
        return compiled, looped, empty

    def _lower_train(
        self, state: TrainState, features: Any, labels: Any
    ) -> tuple[Any, Traced, bool, Any]:
        """The lowered program, the model function in it, whether it loops by itself,
        and the form of the outputs of all steps.
        """
        batch = jax.tree.map(
            lambda rows: jax.ShapeDtypeStruct(rows.shape[1:], rows.dtype),
            (features, labels),
        )
        forward = self.tracer.forward(Mode.TRAIN, *batch)
        looped = not self._is_slow_in_a_loop(forward)
        micro_steps = self.settings.micro_steps
        optimizer = self.tracer.optimizer(*batch)
        step = functools.partial(
            train_step,
            optimizer=optimizer,
            micro_steps=micro_steps,
            unroll=not looped,
        )
        program = functools.partial(
            train_loop if looped else single_step,
            forward=forward,
            step=step if self._is_on_cpu else _reporting(step),
        )
        whole = self.partitioner.replicated
        shardings = jax.tree.map(lambda array: array.sharding, state)
        steps, rows = row_count(features), self.partitioner.rows(1)
        if row_count(batch) % batch_parts(self.partitioner.mesh):
            rows = whole  # As `put` gave them.
        losses = jax.ShapeDtypeStruct((steps,), jnp.float32, sharding=whole)
        called = jax.tree.map(
            lambda one: jax.ShapeDtypeStruct(
                (steps, one.shape[0] * micro_steps, *one.shape[1:]),
                one.dtype,
                sharding=rows,
            ),
            host_tensors(forward.result[0]),
        )
        skipped = jax.eval_shape(optimizer.skipped, state.opt_state, state.opt_state)
        trained = {path: state.params[path] for path in optimizer.trained}
        measured = jax.eval_shape(
            optimizer.measured, trained, state.opt_state, state.opt_state, state.step
        )
        skipped, measured = jax.tree.map(
            lambda one: jax.ShapeDtypeStruct(
                (steps, *one.shape), one.dtype, sharding=whole
            ),
            (skipped, measured),
        )
        outputs = StepOutputs(called, skipped, measured)
        index = jax.ShapeDtypeStruct((), jnp.int32)
        wanted = jax.ShapeDtypeStruct((steps,), jnp.bool_, sharding=whole)
        args = state, losses, outputs, features, labels, wanted
        lowered = self._lowered(
            Mode.TRAIN,
            program,
            (*args, *(index,) * (2 if looped else 1)),
            forward,
            looped=looped,
            donate_argnums=(0, 1, 2),
            out_shardings=(
                shardings,
                whole,
                jax.tree.map(lambda one: one.sharding, outputs),
            ),
        )
        return lowered, forward, looped, outputs

    def _lowered(
        self,
        mode: Mode,
        program: Callable[..., Any],
        args: tuple[Any, ...],
        forward: Traced,
        *,
        looped: bool = False,
        **settings: Any,
    ) -> Any:
        """The program lowered for these arguments, and remembered as its mode's."""
        traced = jax.jit(program, **settings).trace(*args)
        stage = traced.lower()
        # Forms alone: who holds on to arrays holds on to their memory.
        forms = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), args)

        def saving() -> Any:
            function = functools.partial(program, forward=saved(forward))
            return jax.make_jaxpr(function)(*forms)

        found = Lowered(stage, traced.jaxpr, saving, looped)
        self.lowered.setdefault(mode, found)
        return stage

    def _empty(self, outputs: StepOutputs, steps: int) -> Callable[[], StepOutputs]:
        """What makes arrays of zeros of these forms, on the mesh; the few numbers that
        are measured are on the host, as the losses are.
        """
        measured = outputs.measured
        like = outputs._replace(measured=Measured((), ()))
        if not jax.tree.leaves(like):
            return lambda: like._replace(measured=measured.stacked(steps))
        zeros = jax.jit(
            lambda: jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), like),
            out_shardings=jax.tree.map(lambda a: a.sharding, like),
        )
        made = zeros.lower().compile()
        return lambda: made()._replace(measured=measured.stacked(steps))

    def evaluate(
        self, state: TrainState, features: Any, labels: Any, mask: Any
    ) -> dict[str, Any]:
        """What `eval_step` gives for one batch, still on the devices.

        Args:
            state: only parameters and rest are used.
            features: one batch, from `feed`.
            labels: likewise, or None.
            mask: bool rows, likewise.
        """
        return self._run(Mode.EVAL, eval_step, state, features, labels, mask)

    def predict(self, state: TrainState, features: Any, mask: Any) -> Any:
        """What `predict_step` gives for one batch, still on the devices."""
        return self._run(Mode.PREDICT, predict_step, state, features, mask)

    def _run(
        self, mode: Mode, step: Callable[..., Any], state: TrainState, *batch: Any
    ) -> Any:
        key = (mode, shapes(batch))
        compiled = self._compiled.get(key)
        if compiled is None:
            with self.timing("compile"):
                lowered, forward = self._lower(mode, step, state, *batch)
                self._agree(mode, lowered)
                compiled = self._compiled[key] = self.compile(lowered, forward)
        return compiled(state.params, state.model_state, *batch)

    def _lower(
        self, mode: Mode, step: Callable[..., Any], state: TrainState, *batch: Any
    ) -> tuple[Any, Traced]:
        """The lowered program of EVAL or PREDICT, and the model function in it."""
        features, *labels = batch[:-1]
        forward = self.tracer.forward(mode, features, *(labels or [None]))
        whole = row_count(features) % batch_parts(self.partitioner.mesh) != 0
        rows = self.partitioner.replicated if whole else self.partitioner.rows()
        out: dict[str, Any] = {"called": rows}
        if mode is Mode.EVAL:
            alone = self.partitioner.replicated
            out |= {"loss": alone, "mean_loss": alone, "tensors": rows}
        else:
            out["predictions"] = self._by_rows(forward, row_count(features), rows)
        program = functools.partial(step, forward=forward)
        args = state.params, state.model_state, *batch
        return self._lowered(mode, program, args, forward, out_shardings=out), forward

    def _by_rows(self, forward: Traced, count: int, rows: Any) -> Any:
        """Shardings of predictions: what is batch-major lies where its rows do."""
        whole = self.partitioner.replicated
        return jax.tree.map(
            lambda array: rows if array.shape[:1] == (count,) else whole,
            forward.result[0].predictions,
        )

    def compile(self, lowered: Any, forward: Traced) -> Any:
        """Compiles as this program is compiled.

        Args:
            lowered: from `jax.jit(...).lower(...)`.
            forward: the model function that is part of it.
        """
        compiled = None
        if self._is_slow_in_a_loop(forward):
            with contextlib.suppress(jax.errors.JaxRuntimeError):
                compiled = lowered.compile(compiler_options=CPU_CONVOLUTIONS)
        if compiled is None:
            # No convolutions, or an XLA that does not know the option.
            compiled = lowered.compile()
        give_back()
        return compiled

    @property
    def _is_on_cpu(self) -> bool:
        return self.partitioner.mesh.devices.flat[0].platform == "cpu"

    def _is_slow_in_a_loop(self, forward: Traced) -> bool:
        """Whether XLA's convolutions on CPU would hold a looped program up."""
        return self.tuned and self._is_on_cpu and has_convolution(forward.jaxpr)

    # -- identity

    def _agree(self, mode: Mode, lowered: Any) -> None:
        """Checks that all processes are about to run the same program.

        Raises:
            ConfigError: one runs another; it is named.
        """
        if collectives.process_count() > 1:
            collectives.check_equal("program", fingerprints({mode: lowered}))

    def lower(
        self,
        mode: Mode,
        features: Any,
        labels: Any,
        *,
        mask: Any = None,
        steps: int = 1,
    ) -> None:
        """Lowers the program of a mode as running it would; nothing is compiled.

        Args:
            mode: which program.
            features: form of one batch, on the host.
            labels: likewise, or None.
            mask: likewise, of the rows; not to train.
            steps: batches that are stacked, to train.
        """
        if mode is Mode.TRAIN:
            stacked = self._as_put((features, labels), steps)
            self._lower_train(self.abstract_state(features, labels), *stacked)
            return
        state, batch = self.abstract_model_state(), (features, labels, mask)
        features, labels, mask = batch if self._is_alone else self._as_put(batch)
        if mode is Mode.EVAL:
            self._lower(mode, eval_step, state, features, labels, mask)
        else:
            self._lower(mode, predict_step, state, features, mask)

    def _as_put(self, batch: Any, steps: int | None = None) -> Any:
        """The form of a batch, or of some that are stacked, where `put` lays it."""
        stack, axis = ((), 0) if steps is None else ((steps,), 1)
        rows, whole = self.partitioner.rows(axis), self.partitioner.replicated
        parts = batch_parts(self.partitioner.mesh)
        return jax.tree.map(
            lambda array: jax.ShapeDtypeStruct(
                (*stack, *array.shape),
                jax.dtypes.canonicalize_dtype(array.dtype),
                sharding=whole if array.shape[0] % parts else rows,
            ),
            batch,
        )

    def fingerprints(self) -> dict[str, str]:
        """A hash of each program lowered so far, by mode; of several, the first's.

        Equal programs have equal hashes, also in another process, as long as versions
        and devices are the same.
        """
        return fingerprints({mode: one.stage for mode, one in self.lowered.items()})

    def fingerprint(self) -> str:
        """One hash of all programs lowered so far."""
        return fingerprint(self.fingerprints())


def _reporting(step: Callable[..., Any]) -> Callable[..., Any]:
    """The step, which measures whether or not it is reported.

    The time for it is lost between the many small operations of a CPU. Elsewhere a
    condition would cost more: a GPU's host waits for it, and all gradients with it.
    """
    return lambda *args, **kwargs: step(*args[:-1], None, **kwargs)


def _placed(array: Any, sharding: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=sharding)


def _key(seed: Any, high: int = 0) -> jax.Array:
    """The random key of a seed, each of whose bits counts.

    Args:
        seed: its lower 32 bits.
        high: what is above these; each 32 bits of it are folded in.
    """
    key = jax.random.key(seed)
    while high:
        key = jax.random.fold_in(key, np.uint32(high % 2**32))
        high >>= 32
    return key
