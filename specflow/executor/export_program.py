"""The exported form of a program: a pure function of weights and features."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from specflow.contract import ExportOutput, Mode
from specflow.executor.array_types import Features, Tree, Weights
from specflow.executor.program import Program
from specflow.executor.traced_once import Traced, has_narrow_floats
from specflow.executor.tracing import check_predictions, row_count
from specflow.executor.train_state import TrainState

__all__ = ["Serving"]


class Serving:
    """The `export_outputs` of a program with the weights of a state.

    Args:
        program: its PREDICT spec has the outputs.
        state: parameters and model state are used, on any mesh of this process.
        receiver: received tensors -> features of the model function, traceable by JAX;
            the identity by default.
    """

    def __init__(
        self,
        program: Program,
        state: TrainState,
        *,
        receiver: Callable[[Tree], Features] | None = None,
    ):
        self._program = program
        self._state = state
        self._receiver = receiver or (lambda received: received)

    def weights(self) -> Weights:
        """Copies parameters and model state to the host, by path."""
        return jax.device_get({**self._state.params, **self._state.model_state})

    def outputs(self, received: Tree) -> dict[str, ExportOutput]:
        """Returns the signatures, with shapes and dtypes in place of arrays.

        Args:
            received: a batch as clients send it, or `jax.ShapeDtypeStruct`s of one,
                with a possibly symbolic number of rows.

        Raises:
            SpecError: the model function fails for such a batch.
        """
        return self._forward(received).result[0].export_outputs

    def function(self, received: Tree) -> Callable[[Weights, Tree], dict[str, Any]]:
        """Makes the pure function (weights, received) -> signature -> its tensors.

        Args:
            received: as for `outputs`.
        """
        forward = self._forward(received)
        names = tuple(self._state.params)

        def serve(weights: Weights, received: Tree) -> dict[str, Any]:
            params = {name: weights[name] for name in names}
            model_state = {name: weights[name] for name in self._state.model_state}
            features = self._receiver(received)
            mask = jnp.ones(row_count(features), bool)
            spec, _ = forward(params, model_state, features, None, mask)
            return {
                name: output.tensors() for name, output in spec.export_outputs.items()
            }

        return serve

    def answers(self, received: Tree) -> dict[str, Any]:
        """Runs the function on the program's mesh: signature -> host arrays.

        Args:
            received: a batch as clients send it.
        """
        weights = {**self._state.params, **self._state.model_state}
        return jax.device_get(jax.jit(self.function(received))(weights, received))

    def is_narrow(self, received: Tree) -> bool:
        """Returns whether the function computes with floats of 16 bits or less."""
        return has_narrow_floats(self._forward(received).jaxpr)

    def _forward(self, received: Tree) -> Traced:
        features = jax.eval_shape(self._receiver, received)
        traced = self._program.tracer.forward(
            Mode.PREDICT, features, None, placed=False
        )
        check_predictions(traced.result[0].predictions, row_count(features))
        return traced
