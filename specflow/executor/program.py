"""A model function compiled for a mesh: the train, evaluate and predict programs."""

import copy
import functools
import hashlib
from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from specflow.contract import Mode, TPUEstimatorSpec
from specflow.diagnostics.errors import Diagnostic
from specflow.distributed import collectives
from specflow.executor.array_types import Features, Labels, Mask, Tree
from specflow.executor.batch_placement import BatchPlacement
from specflow.executor.executables import EXECUTABLES
from specflow.executor.fingerprint import fingerprint, fingerprints
from specflow.executor.hyperparameters import Hyperparameters
from specflow.executor.lowered import Lowered
from specflow.executor.lowering import LoweredTrain, Lowering
from specflow.executor.state_init import StateInitializer
from specflow.executor.step_metrics import StepMetrics
from specflow.executor.step_settings import PLAIN, StepSettings
from specflow.executor.steps import StepOutputs
from specflow.executor.tracing import Tracer, row_count, shapes
from specflow.executor.train_state import TrainState
from specflow.mesh import Partitioner, Placement
from specflow.model import Model
from specflow.runtime.stopwatch import Stopwatch

__all__ = ["Program"]

_MOST_IN_FLIGHT = 8
"""Calls of single steps after which the host waits, where devices share its threads.

JAX's CPU client holds the thread of a 33rd call until an earlier one ends. That one may
be queued for the same thread, while other devices wait for it in a collective: with two
processes of two devices, on two cores, forever. Two device loops are in flight at once.
"""


class _TrainExecutable:
    """A training program, compiled when it is first run.

    Args:
        lowered: the program.
        steps: number of stacked batches.
        timing: where the time is added, under `compile`.
    """

    def __init__(
        self,
        lowered: LoweredTrain,
        steps: int,
        timing: Stopwatch,
    ):
        self._lowered, self._steps, self._timing = lowered, steps, timing

    @functools.cached_property
    def run(self) -> jax.stages.Compiled:
        """The executable."""
        with self._timing("compile"):
            return self._lowered.compile()

    @functools.cached_property
    def zeros(self) -> Callable[[], StepOutputs]:
        """Allocates the stacked outputs that the program fills."""
        with self._timing("compile"):
            devices = self._lowered.program.devices
            return _zeros(self._lowered.outputs, self._steps, devices)


class _TrainProgram(NamedTuple):
    """A training program, and its executable, which others share."""

    lowered: LoweredTrain
    executable: _TrainExecutable


