"""Lowering of the train, evaluation and prediction programs of a model function."""

import contextlib
import copy
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from specflow.contract import Mode
from specflow.executor.array_types import (
    Batch,
    Features,
    Jaxpr,
    Labels,
    Mask,
    Shardings,
    Tree,
)
from specflow.executor.batch_placement import BatchPlacement
from specflow.executor.flops import saved
from specflow.executor.gradients import host_tensors
from specflow.executor.grouped_reductions import groups_of
from specflow.executor.hyperparameters import (
    Keys,
    TracedPart,
    moved_by,
    moved_in_parts,
)
from specflow.executor.lifted_jaxpr import LiftedJaxpr, lifted
from specflow.executor.lowered import Lowered
from specflow.executor.moved_literals import LiteralPlace
from specflow.executor.optimizer_step import Optimizer
from specflow.executor.pooling_gradients import (
    has_pooling_gradient,
    with_pooling_by_masks,
)
from specflow.executor.program_inputs import ProgramInputs, traced_anew
from specflow.executor.step_settings import StepSettings
from specflow.executor.steps import (
    Step,
    StepOutputs,
    eval_step,
    predict_step,
    single_step,
    train_loop,
    train_step,
)
from specflow.executor.traced_once import Traced, has_convolution
from specflow.executor.tracing import Tracer, row_count
from specflow.executor.train_state import TrainState
from specflow.executor.xla_options import convolution_options, is_on_cpu
from specflow.mesh import batch_parts

__all__ = ["LoweredTrain", "Lowering"]

StepFunction: TypeAlias = Callable[..., Any]


class LoweredTrain(NamedTuple):
    """A lowered program of TRAIN."""

    program: Lowered
    """Compiles to the program."""
    options: dict[str, str | bool]
    """XLA's options; an XLA that does not know them compiles without."""
    outputs: StepOutputs
    """Shapes, dtypes and shardings of the outputs of all stacked steps."""

    def compile(self) -> jax.stages.Compiled:
        """Compiles the program."""
        if self.options:
            # An XLA that does not know an option raises.
            with contextlib.suppress(jax.errors.JaxRuntimeError):
                return self.program.compile(self.options)
        return self.program.compile()