class Program:
    """A model function, traced once in each mode and compiled when first run.

    Compiled programs are cached by the shapes and dtypes of their batches.

    Args:
        model_fn: returns a `TPUEstimatorSpec`; see `ModelFn`.
        model: the module passed to it.
        partitioner: the mesh and the shardings of parameters.
        extras: mode -> `params` and `config` for the function, as far as there are any.
        tuned: whether training programs avoid what is slow in XLA on CPU; no effect
            elsewhere.
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
        self.partitioner = partitioner
        self.timing = Stopwatch()
        """Seconds by name; `compile` is tracing, lowering and compiling."""
        self.tracer = Tracer(
            model_fn,
            model,
            extras=extras,
            timing=self.timing,
            settings=settings,
            placing=partitioner.activations if partitioner.shards_activations else None,
        )
        self.states = StateInitializer(self.tracer, partitioner, self.timing)
        """Initializes states."""
        self._batches = BatchPlacement(partitioner)
        self._lowering = Lowering(
            self.tracer, self._batches, settings=settings, tuned=tuned
        )
        self._train: dict[Hashable, _TrainProgram] = {}
        self._earlier_train: dict[Hashable, _TrainProgram] = {}
        """Training programs of an earlier optimizer."""
        self._compiled_steps: dict[Hashable, tuple[jax.stages.Compiled, Lowered]] = {}

    @property
    def lowered(self) -> dict[Mode, Lowered]:
        """Programs lowered so far; the first of each mode."""
        return self._lowering.lowered

    def with_hyperparameters(self, hyperparameters: Hyperparameters) -> "Program":
        """Returns a program of the same function and model with another optimizer.

        It uses the traces and executables of this one. The optimizer alone is traced;
        the others are traced and compiled where that shows that programs differ.

        Args:
            hyperparameters: of a config that differs in the optimizer alone.
        """
        other = copy.copy(self)
        other.timing = Stopwatch()
        other.tracer = self.tracer.with_hyperparameters(hyperparameters, other.timing)
        other.states = self.states.with_tracer(other.tracer, other.timing)
        other._lowering = self._lowering.with_tracer(other.tracer)
        other._earlier_train = {**self._earlier_train, **self._train}
        other._train = {}
        # Shared, as no optimizer is in them.
        other._compiled_steps = self._compiled_steps
        return other

    def spec(
        self, mode: Mode, features: Features, labels: Labels = None
    ) -> TPUEstimatorSpec:
        """The spec of a mode, abstract; see `Tracer.spec`."""
        return self.tracer.spec(mode, features, labels)

    def abstract_state(self, features: Features, labels: Labels) -> TrainState:
        """Shapes, dtypes and shardings of the state; see `StateInitializer`."""
        return self.states.abstract(features, labels)

    def init_state(
        self,
        seed: int,
        features: Features,
        labels: Labels,
        *,
        steps: Callable[[], int] | None = None,
    ) -> TrainState:
        """Initializes the state on the mesh; see `StateInitializer.init`.

        If `steps` is given, the program of `train` for so many stacked batches is
        lowered while that of the initial values compiles.
        """

        def lower_train() -> None:
            if steps is not None:
                stacked = self._batches.abstract((features, labels), steps())
                self._train_program(self.abstract_state(features, labels), *stacked)

        return self.states.init(seed, features, labels, meanwhile=lower_train)

    def placements(self) -> dict[str, Placement]:
        """Parameter path -> its placement, and the rule it follows."""
        return self.partitioner.placements(
            self.model.abstract_params, self.model.dim_names
        )

    def warnings(self) -> list[Diagnostic]:
        """Valid placements that are probably not intended; see `Partitioner`."""
        return self.partitioner.warnings(
            self.model.abstract_params, self.model.dim_names
        )

    def put(self, batch: Tree, *, axis: int = 0) -> Tree:
        """Shards host rows over the mesh; see `BatchPlacement.put`."""
        return self._batches.put(batch, axis=axis)

    def feed(self, batch: Tree) -> Tree:
        """Places a batch for `evaluate` and `predict`; see `BatchPlacement.feed`."""
        return self._batches.feed(batch)

    def train(
        self,
        state: TrainState,
        features: Features,
        labels: Labels,
        start: int,
        stop: int,
        log_mask: NDArray[np.bool_] | None = None,
    ) -> tuple[TrainState, jax.Array, StepOutputs]:
        """Runs training steps on stacked batches `start` to `stop`.

        Args:
            state: the state before; donated, so it is invalid after the call.
            features: stacked batches on the mesh, from `put(..., axis=1)`.
            labels: likewise, or None.
            start: first batch.
            stop: one past the last batch.
            log_mask: bool[steps], whether the step of each stacked batch is logged;
                on CPU, the metrics of others are not computed. If None, all are.

        Returns:
            The state after; float32[steps], the losses of all stacked batches, NaN
            where none ran; the steps' other outputs, stacked likewise.
        """
        lowered_train, executable = self._train_program(state, features, labels)
        lowered, run = lowered_train.program, executable.run
        steps = row_count(features)
        if log_mask is None:
            log_mask = np.ones(steps, bool)
        losses: Any = np.full(steps, np.nan, np.float32)
        outputs = executable.zeros()
        batches = features, labels, log_mask
        if lowered.looped:
            bounds = np.int32(start), np.int32(stop)
            return run(state, losses, outputs, *batches, *bounds, *lowered.last_args)
        for index in range(start, stop):
            state, losses, outputs = run(
                state, losses, outputs, *batches, np.int32(index), *lowered.last_args
            )
            _wait_for_some(losses, index - start)
        return state, losses, outputs

    def lowered_train(
        self, state: TrainState, features: Features, labels: Labels
    ) -> LoweredTrain:
        """Returns the training program for these arguments, lowered once.

        Args:
            state: the state, or its shapes.
            features: stacked batches on the mesh, from `put(..., axis=1)`.
            labels: likewise, or None.
        """
        return self._train_program(state, features, labels).lowered

    def _train_program(
        self, state: TrainState, features: Features, labels: Labels
    ) -> _TrainProgram:
        key = shapes((features, labels))
        if key not in self._train and not self.train_again(features, labels):
            with self.timing("compile"):
                lowered = self._lowering.train(state, features, labels)
                _check_same_program(Mode.TRAIN, lowered.program)
            executable = _TrainExecutable(lowered, row_count(features), self.timing)
            self._train[key] = _TrainProgram(lowered, executable)
        return self._train[key]

    def train_again(self, features: Features, labels: Labels) -> bool:
        """Takes the training program of an earlier optimizer, if it is the same.

        Returns False otherwise. Arguments as of `train`, or their shapes.
        """
        key = shapes((features, labels))
        if (earlier := self._earlier_train.get(key)) is None:
            return False
        with self.timing("compile"):
            lowered = self._lowering.train_again(earlier.lowered, features, labels)
            if lowered is None:
                return False
            _check_same_program(Mode.TRAIN, lowered.program)
        self._train[key] = earlier._replace(lowered=lowered)
        return True

    def evaluate(
        self, state: TrainState, features: Features, labels: Labels, mask: Mask
    ) -> dict[str, Any]:
        """Runs `eval_step` on one batch.

        Args:
            state: only parameters and model state are used.
            features: one batch, from `feed`.
            labels: likewise, or None.
            mask: bool[batch], likewise.

        Returns:
            The results of `eval_step`, on the devices.
        """
        batch = features, labels, mask
        lower = self._lowering.evaluate
        return self._run(Mode.EVAL, lower, state, batch)

    def predict(
        self, state: TrainState, features: Features, mask: Mask
    ) -> dict[str, Any]:
        """Runs `predict_step` on one batch; as `evaluate`."""
        lower = self._lowering.predict
        return self._run(Mode.PREDICT, lower, state, (features, mask))

    def _run(
        self,
        mode: Mode,
        lower: Callable[..., Lowered],
        state: TrainState,
        batch: tuple[Tree, ...],
    ) -> dict[str, Any]:
        key = (mode, shapes(batch))
        if key not in self._compiled_steps:
            with self.timing("compile"):
                lowered = lower(state, *batch)
                _check_same_program(mode, lowered)
                self._compiled_steps[key] = lowered.compile(), lowered
        compiled, lowered = self._compiled_steps[key]
        self.lowered.setdefault(mode, lowered)
        return compiled(state.params, state.model_state, *batch, *lowered.last_args)

    def lower(
        self,
        mode: Mode,
        features: Features,
        labels: Labels,
        *,
        mask: Mask = None,
        steps: int = 1,
    ) -> None:
        """Lowers the program of a mode as running it would; nothing is compiled.

        Args:
            mode: which program.
            features: one host batch, or `jax.ShapeDtypeStruct`s of one.
            labels: likewise, or None.
            mask: bool[batch], likewise; unused in TRAIN.
            steps: number of stacked batches, in TRAIN.
        """
        if mode is Mode.TRAIN:
            stacked = self._batches.abstract((features, labels), steps)
            self._lowering.train(self.abstract_state(features, labels), *stacked)
            return
        state, batch = self.states.abstract_model_state(), (features, labels, mask)
        if not self._batches.is_single_device:
            batch = self._batches.abstract(batch)
        features, labels, mask = batch
        if mode is Mode.EVAL:
            self._lowering.evaluate(state, features, labels, mask)
        else:
            self._lowering.predict(state, features, mask)

    def fingerprints(self) -> dict[str, str]:
        """A hash of each program lowered so far, by mode; the first of each mode.

        Equal programs have equal hashes, also in another process, as long as versions
        and devices are the same.
        """
        return fingerprints(self.lowered)

    def inputs(self) -> dict[str, list[float]]:
        """Values that hyperparameters give each program lowered so far, by mode.

        Two programs of equal fingerprints and equal inputs compute the same.
        """
        return {
            mode.name.lower(): lowered.inputs.tolist()
            for mode, lowered in self.lowered.items()
        }

    def fingerprint(self) -> str:
        """One hash of all programs lowered so far."""
        return fingerprint(self.fingerprints())


def _check_same_program(mode: Mode, lowered: Lowered) -> None:
    """Checks that all processes are about to run the same program.

    Raises:
        ConfigError: a process lowered another program; it is named.
    """
    if collectives.process_count() > 1:
        numbers = {"inputs": hashlib.sha256(lowered.inputs.tobytes()).hexdigest()}
        collectives.check_equal("program", fingerprints({mode: lowered}) | numbers)


def _zeros(
    outputs: StepOutputs, steps: int, devices: tuple[Any, ...]
) -> Callable[[], StepOutputs]:
    """Makes a function that allocates the outputs of all stacked steps as zeros.

    They are sharded over the mesh, except the few step metrics, which start on the
    host as the losses do.
    """
    step_metrics = outputs.measured
    sharded = outputs._replace(measured=StepMetrics((), ()))
    if not jax.tree.leaves(sharded):
        return lambda: sharded._replace(measured=step_metrics.stacked(steps))
    zeros = jax.jit(
        lambda: jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), sharded),
        out_shardings=jax.tree.map(lambda a: a.sharding, sharded),
    )
    traced = zeros.trace()
    compiled = EXECUTABLES.compile(traced, traced.lower(), devices=devices)
    return lambda: compiled()._replace(measured=step_metrics.stacked(steps))


def _wait_for_some(losses: jax.Array, calls: int) -> None:
    """Waits after each `_MOST_IN_FLIGHT` calls, where devices share the host."""
    is_last = calls % _MOST_IN_FLIGHT == _MOST_IN_FLIGHT - 1
    if is_last and len(losses.sharding.device_set) > 1:
        jax.block_until_ready(losses)