class Lowering:
    """Lowers the programs of a model function for a mesh.

    Args:
        tracer: traces the model function.
        batches: places batches on the mesh.
        settings: how training steps are computed.
        tuned: whether programs on CPU avoid what is slow in XLA there: convolutions
            in the device loop, and gradients of max-pooling.
    """

    def __init__(
        self,
        tracer: Tracer,
        batches: BatchPlacement,
        *,
        settings: StepSettings,
        tuned: bool,
    ):
        self._tracer, self._settings, self._tuned = tracer, settings, tuned
        self._partitioner = batches.partitioner
        self._on_cpu = is_on_cpu(self._partitioner.mesh)
        self.lowered: dict[Mode, Lowered] = {}
        """Programs lowered so far; the first of each mode."""

    def with_tracer(self, tracer: Tracer) -> "Lowering":
        """Returns one of another tracer, in which nothing is lowered so far."""
        other = copy.copy(self)
        other._tracer, other.lowered = tracer, {}
        return other

    def train_again(
        self,
        lowered: LoweredTrain,
        features: Features,
        labels: Labels,
    ) -> LoweredTrain | None:
        """Returns a training program with the optimizer of this model function.

        Args:
            lowered: with another optimizer, of the same model and function.
            features: stacked batches that it takes, or shapes of such.
            labels: likewise, or None.

        Returns:
            None if the program is another one.
        """
        optimizer = self._tracer.optimizer(*_one_of(features, labels))
        program = lowered.program.with_optimizer(optimizer.step_parts)
        if program is None or (
            optimizer.metric_names != lowered.outputs.measured.names
        ):
            return None
        self.lowered.setdefault(Mode.TRAIN, program)
        return lowered._replace(program=program)

    def _is_slow_in_loop(self, forward: Traced) -> bool:
        """Returns whether CPU convolutions would slow this program in a device loop."""
        return self._tuned and self._on_cpu and has_convolution(forward.jaxpr)

    def train(
        self, state: TrainState, features: Features, labels: Labels
    ) -> LoweredTrain:
        """Lowers the training program.

        Args:
            state: the state, or its shapes, dtypes and shardings.
            features: stacked batches on the mesh, or shapes of such.
            labels: likewise, or None.
        """
        batch = _one_of(features, labels)
        forward = self._tracer.forward(Mode.TRAIN, *batch)
        looped = not self._is_slow_in_loop(forward)
        optimizer = self._tracer.optimizer(*batch)
        placements = {path: array.sharding for path, array in state.params.items()}
        groups = groups_of(state.params, placements)
        step = functools.partial(
            train_step,
            optimizer=optimizer,
            groups=groups,
            micro_steps=self._settings.micro_steps,
            unroll=not looped,
        )
        program = functools.partial(
            train_loop if looped else single_step,
            forward=forward,
            step=step if self._on_cpu else _always_measuring(step),
            groups=groups,
        )
        replicated = self._partitioner.replicated
        shardings = jax.tree.map(lambda array: array.sharding, state)
        steps, rows = row_count(features), self._partitioner.rows(1)
        if row_count(batch) % batch_parts(self._partitioner.mesh):
            rows = replicated  # As `BatchPlacement.put` places them.
        losses = jax.ShapeDtypeStruct((steps,), jnp.float32, sharding=replicated)
        outputs = self._abstract_outputs(forward, optimizer, state, steps, rows)
        index = jax.ShapeDtypeStruct((), jnp.int32)
        log_mask = jax.ShapeDtypeStruct((steps,), jnp.bool_, sharding=replicated)
        args = state, losses, outputs, features, labels, log_mask
        lowered = self._lower(
            Mode.TRAIN,
            program,
            (*args, *(index,) * (2 if looped else 1)),
            forward,
            batch,
            parts=optimizer.step_parts,
            looped=looped,
            donate_argnums=(0, 1, 2),
            out_shardings=(
                shardings,
                replicated,
                jax.tree.map(lambda array: array.sharding, outputs),
            ),
        )
        options = {} if looped else convolution_options(forward.jaxpr)
        return LoweredTrain(lowered, options, outputs)

    def _abstract_outputs(
        self,
        forward: Traced,
        optimizer: Optimizer,
        state: TrainState,
        steps: int,
        rows: jax.sharding.Sharding,
    ) -> StepOutputs:
        """Shapes, dtypes and shardings of the outputs of all stacked steps."""
        replicated = self._partitioner.replicated
        micro_steps = self._settings.micro_steps
        host_call_outputs = jax.tree.map(
            lambda array: jax.ShapeDtypeStruct(
                (steps, array.shape[0] * micro_steps, *array.shape[1:]),
                array.dtype,
                sharding=rows,
            ),
            host_tensors(forward.result[0]),
        )
        skipped = jax.eval_shape(optimizer.skipped, state.opt_state, state.opt_state)
        step_metrics = optimizer.abstract_step_metrics(state.opt_state, state.step)
        skipped, step_metrics = jax.tree.map(
            lambda array: jax.ShapeDtypeStruct(
                (steps, *array.shape), array.dtype, sharding=replicated
            ),
            (skipped, step_metrics),
        )
        return StepOutputs(host_call_outputs, skipped, step_metrics)

    def evaluate(
        self, state: TrainState, features: Features, labels: Labels, mask: Mask
    ) -> Lowered:
        """Lowers the evaluation program.

        Args:
            state: the state, or its shapes; only parameters and model state are used.
            features: one batch as `BatchPlacement.feed` places it, or shapes of one.
            labels: likewise, or None.
            mask: likewise.
        """
        forward = self._tracer.forward(Mode.EVAL, features, labels)
        rows, replicated = self._row_sharding(features), self._partitioner.replicated
        out = {
            "loss": replicated,
            "mean_loss": replicated,
            "tensors": rows,
            "called": rows,
        }
        batch = features, labels, mask
        return self._lower_step(Mode.EVAL, eval_step, state, batch, forward, out)

    def predict(self, state: TrainState, features: Features, mask: Mask) -> Lowered:
        """Lowers the prediction program; arguments as for `evaluate`."""
        forward = self._tracer.forward(Mode.PREDICT, features, None)
        rows, replicated = self._row_sharding(features), self._partitioner.replicated
        count = row_count(features)
        predictions = jax.tree.map(
            lambda array: rows if array.shape[:1] == (count,) else replicated,
            forward.result[0].predictions,
        )
        out = {"predictions": predictions, "called": rows}
        batch = features, mask
        return self._lower_step(Mode.PREDICT, predict_step, state, batch, forward, out)

    def _row_sharding(self, features: Features) -> jax.sharding.NamedSharding:
        """The sharding of batch-major results: by row, where rows divide evenly."""
        if row_count(features) % batch_parts(self._partitioner.mesh):
            return self._partitioner.replicated
        return self._partitioner.rows()

    def _lower_step(
        self,
        mode: Mode,
        step: StepFunction,
        state: TrainState,
        batch: tuple[Tree, ...],
        forward: Traced,
        out_shardings: Shardings,
    ) -> Lowered:
        program = functools.partial(step, forward=forward)
        args = state.params, state.model_state, *batch
        features, labels = batch[0], batch[1] if mode is Mode.EVAL else None
        return self._lower(
            mode,
            program,
            args,
            forward,
            (features, labels),
            out_shardings=out_shardings,
        )

    def _lower(
        self,
        mode: Mode,
        program: StepFunction,
        args: tuple[Tree, ...],
        forward: Traced,
        batch: Batch,
        *,
        parts: Sequence[TracedPart] = (),
        looped: bool = False,
        **jit_options: Any,
    ) -> Lowered:
        """Lowers a program for these arguments and records it under its mode.

        Args:
            mode: of the program.
            program: takes `args`, and `forward` by name.
            args: arguments, or their shapes, dtypes and shardings.
            forward: the model function, traced for the mode.
            batch: what it was traced with.
            parts: parts of the program that hyperparameters determine.
            looped: whether the program is a device loop over steps.
            jit_options: of `jax.jit`.
        """
        traced = jax.jit(program, **jit_options).trace(*args)
        # Shapes alone: a reference to the arrays would keep their memory.
        abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), args)
        faster = self._tuned and self._on_cpu and has_pooling_gradient(traced.jaxpr)

        def jaxpr_of(forward: Traced) -> Jaxpr:
            function = functools.partial(program, forward=forward)
            if faster:
                return with_pooling_by_masks(function, *args).jaxpr
            return jax.make_jaxpr(function)(*args)

        def moved_jaxpr(keys: Keys) -> Jaxpr:
            return jaxpr_of(self._tracer.moved(keys).forward(mode, *batch))

        def without_remat() -> Jaxpr:
            function = functools.partial(program, forward=saved(forward))
            return jax.make_jaxpr(function)(*abstract)

        jaxpr = jaxpr_of(forward) if faster else traced.jaxpr
        places: set[LiteralPlace] = set()
        inputs = LiftedJaxpr(jaxpr, np.zeros(0, np.float32))
        if numbers := self._tracer.hyperparameters:
            places = moved_by(numbers.model_keys, jaxpr, moved_jaxpr)
            places = places.union(*moved_in_parts(jaxpr, parts))
            inputs = lifted(jaxpr, places) if places else inputs
        final = traced
        if faster or inputs.values.size:
            final = traced_anew(
                traced,
                inputs,
                args,
                sharding=self._partitioner.replicated,
                jit_options=jit_options,
            )
        lowered = Lowered(
            final,
            final.lower(),
            traced.jaxpr,
            without_remat,
            inputs.values,
            ProgramInputs(jaxpr, places, parts, inputs),
            tuple(self._partitioner.mesh.devices.flat),
            looped,
        )
        self.lowered.setdefault(mode, lowered)
        return lowered


def _one_of(features: Features, labels: Labels) -> Batch:
    """Returns the form of one of the stacked batches."""
    return jax.tree.map(
        lambda rows: jax.ShapeDtypeStruct(rows.shape[1:], rows.dtype),
        (features, labels),
    )


def _always_measuring(step: Step) -> Step:
    """Returns the step with its metrics computed whether or not it is logged.

    On CPU the condition saves the time between many small operations. Elsewhere it
    costs more: a GPU's host waits for it, and all gradients with it.
    """
    return lambda *args, **kwargs: step(*args[:-1], None, **kwargs)
